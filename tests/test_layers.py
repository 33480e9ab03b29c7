"""Imports go down, the parse path stays light, and product code asserts nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import firestore_migrations

PACKAGE = Path(firestore_migrations.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# From the top down. A module may import from its own layer and from those below it.
LAYERS = (
    {"cli", "provider_info", "plugin", "web", "testing", "emulator"},
    {
        "assets",
        "clearing",
        "configuration",
        "dag_factory",
        "dag_run",
        "hooks",
        "metrics",
        "notifications",
        "operators",
        "params",
        "rehearsal",
        "timetable",
        "upgrade",
    },
    {"runs"},
    {"authoring"},
    {"firestore"},
    {"errors"},
)
HEAVY = ("google", "grpc", "pyarrow", "pandas", "rich", "airflow")


def _word(module: str) -> str:
    """`runs` of `firestore_migrations.runs.plan`; empty for the package itself, which belongs to no layer."""
    return module.partition(".")[2].partition(".")[0]


def _depth(word: str) -> int:
    return next(depth for depth, words in enumerate(LAYERS) if word in words)


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every import in the file, also inside functions and under TYPE_CHECKING, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # Relative imports are refused by ruff (TID252).
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def test_every_module_has_a_layer() -> None:
    words = {_word(_name(path)) for path in MODULES} - {""}
    assert sorted(words - set().union(*LAYERS)) == []


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_go_down(path: Path) -> None:
    own = _word(_name(path))
    if not own:  # the package's own names load lazily, from any layer
        return
    upwards = [
        f"{path.relative_to(PACKAGE)}:{line} imports {name}"
        for line, name in _imports(path)
        if name.startswith("firestore_migrations.") and _word(name) in set().union(*LAYERS[: _depth(own)])
    ]
    assert upwards == []


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_the_engine_knows_no_airflow(path: Path) -> None:
    engine = {"runs", "authoring", "firestore", "errors"}
    airflow = [line for line, name in _imports(path) if name.partition(".")[0] == "airflow"]
    assert _word(_name(path)) not in engine or airflow == []


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_product_code_has_no_assert(path: Path) -> None:
    """`python -O` drops asserts, so a check that is one is no check."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    assert [node.lineno for node in nodes if isinstance(node, ast.Assert)] == []


def test_what_an_author_imports_loads_nothing_heavy() -> None:
    program = """if True:
        import sys
        before = set(sys.modules)  # some distributions put an empty `google` there when Python starts
        from firestore_migrations import (
            DELETE_FIELD, SERVER_TIMESTAMP, ArrayRemove, ArrayUnion, Database, Document, Increment,
            each_document, script,
        )
        import firestore_migrations.authoring.migration
        print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before} & set(sys.argv)))
    """
    command = [sys.executable, "-c", program, *HEAVY]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout.strip()) == ("", "")

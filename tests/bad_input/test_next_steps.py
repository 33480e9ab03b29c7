"""No error of this package leaves people alone: each says what to do next."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import firestore_migrations
from firestore_migrations import errors

PACKAGE = Path(firestore_migrations.__file__).parent
CLASSES = {name for name, kind in vars(errors).items() if isinstance(kind, type)} - {"Any"}


def without_next_step(path: Path) -> Iterator[str]:
    """Every place that makes an error of ours from a message alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLASSES:
            given = node.args[1:2] or [word.value for word in node.keywords if word.arg == "next_step"]
            if not given or (isinstance(given[0], ast.Constant) and not given[0].value):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno} {node.func.id}"


def test_every_error_is_made_with_a_next_step() -> None:
    assert [place for path in sorted(PACKAGE.rglob("*.py")) for place in without_next_step(path)] == []

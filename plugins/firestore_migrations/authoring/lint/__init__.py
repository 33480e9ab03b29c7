"""Lint: what `check` says of a migration, read as text and never imported."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

from firestore_migrations.authoring.lint import purity, shape
from firestore_migrations.authoring.lint.finding import Finding
from firestore_migrations.authoring.loading import FILE_NAME, NOT_PYTHON, read_source

__all__ = ["RULES", "Finding", "lint"]

RULES = frozenset({"docstring", "file-name", "noqa-reason", "syntax"}) | purity.NAMES | shape.NAMES

# ruff's own codes, like S311, may stand in the same list of rules.
_NOQA = re.compile(r"#\s*noqa\s*:\s*(?P<rules>[\w-]+(?:\s*,\s*[\w-]+)*)(?:\s+-+\s+(?P<reason>\S.*))?", re.IGNORECASE)
_RUFF_CODE = re.compile(r"[A-Z]+[0-9]+")


def lint(path: Path) -> list[Finding]:
    """What is wrong with the file, in the order of its lines; nothing of it is run.

    A file that is not Python gives the finding `syntax`.
    `# noqa: rule - reason` on a line lets that rule pass there.
    """
    findings = list(_file_name(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd escapes; ruff says so
            source = read_source(path)
            tree = ast.parse(source)
            compile(tree, str(path), "exec", dont_inherit=True)  # `return` outside a function
    except OSError as error:
        return [
            *findings,
            _syntax(path, 1, f"The file cannot be read: {error.strerror or type(error).__name__}."),
        ]
    except NOT_PYTHON as error:
        line = error.lineno if isinstance(error, SyntaxError) and error.lineno else 1
        said = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
        return [*findings, _syntax(path, line, f"This is not Python: {said}.")]
    findings += [*_docstring(path, tree), *purity.impurities(path, tree), *shape.misshapes(path, tree)]
    return sorted(_let_pass(path, findings, source), key=lambda finding: (finding.line, finding.rule))


def _file_name(path: Path) -> Iterator[Finding]:
    if not FILE_NAME.fullmatch(path.name):
        yield Finding(
            path,
            1,
            "file-name",
            f"{path.name} is not named like a migration.",
            "Rename it to vNNN_some_name.py, like v001_add_user_stats.py.",
        )


def _syntax(path: Path, line: int, message: str) -> Finding:
    return Finding(path, line, "syntax", message, "Correct it; until then no other rule can be checked.")


def _docstring(path: Path, tree: ast.Module) -> Iterator[Finding]:
    if not (ast.get_docstring(tree) or "").strip():
        yield Finding(
            path,
            1,
            "docstring",
            "The file has no docstring, so nobody can read what it does before it runs.",
            "Say what it changes, and why, in a docstring at the top of the file.",
        )


def _let_pass(path: Path, findings: list[Finding], source: str) -> Iterator[Finding]:
    """The findings that no `# noqa` with a reason lets pass, and the `# noqa`s that let nothing pass."""
    passing: dict[int, set[str]] = {}
    for line, comment in _comments(source):
        match = _NOQA.search(comment)
        if not match:
            continue
        rules = {rule for rule in re.split(r"\s*,\s*", match["rules"]) if not _RUFF_CODE.fullmatch(rule)}
        if match["reason"]:
            passing[line] = rules & RULES
        for rule in sorted(rules):
            if rule not in RULES:
                yield _noqa(path, line, f"`# noqa: {rule}` names no rule.", f"The rules: {', '.join(sorted(RULES))}.")
            elif not match["reason"]:
                remedy = f"Write `# noqa: {rule} - why it is right here`; without a reason nothing passes."
                yield _noqa(path, line, f"`# noqa: {rule}` gives no reason.", remedy)
    yield from (finding for finding in findings if finding.rule not in passing.get(finding.line, ()))


def _noqa(path: Path, line: int, message: str, remedy: str) -> Finding:
    return Finding(path, line, "noqa-reason", message, remedy)


def _comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string

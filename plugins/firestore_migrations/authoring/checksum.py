"""The checksum of a migration's code: what tells that an applied file was edited since."""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterator
from typing import Any

_DOCUMENTED = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# `kind` is the u of u"text"; `ctx` follows from where a name stands; the rest is never parsed.
_SKIPPED = {"kind", "ctx", "type_comment", "type_ignores"}


def checksum(source: str) -> str:
    r"""The SHA-256 of the code, in hexadecimal; the same on every supported Python.

    Comments, formatting, quotes and docstrings change nothing. Every other change of the code does.
    Only an escape in the format of a raw f-string, `rf"{x:\t}"`, has two: Python 3.12 reads it otherwise.

    Raises:
        SyntaxError: the text is not Python.
        ValueError: it holds a null byte (Python 3.10 and 3.11).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd escapes; whoever compiles the file says so
        return checksum_of(ast.parse(source.removeprefix("\ufeff")))


def checksum_of(tree: ast.Module) -> str:
    """The same of code that is parsed already; leaves the tree as it is."""
    return hashlib.sha256("\n".join(_tokens(tree)).encode("ascii")).hexdigest()


def _tokens(tree: ast.Module) -> Iterator[str]:
    """The tree as text that no other tree has: `(Type`, `.field`, `[`, a literal, and the closing brackets.

    `ast.dump` will not do: each Python prints other empty fields. A stack, not recursion, because a sum of a
    thousand terms is a thousand levels deep; text on the stack is ready to give out.
    """
    stack: list[ast.AST | list[Any] | str] = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            entries = [entry if isinstance(entry, ast.AST) else _literal(entry) for entry in item]
            stack += ["]", *reversed(entries), "["]
        else:
            stack.append(")")
            for field in sorted(item._fields, reverse=True):
                value = _field(item, field)
                if field not in _SKIPPED and value is not None and value != []:
                    stack += [value, f".{field}"]
            stack.append(f"({type(item).__name__}")


def _field(node: ast.AST, field: str) -> ast.AST | list[Any] | str | None:
    value: Any = getattr(node, field, None)
    if field == "body" and isinstance(node, _DOCUMENTED):
        return _without_docstring(node)
    if isinstance(node, ast.JoinedStr):
        return _joined(value)
    if isinstance(node, (ast.Constant, ast.MatchSingleton)):
        return _literal(value)  # None is a value here, not an absent field
    return value if value is None or isinstance(value, (ast.AST, list)) else _literal(value)


def _literal(value: Any) -> str:
    """The value with its type.

    `ascii`, because `repr` prints a character or its code by the Unicode tables of the Python that runs;
    hexadecimal, because Python refuses to print long integers in decimal.
    """
    text = hex(value) if type(value) is int else ascii(value)
    return f"{type(value).__name__} {text}"


def _without_docstring(node: Any) -> list[ast.stmt]:
    """The body; one that was only a docstring does what `pass` does."""
    body: list[ast.stmt] = node.body
    if ast.get_docstring(node, clean=False) is not None:
        body = body[1:]
    return body or [ast.Pass()]


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string with neighbouring text as one: Pythons differ in where they split it."""
    joined: list[ast.expr] = []
    for part in parts:
        last = joined[-1] if joined else None
        if not isinstance(part, ast.Constant):
            joined.append(part)
        elif isinstance(last, ast.Constant):
            joined[-1] = ast.Constant(str(last.value) + str(part.value))
        elif part.value:
            joined.append(part)
    return joined

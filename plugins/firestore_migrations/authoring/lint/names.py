"""Names: what a name in a file stands for, read from its syntax tree and never by importing it."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda"
Binding: TypeAlias = "str | ast.expr | None"  # an import's dotted name, an assigned expression, or unknown

_DEEPEST = 20  # `a = b; b = a` has no end
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


class Names:
    """The scopes of a file while a visitor walks through it.

    Aliases are followed: after `from datetime import datetime as dt`, `dt.now` is `datetime.datetime.now`;
    after `here = Path(".")`, `here.open` is `pathlib.Path().open`.
    A parameter or a local name hides what it hides for Python.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._scopes = [_bindings(tree)]

    @contextmanager
    def inside(self, function: Function) -> Iterator[None]:
        """Read names as the function's body does."""
        self._scopes.append(_bindings(function))
        yield
        self._scopes.pop()

    @property
    def in_function(self) -> bool:
        """Whether the walk is inside a function."""
        return len(self._scopes) > 1

    def origin(self, node: ast.expr) -> str | None:
        """The dotted name that the expression stands for, with `()` for each call; None where unknown."""
        return self._origin(node, len(self._scopes), _DEEPEST)

    def is_state(self, node: ast.expr) -> str | None:
        """The module's own global that the expression is or lies in, as `CACHE` in `CACHE["a"].rows`."""
        while isinstance(node, (ast.Attribute, ast.Subscript)):
            node = node.value
        if not isinstance(node, ast.Name) or any(node.id in scope for scope in self._scopes[1:]):
            return None
        return node.id if not isinstance(self._scopes[0].get(node.id, "absent"), str) else None

    def _origin(self, node: ast.expr, level: int, depth: int) -> str | None:
        if depth == 0:
            return None
        if isinstance(node, ast.Name):
            return self._origin_of_name(node.id, level, depth)
        base, suffix = _base(node)
        origin = base and self._origin(base, level, depth - 1)
        return f"{origin}{suffix}" if origin else None

    def _origin_of_name(self, name: str, level: int, depth: int) -> str | None:
        for index in reversed(range(level)):
            if name in self._scopes[index]:
                bound = self._scopes[index][name]
                return self._origin(bound, index + 1, depth - 1) if isinstance(bound, ast.expr) else bound
        return f"builtins.{name}" if hasattr(builtins, name) else None


def _base(node: ast.expr) -> tuple[ast.expr | None, str]:
    """What the expression is taken from, and what that adds to its dotted name."""
    if isinstance(node, ast.Attribute):
        return node.value, f".{node.attr}"
    if isinstance(node, ast.Call):
        return node.func, "()"
    if isinstance(node, ast.Subscript):
        return node.value, ""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):  # Path("data") / "tiers.csv"
        return node.left, ""
    return None, ""


def _bindings(scope: ast.Module | Function) -> dict[str, Binding]:
    """What each name that this scope binds is bound to; one bound to several values is unknown."""
    bound: dict[str, Binding] = {}
    elsewhere: set[str] = set()
    if not isinstance(scope, ast.Module):
        bound = {argument.arg: None for argument in ast.walk(scope.args) if isinstance(argument, ast.arg)}
    body = scope.body if isinstance(scope.body, list) else [scope.body]
    for node in _own_nodes(body):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            bound.update(imported(node))
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            elsewhere.update(node.names)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound[node.name] = None
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound[node.id] = None
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            bound[node.name] = None
    for name, value in _assigned(body).items():
        if bound.get(name, "") is None:
            bound[name] = value
    return {name: value for name, value in bound.items() if name not in elsewhere}


def _assigned(body: list[ast.stmt] | list[ast.expr]) -> dict[str, ast.expr | None]:
    """The expressions of names that are assigned once."""
    values: dict[str, ast.expr | None] = {}
    stores = [node.id for node in _own_nodes(body) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    for node in _own_nodes(body):
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and stores.count(target.id) == 1:
                values[target.id] = node.value
    return values


def imported(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """The names that an import binds, each with the dotted name that it stands for."""
    if isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        return {alias.asname or alias.name: f"{module}.{alias.name}" for alias in node.names}
    return {
        alias.asname or alias.name.partition(".")[0]: alias.name if alias.asname else alias.name.partition(".")[0]
        for alias in node.names
    }


def _own_nodes(body: list[ast.stmt] | list[ast.expr]) -> Iterator[ast.AST]:
    """Every node of the scope, without what lies inside functions and classes of it."""
    stack: list[ast.AST] = list(reversed(body))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, _NESTED):
            stack.extend(reversed(list(ast.iter_child_nodes(node))))

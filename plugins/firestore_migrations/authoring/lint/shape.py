"""Shape: what the functions of a step must look like, read without importing the file."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from firestore_migrations.authoring.lint.finding import Finding
from firestore_migrations.authoring.lint.names import Names, imported

Definition: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef"

NAMES = frozenset({"async-step", "hidden-step", "missing-verify", "no-step", "step-arguments"})

_HOMES = ("firestore_migrations", "firestore_migrations.authoring.migration")
_PARAMETERS = {
    **{f"{home}.each_document": ("document", "db") for home in _HOMES},
    **{f"{home}.script": ("db",) for home in _HOMES},
}
_OWN = {*sys.stdlib_module_names, "google", "firestore_migrations"}


@dataclass
class _Step:
    """A decorated function and those that its `verify` and `down` decorate."""

    transform: Definition
    parameters: tuple[str, ...]
    others: list[tuple[str, Definition]] = field(default_factory=list)


def misshapes(path: Path, tree: ast.Module) -> Iterator[Finding]:
    """Every function of a step that could not run, or would silently not run."""
    steps = _steps(tree)
    for step in steps:
        for role, function in (("transform", step.transform), *step.others):
            yield from _runs_nothing(path, function)
            yield from _arguments(path, function, role, step.parameters)
        if not any(role == "verify" for role, _ in step.others):
            name = step.transform.name
            yield Finding(
                path,
                step.transform.lineno,
                "missing-verify",
                f"Step `{name}` has no check, so verify can only say that nothing is left to change.",
                f"State the new shape in a function under `@{name}.verify`.",
                level="advice",
            )
    yield from _hidden(path, tree, steps)
    if not steps and not _may_have_a_step(tree):
        yield Finding(
            path,
            1,
            "no-step",
            "The file has no step, so there is nothing to run.",
            'Decorate a function at the top level with `@each_document("users")` or `@script`.',
        )


def _steps(tree: ast.Module) -> list[_Step]:
    names = Names(tree)
    steps: list[_Step] = []
    for function in _definitions(tree):
        for decorator in function.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            parameters = _PARAMETERS.get(names.origin(called) or "")
            if parameters:
                steps.append(_Step(function, parameters))
            elif isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                for step in reversed(steps):
                    if step.transform.name == called.value.id:
                        step.others.append((called.attr, function))
                        break
    return steps


def _definitions(tree: ast.Module) -> list[Definition]:
    return [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def _runs_nothing(path: Path, function: Definition) -> Iterator[Finding]:
    kind = "is `async def`" if isinstance(function, ast.AsyncFunctionDef) else None
    if kind is None and any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in _own_nodes(function)):
        kind = "has a `yield`"
    if kind:
        yield Finding(
            path,
            function.lineno,
            "async-step",
            f"`{function.name}` {kind}: calling it runs none of its body.",
            "Write a plain function; the run reads ahead and works on many shards by itself.",
        )


def _own_nodes(function: Definition) -> Iterator[ast.AST]:
    stack: list[ast.AST] = [*function.body]
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            stack.extend(ast.iter_child_nodes(node))


def _arguments(path: Path, function: Definition, role: str, parameters: tuple[str, ...]) -> Iterator[Finding]:
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    needed = positional - len(arguments.defaults)
    fits = needed <= len(parameters) and (positional >= len(parameters) or arguments.vararg is not None)
    if not fits or None in arguments.kw_defaults:
        wanted = ", ".join(parameters)
        yield Finding(
            path,
            function.lineno,
            "step-arguments",
            f"The {role} `{function.name}` is called with ({wanted}), which its parameters do not take.",
            f"Write `def {function.name}({wanted})`.",
        )


def _hidden(path: Path, tree: ast.Module, steps: list[_Step]) -> Iterator[Finding]:
    """Steps whose name is bound again: Python forgets them, so they would silently not run."""
    for step in steps:
        name = step.transform.name
        for statement in tree.body:
            if statement.lineno > step.transform.lineno and name in _bound(statement):
                yield Finding(
                    path,
                    statement.lineno,
                    "hidden-step",
                    f"`{name}` is bound again here, so the step of line {step.transform.lineno} is lost.",
                    "Give one of the two another name.",
                )


def _bound(statement: ast.stmt) -> set[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return set(imported(statement))
    return {
        node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    }


def _may_have_a_step(tree: ast.Module) -> bool:
    """Whether a step may be made by a call or come from elsewhere, which only loading the file can tell."""
    names = Names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and names.origin(node.func) in _PARAMETERS:
            return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] not in _OWN:
            return True
    return False

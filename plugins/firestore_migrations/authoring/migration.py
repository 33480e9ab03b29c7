"""A migration and its steps: what the decorators in a file of migrations/ build."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from firestore_migrations.errors import BadStep, NoStep
from firestore_migrations.firestore.scope import Scope

Function = TypeVar("Function", bound=Callable[..., Any])
_OF_DOCUMENT, _OF_SCRIPT = ("document", "db"), ("db",)


class Step:
    """One decorated function: what happens to each document of a scope, or a script.

    Calling the step calls the function, so that an author can test it like any other.

    Attributes:
        name: the function's name; it appears in plans and errors.
        scope: the documents that it reads; None for a script.
        transform: `(document, db) -> None`, or `(db) -> None` for a script.
        idempotent: False when running the transform on its own result changes it again.
        reverse: the author's `down` transform, or None.
        checks: the author's checks, in the order of the file.
    """

    def __init__(self, transform: Callable[..., Any], scope: Scope | None, *, idempotent: bool = True) -> None:
        self.name = transform.__name__
        self.transform = transform
        self.scope = scope
        self.idempotent = idempotent
        self.reverse: Callable[..., Any] | None = None
        self.checks: list[Callable[..., Any]] = []
        self.__doc__ = transform.__doc__

    def __call__(self, *args: Any) -> None:
        """Run the transform, as an author's own test does."""
        self.transform(*args)

    def __repr__(self) -> str:
        return f"<step {self.name} {'script' if self.scope is None else self.scope.collection}>"

    @property
    def is_script(self) -> bool:
        """Whether this step is a script rather than a transform of one document at a time."""
        return self.scope is None

    def down(self, function: Function) -> Function:
        """Register the reverse transform, for documents that were changed since the run."""
        if self.reverse is not None:
            raise BadStep(f"Step {self.name!r} has two @{self.name}.down functions.", "Keep one.")
        self.reverse = _checked(function, self._parameters)
        return function

    def verify(self, function: Function) -> Function:
        """Register a check: it gets what the transform gets, after apply, and raises where it is wrong."""
        self.checks.append(_checked(function, self._parameters))
        return function

    @property
    def _parameters(self) -> tuple[str, ...]:
        """What its functions are called with."""
        return _OF_SCRIPT if self.is_script else _OF_DOCUMENT


def each_document(
    collection: str,
    *,
    group: bool = False,
    where: Iterable[Any] = (),
    window: str | None = None,
    idempotent: bool = True,
) -> Callable[[Callable[..., Any]], Step]:
    """Run the function for each document of a collection.

    The function gets a `Document`, which it changes in place, and the `Database`, through which it creates,
    changes or deletes others. It may run several times on one document, and must give the same result.

    Args:
        collection: `users`, `users/{uid}/invoices` (a wildcard for a parent level), or with `group=True` the
            id of a collection at any depth.
        group: read every collection of that id, wherever it is.
        where: `FieldFilter`s of the official client, or `(field, op, value)`; all must hold.
            A single one may stand alone.
        window: the timestamp field by which `airflow backfill` selects documents.
            Each backfill run then takes the documents whose field is a timestamp in its interval, and a run without a
            window takes all that is left.
        idempotent: say False when the function on its own result changes it again, as `n += 1` does.
            Each document is then still changed exactly once a run.

    Raises:
        BadStep: the collection is not one, or an argument is of the wrong kind.
    """
    if callable(collection):
        raise BadStep(
            f"@each_document of {getattr(collection, '__name__', 'a function')!r} names no collection.",
            'Write @each_document("users").',
        )
    if not isinstance(collection, str) or not collection:
        raise BadStep(f"each_document takes a collection's path, not {type(collection).__name__}.", 'Like "users".')
    if window is not None and not _names_a_field(window):
        raise BadStep(f"window names a timestamp field, which {window!r} does not.", 'Like window="createdAt".')
    for name, value in (("group", group), ("idempotent", idempotent)):
        if not isinstance(value, bool):
            raise BadStep(f"{name} is True or False, not {value!r}.", f"Write {name}=True, or leave it out.")
    if window is not None and not idempotent:
        raise BadStep(
            f"window={window!r} and idempotent=False exclude each other: a document whose {window} changes comes into "
            "another window, and would be changed a second time.",
            "Guard the function's writes and drop idempotent=False, or drop window.",
        )
    conditions = (where,) if _is_one_condition(where) else tuple(where)
    scope = Scope(collection, group=group, where=conditions, window=window)
    return lambda function: Step(_checked(function, _OF_DOCUMENT), scope, idempotent=idempotent)


def script(function: Callable[..., Any]) -> Step:
    """Run the function once, with `db` alone, for work that is not one document at a time.

    It reads and records through `db` as it would through the official client.
    Like every step it only records: the plan writes.
    """
    return Step(_checked(function, _OF_SCRIPT), None)


def _is_one_condition(where: Any) -> bool:
    return not isinstance(where, Iterable) or (isinstance(where, tuple) and isinstance(next(iter(where), None), str))


def _names_a_field(path: Any) -> bool:
    return isinstance(path, str) and (all(path.split(".")) or "`" in path)


def _checked(function: Any, parameters: tuple[str, ...]) -> Callable[..., Any]:
    """A function that runs when it is called so: a coroutine or a generator would silently change nothing."""
    if not inspect.isfunction(function):
        raise BadStep(f"A step is a function, not {function!r}.", "Decorate a plain `def up(...)` once.")
    name = function.__name__
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if any(is_kind(function) for is_kind in kinds):
        raise BadStep(
            f"Calling {name!r} runs none of its body: it is `async def`, or has a `yield`.", "Write a plain function."
        )
    try:
        inspect.signature(function, follow_wrapped=False).bind(*parameters)
    except TypeError:
        wanted = ", ".join(parameters)
        raise BadStep(
            f"{name!r} is called with ({wanted}), which its parameters do not take.", f"Write `def {name}({wanted})`."
        ) from None
    return function


@dataclass(frozen=True)
class Migration:
    """One file of migrations/.

    Attributes:
        version: `v001`, from the file name.
        name: `add_user_stats`, from the file name.
        description: the file's docstring.
        path: the file.
        source: its text.
        checksum: SHA-256 of the normalised syntax tree, in hexadecimal; comments change nothing.
        steps: in the order of the file.
    """

    version: str
    name: str
    description: str
    path: Path
    source: str
    checksum: str
    steps: tuple[Step, ...]

    @property
    def dag_id(self) -> str:
        """The DAG that runs this migration."""
        return f"firestore_{self.version}_{self.name}"

    @property
    def has_windows(self) -> bool:
        """Whether it can be backfilled: then every step has a window."""
        return any(step.scope is not None and step.scope.window for step in self.steps)

    @property
    def is_idempotent(self) -> bool:
        """Whether every step may run on its own result."""
        return all(step.idempotent for step in self.steps)

    def refuse_bad_filters(self) -> None:
        """Look at every step's `where` and `window`; never while a DAG is parsed, for it loads the official client.

        Raises:
            BadStep: naming file, step and condition.
        """
        for step in self.steps:
            if step.scope is None or not (step.scope.where or step.scope.window):
                continue
            from firestore_migrations.firestore.filters import conditions, parts_of

            try:
                conditions(step.scope.where)
                parts_of(step.scope.window or "window")
            except BadStep as error:
                line = step.transform.__code__.co_firstlineno
                raise BadStep(
                    f"{self.path}, line {line}: step {step.name!r}: {error.what}",
                    error.next_step,
                    file=str(self.path),
                    version=self.version,
                    line=line,
                ) from error

    def step(self, name: str) -> Step:
        """The step of that name.

        Raises:
            NoStep: there is none.
        """
        for step in self.steps:
            if step.name == name:
                return step
        names = ", ".join(step.name for step in self.steps)
        raise NoStep(f"{self.path} has no step {name!r}.", f"Its steps: {names}.", file=str(self.path))

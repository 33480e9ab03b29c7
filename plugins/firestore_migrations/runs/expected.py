"""What is expected in documents that a run wrote, and whether it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.change import applied
from firestore_migrations.firestore.fields import same_fields
from firestore_migrations.firestore.ordering import name_key
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs.committed import Committed
from firestore_migrations.runs.snapshot import ROWS_AT_ONCE


class Written(NamedTuple):
    """What the calls of a step with one document have written.

    Attributes:
        source: the path of that document.
        own: what was written to it; None where nothing was.
        others: what was written to each of the others.
    """

    source: str
    own: Committed | None
    others: tuple[Committed, ...] = ()

    @property
    def items(self) -> tuple[Committed, ...]:
        """All of them."""
        return self.others if self.own is None else (self.own, *self.others)


def by_source(rows: Iterable[Committed]) -> Iterator[Written]:
    """What was written, by the document that the step was called with; the rows of each follow each other."""
    for source, items in groupby(rows, key=lambda item: item.row.source):
        own, others = None, []
        for item in items:
            if item.row.path == source:
                own = item
            else:
                others.append(item)
        yield Written(source, own, tuple(others))


class Expected:
    """What was written, in the order of the documents that the step was called with, asked for in that order.

    Args:
        written: all of it.
        missed: is given, some at once, what was written for documents that nobody asked for: they left the scope.
    """

    def __init__(self, written: Iterable[Written], missed: Callable[[list[Written]], None]) -> None:
        self._remaining = iter(written)
        self._next = next(self._remaining, None)
        self._give = missed
        self._missed: list[Written] = []

    def of(self, path: str) -> Written | None:
        """What was written for a document, or None."""
        while self._next is not None and self._next.source != path:
            if name_key(self._next.source) > name_key(path):
                return None
            self._miss()
        found, self._next = self._next, next(self._remaining, None)
        return found

    def finish(self) -> None:
        """Nobody asks any more."""
        while self._next is not None:
            self._miss()
        self._give(self._missed)

    def _miss(self) -> None:
        if self._next is not None:
            self._missed.append(self._next)
        self._next = next(self._remaining, None)
        if len(self._missed) == ROWS_AT_ONCE:
            self._give(self._missed)
            self._missed = []


def is_as_left(item: Committed, stored: Stored | None) -> bool:
    """Whether nobody has written a document since: by its update time, or because it is still gone."""
    if stored is None or item.row.operation == "deleted":
        return stored is None and item.row.operation == "deleted"
    return stored.update_time == item.commit_time


def holds(item: Committed, stored: Stored | None) -> bool:
    """Whether a document is what was planned: by its update time, or by its contents."""
    if is_as_left(item, stored):
        return True
    if stored is None or item.row.operation == "deleted":
        return False
    after = applied(wire.document_of(item.row.before), wire.Write.FromString(item.row.write))
    return same_fields(after, wire.Document.FromString(stored.raw))

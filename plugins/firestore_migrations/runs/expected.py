"""What is expected in documents that a run wrote, and whether it is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.change import applied
from firestore_migrations.firestore.fields import same_fields
from firestore_migrations.firestore.ordering import name_key
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs.committed import Committed


class Expected:
    """Rows in the order of names, asked for in that order."""

    def __init__(self, rows: Iterable[Committed]) -> None:
        self._rows = iter(rows)
        self._next = next(self._rows, None)
        self._missed: list[Committed] = []

    def of(self, path: str) -> Committed | None:
        """The row of a document, or None; rows of documents before it are kept as missed."""
        while self._next is not None and self._next.row.path != path:
            if name_key(self._next.row.path) > name_key(path):
                return None
            self._missed.append(self._next)
            self._next = next(self._rows, None)
        found, self._next = self._next, next(self._rows, None)
        return found

    def take_missed(self) -> list[Committed]:
        """The rows of documents that were passed over since this was asked before: they left the scope."""
        missed, self._missed = self._missed, []
        return missed

    def rest(self) -> Iterator[Committed]:
        """The rows of documents behind the last one that was asked for."""
        return chain(() if self._next is None else (self._next,), self._rows)


def holds(item: Committed, stored: Stored | None) -> bool:
    """Whether a document is what was planned: by its update time, or by its contents."""
    if item.row.operation == "deleted":
        return stored is None
    if stored is None:
        return False
    if stored.update_time == item.commit_time:
        return True
    before = None if item.row.before is None else wire.Document.FromString(item.row.before)
    after = applied(before, wire.Write.FromString(item.row.write))
    return same_fields(after, wire.Document.FromString(stored.raw))

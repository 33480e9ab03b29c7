"""Overlays: documents that a plan has changed, found again by the queries that come after.

Each kind of query has its own index of the changed documents that it returns. It is brought up to date with what
changed since it was last asked, so that a script that pages through a collection and writes on its way takes time in
proportion to the collection, not to its square.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from firestore_migrations.firestore.query import Asked, Entry

_VIEWS = 200
_PREFIXES = 1_000


class Overlay:
    """Documents that stand in place of the stored ones.

    Args:
        changed: their paths, in the order of the changes; it grows, and a path may come again.
        after: gives the protobuf document that a path has become, or None.
        prepare: called with the paths that `after` is about to be asked for.
        restless: paths of documents that may change without being logged in `changed`.
    """

    def __init__(
        self,
        changed: Sequence[str],
        after: Callable[[str], Any],
        prepare: Callable[[Iterable[str]], None],
        restless: Sequence[str] = (),
    ) -> None:
        self._changed = changed
        self.after = after
        self._prepare = prepare
        self._restless = restless
        self._first: dict[str, int] = {}
        self._logged = 0
        self._within: dict[str, list[str]] = defaultdict(list)
        self._views: dict[Any, _View] = {}
        self.prefixes: dict[bytes, Any] = {}

    def position(self) -> int:
        """A moment: what is changed after it does not concern a query that began at it."""
        for path in (*self._restless, *self._changed[self._logged :]):
            if path not in self._first:
                self._first[path] = len(self._first)
                collection = path.rpartition("/")[0]
                self._within[collection].append(path)
                self._within["//" + collection.rpartition("/")[2]].append(path)
        self._logged = len(self._changed)
        return len(self._first)

    def hides(self, path: str, position: int) -> bool:
        """Whether the stored document at a path was replaced before a moment."""
        return self._first.get(path, position) < position

    def paths(self) -> Iterable[str]:
        """Every path that was changed."""
        self.position()
        return self._first

    def touches(self, within: str) -> bool:
        """Whether a collection (`users`), or a group (`//invoices`), has a changed document."""
        self.position()
        return within in self._within

    def matching(self, within: str, asked: Asked) -> list[str]:
        """The paths of changed documents that the query returns, in its order, limit and offset aside."""
        if not self.touches(within):
            return []
        if len(self._views) > _VIEWS:
            self._views.clear()
        view = self._views.setdefault((within, asked.shape), _View())
        fresh = self._changed[view.logged :] if view.logged else self._within[within]
        stale = {path: None for path in (*fresh, *self._restless) if self._is_within(path, within)}
        view.logged = len(self._changed)
        self._prepare(stale)
        for path in stale:
            view.put(path, asked, self.after(path))
        return [path for _, path in asked.between_cursors(view.entries(asked))]

    def begin_behind(self, question: bytes, cursor: Any) -> None:
        """Remember that the server's answer to a question begins with replaced documents, up to a cursor."""
        if len(self.prefixes) > _PREFIXES:
            self.prefixes.clear()
        self.prefixes[question] = cursor

    @staticmethod
    def _is_within(path: str, within: str) -> bool:
        collection = path.rpartition("/")[0]
        return within in {collection, "//" + collection.rpartition("/")[2]}


class _View:
    """The changed documents that one kind of query returns: by the values of its equalities, in its order."""

    def __init__(self) -> None:
        self.logged = 0
        self._entries: dict[Any, list[Entry]] = defaultdict(list)
        self._places: dict[str, tuple[Any, Any]] = {}

    def put(self, path: str, asked: Asked, document: Any) -> None:
        if path in self._places:
            values, key = self._places.pop(path)
            entries = self._entries[values]
            del entries[bisect_left(entries, (key, path))]
        place = None if document is None else asked.place(path, document)
        if place is not None:
            self._places[path] = place
            insort(self._entries[place[0]], (place[1], path))

    def entries(self, asked: Asked) -> list[Entry]:
        return self._entries.get(tuple(asked.equalities.values()), [])

"""Answers: what a query finds in the database as it will be after what was planned and recorded so far.

The server answers at the run's read time. Its documents that were changed since are taken out, and come back at the
place where their new fields put them, if the query still finds them.

With a limit, the server may have to be asked again for as many as were taken out, behind the last one that it gave.
Where an answer begins with documents that were all taken out, that is remembered: a script that takes the next hundred
old documents until there are none asks for each of them twice, not once for every hundred before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any

from firestore_migrations.errors import DocumentError
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.query import Asked, projected
from firestore_migrations.firestore.scope import AUDIT_COLLECTION

if TYPE_CHECKING:
    from firestore_migrations.authoring.drafts import Base, Drafts

_PAGE = 5_000
Found = tuple[str, Any]
"""A path, and its protobuf document or the stored one."""


class Answer:
    """One query, to be answered once.

    Args:
        drafts: what was recorded.
        base: what is stored and planned.
        parent: the path of the document that the query is under; empty for the database.
        query: the protobuf `StructuredQuery`.
        is_from_end: ask from the other end; the answer then begins with the last document.
    """

    def __init__(self, drafts: Drafts, base: Base, parent: str, query: Any, *, is_from_end: bool) -> None:
        self._base = base
        self._parent = parent
        self._query = query
        if is_from_end and not query.order_by:
            raise DocumentError("limit_to_last() needs an order.", "Add order_by().")
        self.asked = Asked(query, base.at.reader.path, is_from_end=is_from_end)
        self._layers = (drafts.overlay, base.overlay)  # the upper one first
        selector = query.from_[0]
        collection = f"{parent}/{selector.collection_id}" if parent else selector.collection_id
        self._is_from_end = is_from_end
        self._is_group = selector.all_descendants
        self._within = f"//{selector.collection_id}" if self._is_group else collection

    def aggregate(self, request: Any) -> dict[str, Any]:
        """The server's answer to a `StructuredAggregationQuery`, whose query is set to this one."""
        request.structured_query.CopyFrom(self._query)
        return self._base.at.aggregate(self._parent, request)

    @property
    def is_the_servers(self) -> bool:
        """Whether the server's own answer is right as it is."""
        is_plain = not self._is_group and not self._is_from_end
        return is_plain and not any(layer.touches(self._within) for layer in self._layers)

    def documents(self) -> Iterator[Found]:
        """The documents, in order. What is recorded while they come does not change which come, nor what they hold."""
        limit = self._query.limit.value if self._query.HasField("limit") else None
        skipped = self._query.offset
        needed = None if limit is None else skipped + limit
        if needed == 0:
            return
        hidden = self._hidden()
        laid_over = self._laid_over(needed)
        stored = self._stored(needed, hidden)
        found: Iterator[Found] = ((item.path, item) for item in stored)
        if laid_over:
            found = merge(found, laid_over, key=self._key)
        for path, source in islice(found, skipped, needed):
            yield path, self._selected(source)

    def _hidden(self) -> Callable[[str], bool]:
        """Whether a stored document has no place in the answer, as of now."""
        moments = [(layer, layer.position()) for layer in self._layers]
        audit = f"{AUDIT_COLLECTION}/"
        return lambda path: path.startswith(audit) or any(layer.hides(path, moment) for layer, moment in moments)

    def _laid_over(self, needed: int | None) -> list[Found]:
        """The changed documents that the query finds, as they are now."""
        found: list[Found] = []
        upper, lower = self._layers
        moment = upper.position()
        for layer in self._layers:
            paths = layer.matching(self._within, self.asked)
            chosen = (path for path in paths if layer is upper or not upper.hides(path, moment))
            found += [(path, layer.after(path)) for path in islice(chosen, needed)]
        return sorted(found, key=self._key) if lower.touches(self._within) else found

    def _stored(self, needed: int | None, hidden: Callable[[str], bool]) -> Iterator[wire.Stored]:
        """The server's documents that are not hidden, at least `needed` of them where there are as many."""
        question = self.asked.query.SerializeToString(deterministic=True)
        asked = Asked(self.asked.query, self._base.at.reader.path)
        prefixes = self._layers[0].prefixes
        if question in prefixes:
            asked.query.start_at.CopyFrom(prefixes[question])
        select = self._query.select if asked.is_by_name and self._query.HasField("select") else None
        if select is not None:
            asked.query.select.CopyFrom(select)
        answers = self._streamed(asked) if needed is None and asked.is_by_name else self._paged(asked, needed, hidden)
        at_beginning, last_hidden = True, None
        for stored in answers:
            if hidden(stored.path):
                last_hidden = stored if at_beginning else last_hidden
                continue
            if at_beginning:
                self._remember_prefix(question, last_hidden)
                at_beginning = False
            if select is None:
                self._base.remember(stored)
            yield stored
        if at_beginning:
            self._remember_prefix(question, last_hidden)

    def _streamed(self, asked: Asked) -> Iterator[wire.Stored]:
        return self._base.at.stream(self._parent, asked.query)

    def _paged(self, asked: Asked, needed: int | None, hidden: Callable[[str], bool]) -> Iterator[wire.Stored]:
        """Ask for what is needed; as long as too little of it was visible, go on behind the last document."""
        visible = fruitless = 0
        while needed is None or visible < needed:
            page = _PAGE if needed is None else min(_PAGE, (needed - visible) << max(0, fruitless - 1))
            asked.query.limit.value = page
            answer = list(self._base.at.query(self._parent, asked.query))
            yield from answer
            if len(answer) < page:
                return
            shown = sum(not hidden(stored.path) for stored in answer)
            visible += shown
            fruitless = 0 if shown else fruitless + 1
            asked.resume_after(wire.Document.FromString(answer[-1].raw))

    def _remember_prefix(self, question: bytes, last_hidden: wire.Stored | None) -> None:
        if last_hidden is not None:
            asked = Asked(self.asked.query, self._base.at.reader.path)
            asked.resume_after(wire.Document.FromString(last_hidden.raw))
            self._layers[0].begin_behind(question, asked.query.start_at)

    def _key(self, found: Found) -> Any:
        path, source = found
        is_raw = type(source) is wire.Stored and not self.asked.is_by_name
        return self.asked.key(path, wire.Document.FromString(source.raw) if is_raw else source)

    def _selected(self, source: Any) -> Any:
        """The selected fields alone; where documents come by name, the server has selected them already."""
        is_raw = type(source) is wire.Stored
        if not self._query.HasField("select") or (is_raw and self.asked.is_by_name):
            return source
        return projected(wire.Document.FromString(source.raw) if is_raw else source, self._query.select)

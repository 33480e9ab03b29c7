"""The database, as a migration sees it: it reads at one time, and records instead of writing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from firestore_migrations.errors import DocumentError
from firestore_migrations.firestore.document import ATOMS

if TYPE_CHECKING:
    from firestore_migrations.authoring.client.batch import Batch, BulkWriter
    from firestore_migrations.authoring.client.collection import Collection
    from firestore_migrations.authoring.client.query import Query
    from firestore_migrations.authoring.client.reference import Reference, Snapshot
    from firestore_migrations.authoring.drafts import Base, Drafts
    from firestore_migrations.firestore.document import Document

_DEEPEST = 20


class Skipped(BaseException):
    """Leaves a transform: the document stays as it is. Not an Exception, so that no author's `except` swallows it."""


class Failed(BaseException):
    """Leaves a transform: the document is recorded as a failure, with the author's reason."""


class Database:
    """Reads documents as they were at the run's read time, and records what the plan will write.

    Nothing is written by any of these methods. A document is named by its path (`user_stats/abc`) or its reference.

    Attributes:
        now: one instant a run, in UTC. Use it instead of the clock: a plan is then the same however often it is made.
    """

    def __init__(self, drafts: Drafts, base: Base, now: datetime) -> None:
        self._drafts = drafts
        self._base = base
        self.now = now

    def get(self, path: str) -> Document | None:
        """The document at a path, or None where it is missing. It cannot be changed in place: use `update`."""
        return self._drafts.read(self._checked(path))

    def create(self, path: str, data: Mapping[str, Any]) -> None:
        """Create a document where it is missing; one that exists is left alone."""
        from firestore_migrations.authoring import assigning

        data = copied(data, path)

        def play(document: Document) -> None:
            if not document._exists:  # noqa: SLF001 -- the planner's side of Document
                document._revive()  # noqa: SLF001
                assigning.replace(document, data, self._base.codec)

        self._drafts.record(self._checked(path), play, if_missing=True)

    def set(self, path: str, data: Mapping[str, Any], merge: bool | Iterable[str] = False) -> None:
        """Give a document exactly these fields; with `merge`, change only the fields that are named.

        `merge` may also list the field paths of the data that count.
        """
        from firestore_migrations.authoring import assigning

        data = copied(data, path)
        only = None if isinstance(merge, bool) else tuple(merge)

        def play(document: Document) -> None:
            document._revive()  # noqa: SLF001
            if merge:
                assigning.merge(document, data, only, self._base.codec)
            else:
                assigning.replace(document, data, self._base.codec)

        self._drafts.record(self._checked(path), play)

    def update(self, path: str, data: Mapping[str, Any]) -> None:
        """Change fields of a document that exists; a key is a field path, dots lead into maps.

        Raises:
            DocumentError: when the plan is made, if the document is missing.
        """
        from firestore_migrations.authoring import assigning

        data = copied(data, path)
        checked = self._checked(path)

        def play(document: Document) -> None:
            if not document._exists:  # noqa: SLF001
                raise DocumentError(
                    f"{checked} is missing, so it cannot be updated.",
                    f'Use db.set("{checked}", {{...}}, merge=True), or look with db.get() first.',
                    path=checked,
                )
            assigning.update(document, data, self._base.codec)

        self._drafts.record(checked, play)

    def delete(self, path: str) -> None:
        """Delete a document; a missing one is left alone. Its subcollections stay, as Firestore keeps them."""
        self._drafts.record(self._checked(path), lambda document: document._remove())  # noqa: SLF001

    def skip(self, reason: str = "") -> None:
        """Leave the transform; this document stays as it is and counts as unchanged."""
        raise Skipped(reason)

    def fail(self, reason: str) -> None:
        """Leave the transform; this document is recorded as a failure. The reason must not quote its values."""
        raise Failed(reason)

    # In the shape of the official client, for scripts.

    def collection(self, *path: str) -> Collection:
        """A collection, to stream, query, or take documents from."""
        from firestore_migrations.authoring.client.collection import Collection

        self._drafts.look_around()
        return Collection(self, "/".join(path))

    def collection_group(self, collection_id: str) -> Query:
        """A query over every collection of that id."""
        from firestore_migrations.authoring.client.query import group

        self._drafts.look_around()
        return group(self, collection_id)

    def collections(self) -> Iterator[Collection]:
        """The database's top-level collections, the audit trail aside."""
        from firestore_migrations.authoring.client.collection import collections

        self._drafts.look_around()
        return collections(self, "")

    def document(self, *path: str) -> Reference:
        """A document, to get, set, update or delete."""
        from firestore_migrations.authoring.client.reference import reference

        self._drafts.look_around()
        return reference(self, self._checked("/".join(path)))

    def get_all(
        self, references: Iterable[Any], field_paths: Iterable[str] | None = None, **tuning: Any
    ) -> Iterator[Snapshot]:
        """The documents of many references, read together; in their order, also those that are missing."""
        from firestore_migrations.authoring.client.reference import get_all

        self._drafts.look_around()
        return get_all(self, references, field_paths, **tuning)

    def batch(self) -> Batch:
        """A batch of the official client's shape; its writes are recorded when it is committed."""
        from firestore_migrations.authoring.client.batch import Batch

        return Batch(self)

    def bulk_writer(self, *_: Any, **__: Any) -> BulkWriter:
        """A bulk writer of the official client's shape; its writes are recorded as they are added."""
        from firestore_migrations.authoring.client.batch import BulkWriter

        return BulkWriter(self)

    def transaction(self, **_: Any) -> Any:
        """Refused: there is nothing that a transaction could protect.

        Raises:
            DocumentError: always.
        """
        raise DocumentError(
            "A migration has no transactions: it reads everything at one time, and its plan is written in atomic "
            "batches that leave alone whatever changed since.",
            "Read with get() and record with set() or update(), without a transaction.",
        )

    def _checked(self, path: Any) -> str:
        return self._drafts.checked(path)


def copied(data: Any, path: Any) -> dict[str, Any]:
    """The data as it is now, whatever the author does to it afterwards."""
    if not isinstance(data, Mapping):
        raise DocumentError(
            f"The data for {path!r} is {type(data).__name__}, not a dict.",
            "Pass a dict of fields.",
            path=str(path),
        )
    return {name: _copy(value) for name, value in data.items()}


def _copy(value: Any, depth: int = 0) -> Any:
    """The value with its maps and arrays copied, as far down as Firestore takes them: a map may lie in itself."""
    if type(value) in ATOMS:
        return value
    if depth > _DEEPEST:
        raise DocumentError(
            "A value in the data lies in itself, or in more than 20 maps and arrays, all that Firestore holds.",
            "Move the inner part to a document of its own.",
        )
    if isinstance(value, Mapping):
        return {name: _copy(item, depth + 1) for name, item in value.items()}
    return [_copy(item, depth + 1) for item in value] if isinstance(value, (list, tuple)) else value

"""Batches of a script: the official client's shape, over what a plan does anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

    from firestore_migrations.authoring.database import Database


class Batch:
    """Writes that are recorded together, when the batch is committed; the plan cuts its own batches.

    Args:
        db: what they are recorded through.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._writes: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._writes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()

    def set(self, reference: Any, document_data: Mapping[str, Any], merge: bool | Iterable[str] = False) -> None:
        """Add a write of a whole document, or with `merge` of the fields that are named."""
        from firestore_migrations.authoring.database import copied

        self._add(partial(self._bound(reference).set, copied(document_data, reference), merge))

    def update(self, reference: Any, field_updates: Mapping[str, Any], option: Any = None) -> None:
        """Add a change of a document that exists."""
        from firestore_migrations.authoring.database import copied

        self._add(partial(self._bound(reference).update, copied(field_updates, reference), option))

    def create(self, reference: Any, document_data: Mapping[str, Any]) -> None:
        """Add a new document; refused where it exists."""
        from firestore_migrations.authoring.database import copied

        self._add(partial(self._bound(reference).create, copied(document_data, reference)))

    def delete(self, reference: Any, option: Any = None) -> None:
        """Add a deletion."""
        self._add(partial(self._bound(reference).delete, option))

    def commit(self, **_: Any) -> list[Any]:
        """Record what was added; there are no write results yet."""
        writes, self._writes = self._writes, []
        for write in writes:
            write()
        return []

    def _add(self, write: Callable[[], None]) -> None:
        self._writes.append(write)

    def _bound(self, reference: Any) -> Any:
        from firestore_migrations.authoring.client.reference import reference as bound

        return bound(self._db, self._db._checked(reference))  # noqa: SLF001 -- the script's side of Database


class BulkWriter(Batch):
    """A batch that records each write as it is added."""

    def flush(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Nothing is left to do."""

    def _add(self, write: Callable[[], None]) -> None:
        write()

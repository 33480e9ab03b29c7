"""Collections of a script: where its documents are taken from, listed and added."""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from google.cloud.firestore import Query as OfficialQuery

from firestore_migrations.authoring.client.query import Query, client_of
from firestore_migrations.authoring.client.reference import Reference, reference, refuse_options
from firestore_migrations.errors import DocumentError
from firestore_migrations.firestore.scope import AUDIT_COLLECTION

if TYPE_CHECKING:
    from firestore_migrations.authoring.database import Database


class Collection(Query):
    """A collection of the official client's shape.

    Args:
        db: what it reads and records through.
        path: relative to the database, like `users` or `users/abc/invoices`.

    Raises:
        DocumentError: it is no collection's path, or the audit's.
    """

    def __init__(self, db: Database, path: str) -> None:
        segments = path.split("/")
        if not all(segments) or len(segments) % 2 == 0:
            raise DocumentError(
                f"{path!r} is not the path of a collection.",
                "It has an odd number of segments, like 'users'.",
            )
        if segments[0] == AUDIT_COLLECTION:
            raise DocumentError(f"{path!r} belongs to the audit trail; no script reads it.", "Leave it alone.")
        super().__init__(db, OfficialQuery(client_of(db).collection(*segments)))
        self.path = path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Collection) and (self.path, self._db) == (other.path, other._db)

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"<Collection {self.path}>"

    @property
    def id(self) -> str:
        """The last segment of the path."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> Reference | None:
        """The document that the collection is under; None at the top."""
        parent = self.path.rpartition("/")[0]
        return reference(self._db, parent) if parent else None

    def document(self, document_id: str | None = None) -> Reference:
        """A document of the collection; without an id a new one, whose id is the same each time a plan is made."""
        chosen = self._db._drafts.automatic_id(self.path) if document_id is None else document_id  # noqa: SLF001
        return self._db.document(self.path, chosen)

    def add(
        self, document_data: Mapping[str, Any], document_id: str | None = None, **tuning: Any
    ) -> tuple[Any, Reference]:
        """Record a new document; gives the run's `now` and its reference.

        Without an id, a document that an earlier run of the same step added is left alone: adding it twice is adding
        it once.
        """
        refuse_options(tuning)
        added = self.document(document_id)
        if document_id is None:
            self._db.create(added.path, document_data)
        else:
            added.create(document_data)
        return self._db.now, added

    def list_documents(self, page_size: int | None = None, **tuning: Any) -> Iterator[Reference]:  # noqa: ARG002
        """References of all documents, also of missing ones that have subcollections."""
        from firestore_migrations.authoring.client.listing import listed_documents

        refuse_options(tuning)
        for path in listed_documents(self._db._drafts, self._db._base, self.path):  # noqa: SLF001
            yield reference(self._db, path)


def collections(db: Database, parent: str) -> Iterator[Collection]:
    """The collections under a document, or of the database itself where `parent` is empty; in order of their ids."""
    from firestore_migrations.authoring.client.listing import listed_collections

    for collection_id in listed_collections(db._drafts, db._base, parent):  # noqa: SLF001
        yield Collection(db, f"{parent}/{collection_id}" if parent else collection_id)

"""References and snapshots of a script: the official client's, reading and recording through the run's own database."""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from google.cloud.firestore import DocumentReference, DocumentSnapshot
from google.cloud.firestore_v1.types import StructuredQuery

from firestore_migrations.errors import DocumentError
from firestore_migrations.firestore import values, wire
from firestore_migrations.firestore.query import projected

if TYPE_CHECKING:
    from firestore_migrations.authoring.client.collection import Collection
    from firestore_migrations.authoring.database import Database

_TUNING = {"retry", "timeout"}
_REMEDIES = {
    "option": "Leave it out: every planned write is sent only if its document is still what was read.",
    "transaction": "Leave it out: everything is read at one time, and a plan is written in atomic batches.",
    "read_time": "Leave it out: a run reads everything at its own read time.",
}


class Reference(DocumentReference):
    """A document of the target; equal to the official reference of the same document, and stored like one.

    Args:
        path: the segments of its path.
        client: the codec's client of this database.
        db: what it reads and records through.
    """

    def __init__(self, *path: str, client: Any, db: Database) -> None:
        super().__init__(*path, client=client)
        self._db = db

    def __copy__(self) -> Reference:
        return Reference(*self._path, client=self._client, db=self._db)

    def __deepcopy__(self, _: Any) -> Reference:
        return self.__copy__()

    def get(self, field_paths: Iterable[str] | None = None, **tuning: Any) -> Snapshot:
        """The document after what was recorded."""
        refuse_options(tuning)
        return next(get_all(self._db, [self], field_paths))

    def set(self, document_data: Mapping[str, Any], merge: bool | Iterable[str] = False, **tuning: Any) -> None:
        """Record these fields as the whole document, or with `merge` only as those that are named."""
        refuse_options(tuning)
        self._db.set(self.path, document_data, merge)

    def update(self, field_updates: Mapping[str, Any], option: Any = None, **tuning: Any) -> None:
        """Record changes of a document that exists; a key is a field path."""
        refuse_options({**tuning, "option": option})
        self._db.update(self.path, field_updates)

    def create(self, document_data: Mapping[str, Any], **tuning: Any) -> None:
        """Record a new document.

        Raises:
            DocumentError: it exists.
        """
        refuse_options(tuning)
        if self._db._drafts.current(self.path) is not None:  # noqa: SLF001 -- the script's side of Database
            raise DocumentError(
                f"{self.path} exists already, so it cannot be created.",
                f'Use db.create("{self.path}", {{...}}), which leaves an existing document alone, or set().',
                path=self.path,
            )
        self._db.create(self.path, document_data)

    def delete(self, option: Any = None, **tuning: Any) -> None:
        """Record that the document goes away; its subcollections stay."""
        refuse_options({**tuning, "option": option})
        self._db.delete(self.path)

    def collection(self, collection_id: str) -> Collection:
        """A collection under this document."""
        return self._db.collection(self.path, collection_id)

    def collections(self, page_size: int | None = None, **tuning: Any) -> Iterator[Collection]:  # noqa: ARG002
        """The collections under this document."""
        from firestore_migrations.authoring.client.collection import collections

        refuse_options(tuning)
        return collections(self._db, self.path)

    @property
    def parent(self) -> Collection:
        """The collection that this document is in."""
        return self._db.collection(*self._path[:-1])


class Snapshot(DocumentSnapshot[Any]):
    """A document as a script read it, in the official snapshot's shape; decoded when it is asked for, and exactly.

    Args:
        db: what its references read and record through.
        path: relative to the database.
        source: the protobuf document or the stored one; None where it is missing.
    """

    def __init__(self, db: Database, path: str, source: Any) -> None:  # the official constructor would copy all data
        self._db = db
        self._source = source
        self._reference = reference(db, path)
        self._exists = source is not None

    @property
    def document(self) -> Any:
        """The protobuf document."""
        if type(self._source) is wire.Stored:
            self._source = wire.Document.FromString(self._source.raw)
        return self._source

    @property
    def _data(self) -> dict[str, Any] | None:
        """The fields, new objects each time; what the official methods read."""
        if not self._exists:
            return None
        fields = self.document.fields
        return {name: values.decode(fields[name], self._decoded_reference) for name in sorted(fields)}

    def to_dict(self) -> dict[str, Any] | None:
        """The fields; changing them changes nothing else. None where the document is missing."""
        return self._data

    def __getitem__(self, field_path: str) -> Any:
        return self.get(field_path)

    @property
    def create_time(self) -> Any:
        """When the document was created; None for one that the plan creates."""
        return self._time("create_time")

    @property
    def update_time(self) -> Any:
        """When the document was last changed; what the plan changes keeps its old time."""
        return self._time("update_time")

    @property
    def read_time(self) -> Any:
        """The run's read time."""
        base = self._db._base  # noqa: SLF001 -- the script's side of Database
        return base.codec.time(wire.timestamp(base.at.read_time))

    def _time(self, name: str) -> Any:
        known = self._exists and self.document.HasField(name)
        return self._db._base.codec.time(getattr(self.document, name)) if known else None  # noqa: SLF001

    def _decoded_reference(self, full_name: str) -> Any:
        codec = self._db._base.codec  # noqa: SLF001
        prefix = codec.full_name("")
        if full_name.startswith(prefix):
            return reference(self._db, full_name[len(prefix) :])
        return codec.reference(full_name)


def reference(db: Database, path: str) -> Reference:
    """The reference of a document; `path` is not checked before it is used."""
    base = db._base  # noqa: SLF001
    address = base.at.reader.address
    return Reference(*path.split("/"), client=base.codec.client(address.project, address.database), db=db)


def get_all(
    db: Database, references: Iterable[Any], field_paths: Iterable[str] | None = None, **tuning: Any
) -> Iterator[Snapshot]:
    """The documents of these references after what was recorded, read together, in their order."""
    refuse_options(tuning)
    paths = [db._checked(item) for item in references]  # noqa: SLF001
    db._drafts.fetch(paths)  # noqa: SLF001
    projection = None
    if field_paths is not None:
        projection = wire.StructuredQuery.Projection(
            fields=[StructuredQuery.FieldReference.pb()(field_path=path) for path in field_paths]
        )
    for path in paths:
        document = db._drafts.current(path)  # noqa: SLF001
        if document is not None and projection is not None:
            document = projected(document, projection)
        yield Snapshot(db, path, document)


def refuse_options(options: Mapping[str, Any]) -> None:
    """Accept what only tunes a request, and refuse what asks for something that a plan does not do.

    Raises:
        DocumentError: an option other than retry and timeout has a value.
    """
    for name, value in options.items():
        if name not in _TUNING and value is not None:
            raise DocumentError(f"A migration's db does not take {name}=.", _REMEDIES.get(name, "Leave it out."))

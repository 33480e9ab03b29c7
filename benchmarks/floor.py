"""The floor: one raw stream, and commits with preconditions, with nothing in between but what any writer must do."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.data import BATCH
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.connection import Writer
from firestore_migrations.firestore.scan import collection_query


def read(writer: Writer, collection: str) -> list[tuple[str, int]]:
    """Stream every document, parse it, and keep its name and update time."""
    request = wire.RunQueryRequest(
        parent=f"{writer.address.name}/documents", structured_query=collection_query(collection)
    )
    found = []
    for answer in writer.stream("RunQuery", request, wire.QueryAnswer, timeout=300):
        if answer.document.name:
            document = wire.Document.FromString(answer.document.SerializeToString())
            found.append((document.name, wire.micros(document.update_time)))
    return found


def write(writer: Writer, documents: list[tuple[str, int]]) -> None:
    """Change two fields of every document, each on condition of its update time, in atomic commits."""
    for first in range(0, len(documents), BATCH):
        writer.commit(list(_writes(documents[first : first + BATCH])), timeout=60)


def _writes(documents: list[tuple[str, int]]) -> Iterator[bytes]:
    for name, update_time in documents:
        change = wire.Write()
        change.update.name = name
        change.update.fields["tier"].string_value = "growth"
        change.update.fields["visits"].integer_value = 0
        change.update_mask.field_paths.extend(["tier", "visits"])
        change.current_document.update_time.CopyFrom(wire.timestamp(update_time))
        yield change.SerializeToString()

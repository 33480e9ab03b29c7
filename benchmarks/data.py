"""The data: documents of about 1 KB, the same in every run."""

from __future__ import annotations

from collections.abc import Iterator

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.connection import Writer

BATCH = 499
_TEXT = "The quick brown fox jumps over the lazy dog. " * 3


def load(writer: Writer, collection: str, count: int) -> None:
    """Write `count` documents of about 1 KB."""
    batch: list[bytes] = []
    for path, write in _writes(writer, collection, count):
        batch.append(write)
        if len(batch) == BATCH or path == f"{collection}/{count - 1:08d}":
            writer.commit(batch, timeout=60)
            batch = []


def _writes(writer: Writer, collection: str, count: int) -> Iterator[tuple[str, bytes]]:
    for number in range(count):
        path = f"{collection}/{number:08d}"
        write = wire.Write()
        write.update.name = writer.full_name(path)
        fields = write.update.fields
        fields["tier"].string_value = "professional"
        fields["visits"].integer_value = number
        fields["email"].string_value = f"user{number}@example.com"
        fields["created"].timestamp_value.seconds = 1_700_000_000 + number
        for index in range(5):
            fields[f"text{index}"].string_value = _TEXT
        address = fields["address"].map_value.fields
        address["city"].string_value = "Berlin"
        address["zip"].string_value = f"{number % 100_000:05d}"
        yield path, write.SerializeToString()

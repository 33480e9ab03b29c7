"""Everything: every document of a database, at any depth, but the audit."""

from __future__ import annotations

from collections.abc import Iterator

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.firestore.scan import collection_query, run_query
from firestore_migrations.firestore.scope import AUDIT_COLLECTION


def everything(reader: Reader, read_time: int) -> Iterator[wire.Stored]:
    """Yield every document of the database outside the audit, as it was at the read time, in the order of names.

    Args:
        reader: where from.
        read_time: microseconds since 1970.
    """
    for stored in _all(reader, read_time):
        if not stored.path.startswith(f"{AUDIT_COLLECTION}/"):
            yield stored


def the_audit(reader: Reader, read_time: int) -> Iterator[wire.Stored]:
    """Yield every document of the audit, at any depth, in the order of names."""
    for stored in _all(reader, read_time):
        if stored.path.startswith(f"{AUDIT_COLLECTION}/"):
            yield stored


def _all(reader: Reader, read_time: int) -> Iterator[wire.Stored]:
    query = collection_query("", all_descendants=True)
    yield from run_query(reader, f"{reader.address.name}/documents", query, read_time)

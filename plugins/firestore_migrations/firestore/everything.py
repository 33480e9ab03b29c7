"""Everything: every document of a database, at any depth, but the audit."""

from __future__ import annotations

from collections.abc import Iterator

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.firestore.scan import ALL, KeyRange, collection_query, run_any_query, run_query
from firestore_migrations.firestore.scope import AUDIT_COLLECTION

_THE_AUDIT = KeyRange(f"{AUDIT_COLLECTION}/__id{-(2**63)}__", f"{AUDIT_COLLECTION}\0/__id{-(2**63)}__")
"""From the first name that a document of the audit can have to the first behind all of them."""


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
    return _all(reader, read_time, _THE_AUDIT)


def is_empty(reader: Reader) -> bool:
    """Whether the database has no document at all, the audit included. Reads one."""
    query = collection_query("", all_descendants=True)
    query.limit.value = 1
    return not run_any_query(reader, f"{reader.address.name}/documents", query, None)


def _all(reader: Reader, read_time: int, keys: KeyRange = ALL) -> Iterator[wire.Stored]:
    query = collection_query("", all_descendants=True)
    return run_query(reader, f"{reader.address.name}/documents", query, read_time, keys)

"""One database in two shapes: the official client's, which writes, and ours, which reads at a time and records."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud.firestore import Client, DocumentReference, GeoPoint

from firestore_migrations.authoring.database import Database
from firestore_migrations.authoring.drafts import Base, Drafts
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.codec import Codec
from firestore_migrations.firestore.connection import Address, Reader
from firestore_migrations.firestore.point_in_time import PointInTime

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def official(host: str, project: str) -> Client:
    client = Client(project=project, credentials=AnonymousCredentials())
    client._emulator_host = host
    return client


def database(host: str, project: str, planned: dict[str, Any] | None = None) -> Database:
    """Ours, at the present time of the data."""
    reader = Reader(Address(project, "(default)", host))
    _, read_time = reader.get(["nowhere/nothing"])
    return on(Base(PointInTime(reader, read_time), Codec(reader), planned))


def on(base: Base) -> Database:
    return Database(Drafts(base, wire.timestamp(int(NOW.timestamp() * 1_000_000))), base, NOW)


def planned_by(db: Database) -> Base:
    """What a second pass starts from: everything that the first recorded."""
    return db._base.over({path: change.after for path, _, change in db._drafts.changes()})


def plain(value: Any) -> Any:
    """A value that is equal across projects: 1 is not 1.0 or True, NaN is itself, a reference is its path."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in sorted(value.items())}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, DocumentReference):
        return f"reference {value.path}"
    if isinstance(value, GeoPoint):
        return f"point {value.latitude} {value.longitude}"
    return f"{type(value).__name__} {value!r}"


def plain_snapshots(snapshots: Any) -> list[Any]:
    return [(snapshot.reference.path, plain(snapshot.to_dict())) for snapshot in snapshots]

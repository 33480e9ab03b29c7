"""What authors use to test a migration: the real run, from preflight to verify, on the emulator."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from firestore_migrations.authoring.migration import Migration, Step
from firestore_migrations.errors import UnknownVersion

Fields = Mapping[str, Any]


def load_migration(version: str, folder: Path | str | None = None) -> Migration:
    """The migration of a version (`v001`, or the file's whole stem).

    Args:
        version: which.
        folder: of the migrations; None for `migrations` in the working directory.

    Raises:
        AuthoringError: the file cannot be used.
        UnknownVersion: there is none.
    """
    from firestore_migrations.authoring.discovery import find, load

    place = Path(folder or "migrations")
    for path in find(place):
        if path.stem == version or path.stem.split("_", 1)[0] == version:
            return load(path)
    raise UnknownVersion(f"There is no {version} in {place.resolve()}.", "Look with `firestore-migrations check`.")


def assert_migrates(up: Step | Migration, before: Fields, after: Fields, *, now: datetime | None = None) -> None:
    """Assert that a migration makes `after` of `before`, that a second run changes nothing, and that its checks hold.

    Args:
        up: a step, or a whole migration.
        before: the fields of one document of the step's scope; or documents by path, and then `after` is every document
            there is afterwards, created ones included.
        after: as `before`.
        now: what `db.now` gives.

    Raises:
        AssertionError: the documents differ; it shows which fields.
        FirestoreMigrationsError: what the run itself raises.
    """
    migration = _migration_of(up) if isinstance(up, Step) else up
    is_single = not before or not all("/" in key for key in before)
    path = _a_path(migration) if is_single else ""
    documents: Any = {path: before} if is_single else before
    expected: Any = {path: after} if is_single else after
    found = _run_for_real(migration, documents, now)
    for name in sorted({*found, *expected}):
        _compare(name, found.get(name), expected.get(name))


def _run_for_real(migration: Migration, documents: Mapping[str, Fields], now: datetime | None) -> dict[str, Fields]:
    """Write the documents into a database of their own, run the migration twice, and read every document back."""
    from firestore_migrations.firestore.codec import Codec
    from firestore_migrations.firestore.connection import Address, Writer
    from firestore_migrations.runs.phases import perform
    from firestore_migrations.runs.run import Run, Target

    address = Address(f"demo-{uuid.uuid4().hex[:12]}", emulator_host=_emulator())
    with Writer(address) as writer, tempfile.TemporaryDirectory() as storage:
        codec = Codec(writer)
        _write(writer, codec, documents)
        target = Target("test", address, Path(storage))
        for name in ("first", "second"):
            run = Run(name, migration, target, now=now)
            shards = perform(run, "preflight")
            for phase in ("backup", "dry_run"):
                for shard in shards:
                    perform(run, phase, shard["index"])
            planned = perform(run, "review")
            if name == "second" and migration.is_idempotent and planned["rows"]:
                raise AssertionError(f"a second run would write {planned['rows']} documents: {planned['counts']}")
            for shard in shards:
                perform(run, "apply", shard["index"])
            perform(run, "verify")
            perform(run, "finish")
            if not migration.is_idempotent:
                break
        return _read_all(writer, codec)


def _write(writer: Any, codec: Any, documents: Mapping[str, Fields]) -> None:
    from firestore_migrations.firestore import wire

    for path, fields in documents.items():
        write = wire.Write()
        write.update.name = writer.full_name(path)
        for field, value in fields.items():
            write.update.fields[field].CopyFrom(codec.encode(value, field))
        writer.commit([write.SerializeToString()], timeout=30)


def _read_all(writer: Any, codec: Any) -> dict[str, Fields]:
    from firestore_migrations.firestore import wire
    from firestore_migrations.firestore.document import Document
    from firestore_migrations.firestore.scan import collection_query, run_query

    query = collection_query("", all_descendants=True)
    found = run_query(writer, f"{writer.address.name}/documents", query, None)
    return {
        stored.path: Document(stored.path, codec, wire.Document.FromString(stored.raw)).to_dict()
        for stored in found
        if not stored.path.startswith("_migrations/")
    }


def _compare(path: str, found: Fields | None, expected: Fields | None) -> None:
    if found is None or expected is None:
        raise AssertionError(f"{path} is {'missing' if found is None else 'there, unexpectedly'} afterwards")
    different = {
        field: (found.get(field, "absent"), expected.get(field, "absent"))
        for field in sorted({*found, *expected})
        if found.get(field, "absent") != expected.get(field, "absent")
    }
    if different:
        lines = [f"  {field}: {have!r}, expected {want!r}" for field, (have, want) in different.items()]
        raise AssertionError("\n".join([f"{path} differs afterwards:", *lines]))


def _migration_of(step: Step) -> Migration:
    return Migration("v001", step.name, step.__doc__ or step.name, Path(f"v001_{step.name}.py"), "", step.name, (step,))


def _a_path(migration: Migration) -> str:
    """The path of some document in the scope of the first step."""
    scope = migration.steps[0].scope
    if scope is None:
        raise AssertionError("a script is tested with documents by path: before={'users/a': {...}}")
    segments = scope.collection.split("/")
    return "/".join("a" if segment.startswith("{") else segment for segment in [*segments, "a"])


@cache
def _emulator() -> str:
    """The host of an emulator that lasts as long as the process."""
    host = os.environ.get("FIRESTORE_EMULATOR_HOST")
    if host:
        return host
    from firestore_migrations import emulator

    return emulator.start().host

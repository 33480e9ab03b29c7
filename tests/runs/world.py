"""A small world: one database, its storage, and runs against it, phase by phase as the DAG performs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from firestore_migrations.authoring.migration import Migration, Step
from firestore_migrations.errors import FirestoreMigrationsError
from firestore_migrations.firestore import values, wire
from firestore_migrations.firestore.codec import Codec
from firestore_migrations.firestore.connection import Address, Writer
from firestore_migrations.firestore.document import Document
from firestore_migrations.firestore.scan import collection_query, run_query
from firestore_migrations.firestore.scope import AUDIT_COLLECTION
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.options import Options
from firestore_migrations.runs.phases import OF_SHARD, perform
from firestore_migrations.runs.run import Run, Target
from firestore_migrations.runs.storage import Folder

PHASES = ("preflight", "backup", "dry_run", "review", "approve", "apply", "verify", "finish")
Fields = Mapping[str, Any]


class Life:
    """One run and what its phases returned: `results["apply"]` is a list, one result a shard."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.results: dict[str, Any] = {}
        self._shards: list[int] = []

    @property
    def folder(self) -> Folder:
        return self.run.folder

    def perform(self, phase: str, up_to: str = "") -> Life:
        """Perform one phase, or all up to another; where one fails, `finish` follows, as in the DAG."""
        first, last = PHASES.index(phase), PHASES.index(up_to or phase)
        for name in PHASES[first : last + 1]:
            try:
                self._perform(name)
            except Exception:
                with suppress(FirestoreMigrationsError):
                    perform(self.run, "finish")
                raise
        return self

    def go_on(self, up_to: str = "finish") -> Life:
        """Perform every phase that has no result yet."""
        return self.perform(next(phase for phase in PHASES if phase not in self.results), up_to)

    def _perform(self, phase: str) -> None:
        if phase in OF_SHARD:
            self.results[phase] = [perform(self.run, phase, shard) for shard in self._shards]
            return
        self.results[phase] = perform(self.run, phase)
        if phase == "preflight":
            self._shards = [shard["index"] for shard in self.results[phase]]


class World:
    """A database that nobody else uses.

    Args:
        host: of the emulator.
        project: its project.
        storage: a local folder.
        database: its id.
    """

    def __init__(self, host: str, project: str, storage: Path, database: str = "(default)") -> None:
        self.address = Address(project, database, emulator_host=host)
        self.storage = storage
        self.writer = Writer(self.address)
        self.codec = Codec(self.writer)
        self.audit = Audit(Ledger(self.writer))
        self._runs = 0

    def write(self, documents: Mapping[str, Fields]) -> int:
        """Replace documents, in one commit; fields may be protobuf values. Returns its time."""
        writes = []
        for path, fields in documents.items():
            write = wire.Write()
            write.update.name = self.writer.full_name(path)
            for name, value in fields.items():
                stored = value if type(value) is wire.Value else values.encode(value, name)
                write.update.fields[name].CopyFrom(stored)
            writes.append(write.SerializeToString())
        return self.writer.commit(writes, timeout=30)

    def change(self, path: str, **fields: Any) -> None:
        """Change some fields of one document, as a client's update does."""
        write = wire.Write()
        write.update.name = self.writer.full_name(path)
        for name, value in fields.items():
            write.update.fields[name].CopyFrom(values.encode(value, name))
            write.update_mask.field_paths.append(name)
        self.writer.commit([write.SerializeToString()], timeout=30)

    def delete(self, *paths: str) -> None:
        """Delete documents."""
        writes = [wire.Write(delete=self.writer.full_name(path)).SerializeToString() for path in paths]
        self.writer.commit(writes, timeout=30)

    def read(self) -> dict[str, bytes]:
        """Every document's contents in canonical bytes, the audit aside."""
        return {
            path: values.canonical(wire.Document.FromString(raw).fields)
            for path, raw in self._everything()
            if not path.startswith(f"{AUDIT_COLLECTION}/")
        }

    def data(self) -> dict[str, dict[str, Any]]:
        """Every document in Python's types, the audit aside."""
        return {path: data for path, data in self._decoded() if not path.startswith(f"{AUDIT_COLLECTION}/")}

    def records(self) -> dict[str, dict[str, Any]]:
        """Every document of the audit, by its path behind `_migrations/`."""
        return {
            path.partition("/")[2]: data for path, data in self._decoded() if path.startswith(f"{AUDIT_COLLECTION}/")
        }

    def update_times(self) -> dict[str, int]:
        """When each document was last changed, the audit aside."""
        stored = {path: wire.micros(wire.Document.FromString(raw).update_time) for path, raw in self._everything()}
        return {path: at for path, at in stored.items() if not path.startswith(f"{AUDIT_COLLECTION}/")}

    def migration(self, *steps: Step, version: str = "v001", checksum: str = "0" * 64) -> Migration:
        name = steps[0].name
        return Migration(version, name, f"What {name} does.", Path(f"{version}_{name}.py"), "", checksum, steps)

    def begin(
        self,
        what: Migration | Step,
        *,
        run_id: str = "",
        now: datetime | None = None,
        known: tuple[str, ...] = (),
        checksums: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Life:
        """A run that has done nothing yet; `options` are those of a DAG run."""
        self._runs += 1
        migration = what if isinstance(what, Migration) else self.migration(what)
        target = Target("here", self.address, self.storage, writes_per_second=0)
        return Life(
            Run(
                run_id or f"run-{self._runs}",
                migration,
                target,
                Options(**options),
                known=known,
                checksums=checksums or {},
                dag_id=migration.dag_id,
                triggered_by="ada",
                now=now,
            )
        )

    def run(self, what: Migration | Step, *, up_to: str = "finish", **facts: Any) -> Life:
        """A run that was performed, up to and with a phase; a dry run ends after `review`."""
        life = self.begin(what, **facts)
        if life.run.options.mode == "dry_run":
            return life.perform("preflight", "review").perform("finish")
        return life.perform("preflight", up_to)

    def up_and_down(self, what: Migration | Step, between: Callable[[], object] = lambda: None) -> tuple[Life, Life]:
        """A run up, then something else, then the run that takes it back."""
        up = self.run(what)
        between()
        return up, self.run(what, direction="down")

    def state(self, version: str = "v001") -> str:
        """The version's state in the audit."""
        return str(self.audit.versions()[version]["state"])

    def lease(self, **fields: Any) -> None:
        """Change the lease by hand."""
        self.change(f"{AUDIT_COLLECTION}/_lease", **fields)

    def close(self) -> None:
        self.writer.close()

    def _everything(self) -> list[tuple[str, bytes]]:
        query = collection_query("", all_descendants=True)
        found = run_query(self.writer, f"{self.address.name}/documents", query, None)
        return [(stored.path, stored.raw) for stored in found]

    def _decoded(self) -> list[tuple[str, dict[str, Any]]]:
        return [
            (path, Document(path, self.codec, wire.Document.FromString(raw)).to_dict())
            for path, raw in self._everything()
        ]

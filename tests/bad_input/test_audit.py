"""Documents of the audit that people altered by hand: each is named by whoever reads it, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from firestore_migrations.emulator import Emulator
from firestore_migrations.errors import AuditAltered
from firestore_migrations.firestore import values, wire
from tests.bad_input.clear import assert_failed, assert_says, fingerprint
from tests.bad_input.conftest import Perform
from tests.cli.conftest import ADD_GREETING, Terminal
from tests.runs.world import World

pytestmark = pytest.mark.usefixtures("airflow_home")

GONE = object()
VERSION, RUN, LEASE = "_migrations/v001", "_migrations/v001/runs/first", "_migrations/_lease"
ROWS: dict[str, tuple[str, dict[str, Any], str]] = {
    "version: no state": (VERSION, {"state": GONE}, "status run history"),
    "version: an unknown state": (VERSION, {"state": "aplied"}, "status run"),
    "version: a state of another type": (VERSION, {"state": 5}, "status run"),
    "version: a state that is a list": (VERSION, {"state": ["applied"]}, "status run"),
    "version: no checksum": (VERSION, {"checksum": GONE}, "status run"),
    "version: null for a checksum": (VERSION, {"checksum": None}, "status run"),
    "version: no percentage": (VERSION, {"rollout_percent": GONE}, "status verify"),
    "version: a percentage in words": (VERSION, {"rollout_percent": "all"}, "status verify"),
    "version: no windows": (VERSION, {"windows": GONE}, "status run"),
    "run: no state": (RUN, {"state": GONE}, "history rollback"),
    "run: an unknown state": (RUN, {"state": "done"}, "history rollback"),
    "run: no direction": (RUN, {"direction": GONE}, "history rollback"),
    "run: an unknown direction": (RUN, {"direction": "sideways"}, "history rollback"),
    "run: no beginning": (RUN, {"started_at": GONE}, "history rollback"),
    "run: a beginning in words": (RUN, {"started_at": "yesterday"}, "history"),
    "run: an end that is a number": (RUN, {"finished_at": 5}, "history"),
    "run: no counts": (RUN, {"counts": GONE}, "history"),
    "run: counts that are a list": (RUN, {"counts": [1]}, "history"),
    "run: counts without the scanned": (RUN, {"counts": {"updated": 1}}, "history"),
    "run: counts in words": (RUN, {"counts": {"scanned": "3", "unchanged": 0}}, "history"),
    "run: no price": (RUN, {"price": GONE}, "history"),
    "run: a price in words": (RUN, {"price": "free"}, "history"),
    "run: an error that is a map": (RUN, {"error": {"a": 1}}, "history"),
    "run: no checksum": (RUN, {"checksum": GONE}, "history"),
    "lease: no holder": (LEASE, {"holder": GONE}, "status run"),
    "lease: a holder that is a number": (LEASE, {"holder": 7}, "status run"),
    "lease: no end": (LEASE, {"expires_at": GONE}, "status run"),
    "lease: an end in words": (LEASE, {"expires_at": "soon"}, "status run"),
    "lease: no fence": (LEASE, {"fence": GONE}, "status run"),
    "lease: a fence with a fraction": (LEASE, {"fence": 1.5}, "status run"),
    "a note among the versions": ("_migrations/notes", {"text": "hello"}, "status run history"),
    "an empty version": ("_migrations/v009", {}, "status run"),
    "an empty run": ("_migrations/v001/runs/other", {}, "history rollback"),
    "an event of nothing": (f"{RUN}/events/0", {}, "history"),
    "a batch of nothing": (f"{RUN}/batches/x", {}, "verify"),
    "a batch in words": (f"{RUN}/batches/x", {"shard": "a", "writes": "b", "drifted": 0}, "verify"),
}
"""What is altered, how, and which commands depend on it."""

COMMANDS = {
    "status": ["status"],
    "history": ["history", "v001"],
    "verify": ["verify", "v001"],
}


@pytest.fixture(scope="module")
def world(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A version that was applied by one run."""
    from uuid import uuid4

    made = World(emulator.host, f"demo-{uuid4().hex[:12]}", tmp_path_factory.mktemp("world") / "storage")
    made.write({"users/ada": {"name": "Ada"}, "users/bob": {"name": "Bob"}})
    yield made
    made.close()


@pytest.fixture
def applied(world: World, terminal: Terminal) -> World:
    terminal.write("v001_add_greeting.py", ADD_GREETING)
    if "v001" not in world.records():
        world.run(terminal.migration("v001"), run_id="first")
    return world


def altered(world: World, path: str, fields: dict[str, Any]) -> Callable[[], object]:
    """Alter a document by hand; gives what puts it back."""
    raw = fingerprint(world).get(path)
    write = wire.Write()
    write.update.name = world.writer.full_name(path)
    if raw is not None:
        write.update.MergeFrom(wire.Document.FromString(raw))
        for moment in ("create_time", "update_time"):
            write.update.ClearField(moment)
    before = write.SerializeToString()
    for name, value in fields.items():
        if value is GONE:
            del write.update.fields[name]
        else:
            write.update.fields[name].CopyFrom(values.encode(value, name))
    world.writer.commit([write.SerializeToString()], timeout=30)
    delete = wire.Write(delete=world.writer.full_name(path)).SerializeToString()
    return lambda: world.writer.commit([delete if raw is None else before], timeout=30)


@pytest.mark.parametrize("name", ROWS)
def test_a_record_that_was_altered_is_named_by_every_command_that_depends_on_it(
    applied: World, terminal: Terminal, perform: Perform, name: str
) -> None:
    path, fields, readers = ROWS[name]
    put_back = altered(applied, path, fields)
    before = documents(applied)
    try:
        for reader in readers.split():
            if reader in COMMANDS:
                typed = terminal.type(*COMMANDS[reader], "--output", "json")
                assert_failed(typed, 1, AuditAltered, path)
            else:
                direction = "down" if reader == "rollback" else "up"
                assert_says(perform("preflight", conf={"direction": direction}), "AuditAltered: ", path)
        assert documents(applied) == before
    finally:
        put_back()
    assert applied.records()["_lease"]["holder"] == ""
    assert terminal.type("status").code == 0


def documents(world: World) -> dict[str, bytes]:
    """Everything but the lease, which a run takes to look, and gives back."""
    return {path: raw for path, raw in fingerprint(world).items() if path != LEASE}

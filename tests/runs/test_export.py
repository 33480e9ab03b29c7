"""The managed export, against a server that speaks Google's Admin API over a real socket, and the emulator for data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from google.rpc import code_pb2

from firestore_migrations import Database, Document, each_document, script
from firestore_migrations.errors import ExportFailed, Unavailable
from firestore_migrations.runs.export import await_export, begin_export, export_uri
from firestore_migrations.runs.policy import Policy
from firestore_migrations.runs.preflight import course_of
from firestore_migrations.runs.run import microseconds
from tests.admin_server import AdminServer
from tests.runs.world import Life, World

RUN = "manual__2026-01-01T10:00:00+02:00"
URI = "gs://backups/firestore/v001/manual__2026-01-01T10%3A00%3A00%2B02%3A00"


@each_document("users")
def up(user: Document, db: Database) -> None:
    user["seen"] = True


@each_document("invoices", group=True)
def invoices(invoice: Document, db: Database) -> None:
    invoice["seen"] = True


@script
def by_hand(db) -> None:
    db.collection("stats").document("all").set({"n": 1})


@pytest.fixture
def server() -> Iterator[AdminServer]:
    with AdminServer(looks=0) as made:
        yield made


def begin(world: World, *steps, admin_host: str | None, run_id: str = RUN, **options) -> Life:
    world.write({"users/ada": {"n": 1}})
    life = world.begin(world.migration(*(steps or (up,))), run_id=run_id, **options)
    target = replace(
        life.run.target,
        address=replace(world.address, admin_host=admin_host),
        policy=Policy(export_to="gs://backups/firestore/"),
    )
    return Life(replace(life.run, target=target))


def audited(life: Life, world: World) -> dict:
    return world.audit.run(life.run)["export"]


def messages(life: Life, world: World) -> list[str]:
    events = world.audit.events(life.run.version, life.run.id)
    return [event["message"] for event in events if event["task"] == "backup"]


def test_the_export_is_of_the_scopes_collections_as_of_the_read_times_minute_and_its_address_is_in_the_audit(
    world: World, server: AdminServer
) -> None:
    life = begin(world, up, invoices, admin_host=server.host).perform("preflight", "finish")
    (request,) = server.started
    read_time = microseconds(world.audit.run(life.run)["read_time"])
    assert (request.name, request.output_uri_prefix, list(request.collection_ids)) == (
        world.address.name,
        URI,
        ["invoices", "users"],
    )
    assert request.snapshot_time.ToMicroseconds() == read_time - read_time % 60_000_000
    assert server.routing == [f"name={world.address.name}".replace("/", "%2F").replace("(", "%28").replace(")", "%29")]
    assert audited(life, world) == {"uri": URI, "operation": f"{world.address.name}/operations/ExportDocuments1"}
    assert (life.results["backup"][0]["export"], world.state()) == (URI, "verified")


def test_a_script_may_write_anything_so_everything_is_exported(world: World, server: AdminServer) -> None:
    begin(world, up, by_hand, admin_host=server.host).perform("preflight", "backup")
    assert list(server.started[0].collection_ids) == []


def test_an_instant_that_the_database_no_longer_keeps_is_left_out(world: World, server: AdminServer) -> None:
    server.earliest_version_time = int(time.time())
    life = begin(world, admin_host=server.host).perform("preflight", "backup")
    assert not server.started[0].HasField("snapshot_time")
    assert messages(life, world)[0] == f"started a managed export, of no one instant, to {URI}"


def test_an_export_whose_answer_was_lost_is_found_again_and_not_started_twice(world: World) -> None:
    with AdminServer(looks=0, loses=lambda method: method == "ExportDocuments") as server:
        life = begin(world, admin_host=server.host).perform("preflight")
        with pytest.raises(Unavailable):
            life._perform("backup")
        life._perform("backup")
        life._perform("backup")
    assert len(server.started) == 1
    assert messages(life, world)[-2:] == [
        f"found the managed export that this run had started to {URI}",
        f"the managed export to {URI} is complete",
    ]


KILLED = """
import os, signal, sys
from pathlib import Path
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.phases import perform
from tests.runs.test_export import begin
from tests.runs.world import World

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

host, project, storage, admin_host = sys.argv[1:]
life = begin(World(host, project, Path(storage)), admin_host=admin_host)
Audit.record = lambda *args, **facts: die() if "export" in facts else None
perform(life.run, "backup", 0)
"""


def test_a_worker_that_is_killed_between_start_and_record_leaves_one_export_that_the_next_one_takes_over(
    world: World, server: AdminServer
) -> None:
    life = begin(world, admin_host=server.host).perform("preflight")
    place = [world.address.emulator_host, world.address.project, str(world.storage), server.host]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *place],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, len(server.started)) == (-signal.SIGKILL, 1), done.stderr
    assert "export" not in world.audit.run(life.run)
    life.go_on()
    assert (len(server.started), audited(life, world)["uri"], world.state()) == (1, URI, "verified")


def test_a_failed_export_fails_backup_with_googles_reason_and_nothing_is_written(world: World) -> None:
    error = (code_pb2.PERMISSION_DENIED, "the service agent may not write to bucket backups")
    with AdminServer(looks=0, error=error) as server, pytest.raises(ExportFailed) as failure:
        begin(world, admin_host=server.host).perform("preflight", "apply")
    assert "PERMISSION_DENIED: the service agent may not write to bucket backups" in str(failure.value)
    assert world.data() == {"users/ada": {"n": 1}}


def test_waiting_looks_again_until_the_export_has_ended(world: World) -> None:
    with AdminServer(looks=3) as server:
        life = begin(world, admin_host=server.host).perform("preflight")
        name = begin_export(life.run, course_of(life.run).read_time)
        assert await_export(life.run, name, seconds=0.01) == URI


def test_the_emulator_has_no_export_and_the_run_says_so(world: World) -> None:
    life = begin(world, admin_host=None).perform("preflight", "finish")
    assert (audited(life, world), messages(life, world), world.state()) == (
        None,
        ["no managed export: the emulator has none"],
        "verified",
    )


@pytest.mark.parametrize("options", [{"mode": "dry_run"}, {"direction": "down"}])
def test_what_writes_nothing_new_exports_nothing(world: World, server: AdminServer, options: dict) -> None:
    world.run(world.migration(up), run_id="before")
    life = begin(world, admin_host=server.host, **options).perform("preflight", "backup")
    assert (server.started, "export" in world.audit.run(life.run)) == ([], False)


@pytest.mark.parametrize(
    ("run_id", "folder"),
    [("a:b#c[d]*?", "a%3Ab%23c%5Bd%5D%2A%3F"), ("..", "%2E%2E"), ("2026-01-01_~.x", "2026-01-01_~.x")],
)
def test_a_prefix_has_no_character_that_cloud_storage_minds(world: World, run_id: str, folder: str) -> None:
    assert export_uri(begin(world, admin_host="x", run_id=run_id).run) == f"gs://backups/firestore/v001/{folder}"

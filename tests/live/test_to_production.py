"""The way of a version to production, on a running Airflow and a real emulator, as docs/production.md goes it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from firestore_migrations.authoring.discovery import discover
from firestore_migrations.emulator import Emulator
from firestore_migrations.runs.storage import Folder
from tests.live.airflow import Live, living
from tests.runs.world import World

MIGRATIONS = Path(__file__).parent / "migrations"
GREET, DATE = "firestore_v001_greet_users", "firestore_v002_date_events"
FAIL, FOLLOW = "firestore_v003_fail_on_some", "follow_users"
PRODUCTION = {"target": "production"}
FIRST = datetime(2026, 3, 1, tzinfo=timezone.utc)
SECRET = "a name that nobody may read"
USERS: dict[str, dict[str, Any]] = {f"users/user{number}": {"name": SECRET} for number in range(20)}
EVENTS: dict[str, dict[str, Any]] = {
    f"events/{hours}": {"at": FIRST + timedelta(hours=hours)} for hours in range(0, 72, 6)
}
UNDATED: dict[str, dict[str, Any]] = {"events/undated": {"n": 1}}
TEXT = "{{ firestore_migration.version }} {{ firestore_migration.target }} {{ firestore_migration.state }}"


@contextmanager
def statsd() -> Iterator[tuple[int, set[str]]]:
    """A server of StatsD's protocol on a port of its own; the names of the metrics that come."""
    names: set[str] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.2)
        is_over = threading.Event()

        def listen() -> None:
            while not is_over.is_set():
                try:
                    names.update(line.split(b":")[0].decode() for line in server.recv(65_536).splitlines())
                except TimeoutError:
                    continue

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield server.getsockname()[1], names
        finally:
            is_over.set()
            thread.join()


@pytest.fixture
def production(emulator: Emulator, tmp_path: Path) -> Iterator[World]:
    made = World(emulator.host, "live", tmp_path / "storage", "production")
    made.write({**USERS, **EVENTS, **UNDATED})
    yield made
    made.close()


@pytest.fixture
def told(tmp_path: Path) -> Path:
    return tmp_path / "told"


@pytest.fixture
def metrics() -> Iterator[tuple[int, set[str]]]:
    with statsd() as made:
        yield made


@pytest.fixture
def airflow(production: World, tmp_path: Path, told: Path, metrics: tuple[int, set[str]]) -> Iterator[Live]:
    states = ["awaiting_approval", "rejected", "failed", "verified"]
    notifier = {"notifier": "tests.airflow.recorder.Recorder", "kwargs": {"text": TEXT, "path": str(told)}}
    settings = {
        "firestore_migrations": {
            "migrations_folder": MIGRATIONS,
            "targets": "production,rehearsal",
            "rehearsal_target": "rehearsal",
            "rehearsals": f"file://{tmp_path}/rehearsals",
            "notifications": json.dumps([{"on": states, **notifier}]),
        },
        "metrics": {"statsd_on": True, "statsd_host": "127.0.0.1", "statsd_port": metrics[0]},
    }
    place = {"project": "live", "emulator_host": production.address.emulator_host, "storage": f"file://{tmp_path}/s"}
    connections = {
        "production": {**place, "database": "production", "environment": "production"},
        "rehearsal": {**place, "database": "rehearsal", "rehearsal_of": "production"},
    }
    with living(tmp_path / "airflow", settings, connections) as live:
        yield live


def test_a_version_comes_to_production_by_rehearsal_approval_and_backfill(
    airflow: Live, production: World, told: Path, metrics: tuple[int, set[str]], tmp_path: Path
) -> None:
    before = production.read()

    run_id, state = airflow.run(GREET, **PRODUCTION)
    assert (state, production.read()) == ("failed", before)
    error = production.audit.runs("v001")[run_id]["error"]
    assert "without a passed rehearsal" in error
    assert "`firestore-migrations rehearse v001`" in error
    assert _told(told) == ["v001 production failed"]

    run_id, state = airflow.run("firestore_rehearsal")
    tasks = airflow.tasks("firestore_rehearsal", run_id)
    assert (state, tasks["v003_up"], tasks["v002_down"], tasks["compare"]) == ("failed", "failed", "success", "success")
    assert _verdicts(tmp_path) == {"v001": "passed", "v002": "passed", "v003": "failed"}
    assert production.read() == before

    run_id = airflow.trigger("firestore_upgrade", **PRODUCTION, to="v001")
    child = airflow.run_of(GREET, f"upgrade__{run_id}")
    page = airflow.answer(GREET, child, "Approve")
    assert airflow.end_of("firestore_upgrade", run_id) == "success"
    assert [airflow.tasks("firestore_upgrade", run_id)[name] for name in ("v001", "v002")] == ["success", "skipped"]
    run = production.audit.runs("v001")[child]
    assert (run["state"], run["approved_by"], run["counts"]["updated"]) == ("verified", "admin", len(USERS))
    assert page["subject"].endswith(run["approved_digest"][:16])
    assert SECRET not in page["body"]

    follower = airflow.run_of(FOLLOW, "asset")
    assert airflow.end_of(FOLLOW, follower) == "success"
    extra = airflow.result(FOLLOW, follower, "take_note")
    assert {name: extra[name] for name in ("version", "run", "state", "plan_digest")} == {
        "version": "v001",
        "run": child,
        "state": "verified",
        "plan_digest": run["plan_digest"],
    }

    _backfill(airflow, production)

    run_id, state = airflow.run(FAIL, **PRODUCTION)
    assert (state, "failed: v003 ended as failed" in production.audit.runs("v003")[run_id]["error"]) == ("failed", True)
    names = {name.partition("firestore_migrations.")[2].partition(".")[0] for name in metrics[1]}
    assert {"documents", "writes", "seconds"} <= names  # whether a window had to wait, the scheduler decides
    assert {"v001 production awaiting_approval", "v001 production verified", "v002 production verified"} <= {
        *_told(told)
    }


def _backfill(airflow: Live, production: World) -> None:
    """Three days of events, of which the first asks and answers for the others; then the sweep."""
    airflow.command(
        *("airflow", "backfill", "create", "--dag-id", DATE, "--from-date", "2026-03-01", "--to-date", "2026-03-03"),
        *("--max-active-runs", "1", "--dag-run-conf", json.dumps(PRODUCTION)),
    )
    windows = [airflow.run_of(DATE, f"backfill__2026-03-0{day}") for day in (2, 3, 4)]
    march = {"others_from": FIRST.isoformat(), "others_to": (FIRST + timedelta(days=31)).isoformat()}
    page = airflow.answer(DATE, windows[0], "Approve", **march, others_most_writes=8, others_most_price=0.01)
    assert "**1** document has no timestamp" in page["body"]
    assert [airflow.end_of(DATE, run) for run in windows] == ["success"] * 3
    runs = production.audit.runs("v002")
    assert [(runs[run]["counts"]["updated"], runs[run]["approved_by"]) for run in windows] == [(4, "admin")] * 3
    assert {path: data["day"] for path, data in production.data().items() if "day" in data} == {
        path: data["at"].strftime("%Y-%m-%d") for path, data in EVENTS.items()
    }
    status = json.loads(airflow.command("firestore_migrations.cli", "status", *_TARGET, "--output", "json"))
    (version,) = [one for one in status["versions"] if one["version"] == "v002"]
    assert (version["state"], version["windows"]["missing"], version["windows"]["overlapping"]) == ("partial", [], [])
    assert [(one["from"][:10], one["to"][:10]) for one in version["windows"]["done"]] == [("2026-03-01", "2026-03-04")]

    sweep = airflow.trigger(DATE, **PRODUCTION)
    airflow.answer(DATE, sweep, "Approve")
    assert airflow.end_of(DATE, sweep) == "success"
    assert production.audit.runs("v002")[sweep]["counts"]["updated"] == len(UNDATED)
    assert production.state("v002") == "verified"


_TARGET = ("--target", "production")


def _verdicts(folder: Path) -> dict[str, str]:
    results = Folder(folder / "rehearsals")
    found = [
        (results / migration.checksum).read_json(name)
        for migration in discover(MIGRATIONS).migrations
        for name in (results / migration.checksum).names()
    ]
    return {one["version"]: one["verdict"] for one in found}


def _told(path: Path) -> list[str]:
    return [json.loads(line) for line in path.read_text().splitlines()]

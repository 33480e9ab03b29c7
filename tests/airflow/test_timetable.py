"""The DAG of a version with windows: backfillable, never run by the clock, each run of a backfill with its interval."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import TimeRestriction

from firestore_migrations.errors import ConfigurationError
from firestore_migrations.operators.migration import _with_window
from firestore_migrations.timetable import WindowTimetable
from tests.airflow.deployment import Deployment
from tests.runs.world import World

FIRST = datetime(2026, 3, 1, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
WINDOWED = '''"""Windowed."""

from firestore_migrations import each_document


@each_document("c", window="at")
def up(document, db):
    document["new"] = document["n"]
'''


@pytest.fixture
def windowed(deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: World) -> Deployment:
    """v001 has a window of six hours, v002 has none; two documents per six hours, and one without a time."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "v001_windowed.py").write_text(WINDOWED)
    (folder / "v002_whole.py").write_text(WINDOWED.replace(', window="at"', ""))
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__MIGRATIONS_FOLDER", str(folder))
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__WINDOW_INTERVAL", "0 */6 * * *")
    world.write({f"c/{n}": {"n": n, "at": FIRST + n * 3 * HOUR} for n in range(8)} | {"c/none": {"n": -1}})
    assert deployment.parse().import_errors == {}
    return deployment


def migrated(world: World) -> set[str]:
    return {path for path, data in world.data().items() if "new" in data}


def test_only_a_version_with_windows_can_be_backfilled_and_none_is_ever_scheduled(windowed: Deployment) -> None:
    for version, is_backfillable in (("v001", True), ("v002", False)):
        dag = windowed.api.get(f"/api/v2/dags/{windowed.dag_id(version)}").json()
        assert (dag["is_backfillable"], dag["next_dagrun_run_after"]) == (is_backfillable, None)
        stored = json.loads(json.dumps(DagSerialization.to_dict(windowed.dags[windowed.dag_id(version)])))
        read = DagSerialization.from_dict(stored).timetable
        assert (type(read) is WindowTimetable, read.periodic) == (is_backfillable, is_backfillable)


def test_the_scheduler_gets_no_run_and_a_backfill_the_intervals_in_utc() -> None:
    timetable = WindowTimetable.deserialize(WindowTimetable("30 */6 * * *", timezone="UTC").serialize())
    whole = TimeRestriction(FIRST, None, catchup=True)
    by_the_clock = TimeRestriction(FIRST, FIRST + 24 * HOUR, catchup=False)
    backfill = TimeRestriction(FIRST, FIRST + 24 * HOUR, catchup=True)
    made = [
        timetable.next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
        for restriction in (whole, by_the_clock, backfill)
    ]
    assert made[:2] == [None, None]
    assert made[2] is not None
    assert (made[2].data_interval.start, made[2].data_interval.end) == (FIRST + HOUR / 2, FIRST + 6.5 * HOUR)


def test_a_run_by_hand_has_no_window_unless_it_is_given_one(windowed: Deployment, world: World) -> None:
    window = windowed.run("v001", window="2026-03-01T06:00/2026-03-01T12:00:00.000001Z")
    assert (window.state, migrated(world)) == ("success", {"c/2", "c/3", "c/4"})
    windowed.parse()  # within one process Airflow keeps the params of the run before
    whole = windowed.run("v001")
    assert (whole.state, len(migrated(world))) == ("success", 9)
    refused = windowed.ask_for("v001", window="2026-03-01/tomorrow")
    assert (refused.status_code, "window" in refused.json()["detail"]) == (400, True)


def test_each_run_of_a_backfill_takes_its_interval_and_a_second_time_what_is_new(
    windowed: Deployment, world: World
) -> None:
    def backfill(**options: object) -> list[str]:
        request = {"dag_id": windowed.dag_id("v001"), "from_date": "2026-03-01", "to_date": "2026-03-01T06:00:00Z"}
        answer = windowed.api.post("/api/v2/backfills", json={**request, **options})
        assert answer.status_code == 200, answer.text
        runs = windowed.api.get(f"/api/v2/dags/{windowed.dag_id('v001')}/dagRuns").json()["dag_runs"]
        windowed.api.put(f"/api/v2/backfills/{answer.json()['id']}/cancel")
        return [run["dag_run_id"] for run in runs if run["run_type"] == "backfill"]

    run_ids = backfill(dag_run_conf={"sample": 0})
    outcomes = [windowed.go_on(windowed.dag_id("v001"), run_id) for run_id in run_ids]
    assert [outcome.state for outcome in outcomes] == ["success"] * len(run_ids)
    assert migrated(world) == {f"c/{n}" for n in range(2 * len(run_ids))}


def test_a_backfill_whose_window_is_another_is_refused() -> None:
    dag_run = SimpleNamespace(run_type="backfill", data_interval_start=FIRST, data_interval_end=FIRST + HOUR)
    given = _with_window({"window": ""}, dag_run)
    assert given == {"window": "2026-03-01T00:00:00+00:00/2026-03-01T01:00:00+00:00"}
    assert _with_window({"window": "2026-03-01/2026-03-01T01:00"}, dag_run) == given
    with pytest.raises(ConfigurationError, match="has its own interval"):
        _with_window({"window": "2026-03-01/2026-03-02"}, dag_run)

"""`rehearse` and `upgrade`, where no scheduler works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Terminal
from tests.runs.world import World

pytestmark = pytest.mark.usefixtures("airflow_home")


@pytest.fixture
def rehearsal(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The connection of a rehearsal database, a copy of `firestore_default`."""
    extra = {
        "project": world.address.project,
        "database": "rehearsal",
        "emulator_host": world.address.emulator_host,
        "storage": f"file://{world.storage}",
        "rehearsal_of": "firestore_default",
    }
    monkeypatch.setenv("AIRFLOW_CONN_REHEARSAL", json.dumps({"conn_type": "firestore", "extra": extra}))
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__REHEARSALS", f"file://{tmp_path}/rehearsals")
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__REHEARSAL_TARGET", "rehearsal")
    return "rehearsal"


def test_rehearse_then_upgrade(terminal: Terminal, world: World, rehearsal: str) -> None:
    before, times = world.read(), world.update_times()

    rehearsed = terminal.type("rehearse", "--output", "json")

    assert "versions" in rehearsed.json, rehearsed.err
    assert (rehearsed.code, [(one["version"], one["verdict"]) for one in rehearsed.json["versions"]]) == (
        0,
        [("v001", "passed"), ("v002", "passed")],
    )
    assert (world.read(), world.update_times(), world.records()) == (before, times, {})
    history = terminal.type("history", "v002", "--output", "json")
    assert history.json["rehearsal"]["verdict"] == "passed"

    upgraded = terminal.type("upgrade", "--to", "v001", "--output", "json")
    assert (upgraded.code, upgraded.json) == (
        0,
        {"target": "firestore_default", "done": ["v001"], "left": []},
    )
    assert terminal.type("upgrade", "--output", "json").json["done"] == ["v002"]
    assert world.data()["users/ada"] == {"name": "ada", "greeting": "hello", "state": "hello"}


def test_rehearse_never_overwrites_data_of_its_own(terminal: Terminal, world: World, rehearsal: str) -> None:
    answer = terminal.type("rehearse", "--target", "firestore_default")

    assert answer.code == 1
    assert "firestore_default holds data of its own; nothing may overwrite it" in answer.err


def test_an_upgrade_refuses_an_edited_version_before_it_writes(terminal: Terminal, world: World) -> None:
    assert terminal.type("upgrade", "--to", "v001").code == 0
    path = terminal.folder / "migrations" / "v001_add_greeting.py"
    path.write_text(path.read_text().replace("hello", "good day"))
    before = world.read()

    answer = terminal.type("upgrade", "--output", "json")

    assert (answer.code, answer.json["error"]["type"]) == (1, "ChecksumChanged")
    assert "v001 was edited after it was applied" in answer.json["error"]["message"]
    assert world.read() == before

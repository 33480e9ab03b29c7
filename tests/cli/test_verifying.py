"""`verify` looks at an applied version again, and writes nothing."""

from __future__ import annotations

import pytest

from tests.cli.conftest import ADD_STATE, Terminal
from tests.runs.world import World

pytestmark = pytest.mark.usefixtures("airflow_home")


def test_verify_finds_what_was_applied_as_it_was_left(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v001"), run_id="first")
    typed = terminal.type("verify", "v001", "--output", "json")
    assert (typed.code, typed.json["run"], typed.json["held"], typed.json["residue"]) == (0, "first", 3, 0)


def test_verify_counts_residue_and_leaves_it(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v001"))
    world.write({"users/dan": {"name": "dan"}})
    before, files = world.read(), sorted(world.storage.rglob("*"))
    audit = world.records()
    typed = terminal.type("verify", "v001", "--output", "json")
    assert (typed.code, typed.json["residue"], typed.json["error"]["type"]) == (1, 1, "VerifyFailed")
    assert typed.json["failed_checks"] == [{"path": "users/dan", "check": "is_greeted"}]
    assert (world.read(), world.records(), sorted(world.storage.rglob("*"))) == (before, audit, files)


def test_verify_of_part_of_a_rollout_asks_nothing_of_the_rest(terminal: Terminal, world: World) -> None:
    world.write({f"users/{number}": {"name": str(number)} for number in range(40)})
    life = world.run(terminal.migration("v001"), rollout_percent=50)
    typed = terminal.type("verify", "v001", "--output", "json")
    assert (typed.code, typed.json["state"]) == (0, "partial")
    assert 0 < typed.json["held"] == life.results["finish"]["counts"]["updated"] < 43


def test_verify_refuses_what_was_never_applied(terminal: Terminal, world: World) -> None:
    typed = terminal.type("verify", "v001")
    assert (typed.code, typed.out) == (1, "")
    assert "firestore-migrations run v001" in typed.err


def test_verify_refuses_a_file_that_was_edited(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v001"))
    terminal.write("v001_add_greeting.py", ADD_STATE)
    assert "was edited after v001 was applied" in terminal.type("verify", "v001").err

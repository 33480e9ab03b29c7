"""`status` and `history`: what the audit of a target tells, and the exit code with it."""

from __future__ import annotations

import pytest

from tests.cli.conftest import ADD_GREETING, Terminal
from tests.runs.world import World

pytestmark = pytest.mark.usefixtures("airflow_home")


def _states(terminal: Terminal) -> tuple[int, dict[str, str]]:
    typed = terminal.type("status", "--output", "json")
    return typed.code, {version["version"]: version["state"] for version in typed.json["versions"]}


def test_status_is_3_while_something_is_pending_and_0_afterwards(terminal: Terminal, world: World) -> None:
    assert _states(terminal) == (3, {"v001": "pending", "v002": "pending"})
    world.run(terminal.migration("v001"))
    assert _states(terminal) == (3, {"v001": "verified", "v002": "pending"})
    world.run(terminal.migration("v002"))
    assert _states(terminal) == (0, {"v001": "verified", "v002": "verified"})


def test_status_names_edited_missing_and_late_versions(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v002"), known=("v002",))
    assert _states(terminal) == (3, {"v001": "out_of_order", "v002": "verified"})
    path = terminal.write("v002_add_state.py", ADD_GREETING)
    assert _states(terminal)[1]["v002"] == "changed"
    path.unlink()
    assert _states(terminal)[1]["v002"] == "missing"


def test_a_comment_changes_nothing(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v001"))
    terminal.write("v001_add_greeting.py", f"# A comment.\n{ADD_GREETING}")
    assert _states(terminal)[1]["v001"] == "verified"


def test_status_shows_a_broken_file_and_points_to_check(terminal: Terminal, world: World) -> None:
    terminal.write("v003_broken.py", "import")
    typed = terminal.type("status")
    assert typed.code == 3
    assert "v003     broken" in typed.out
    assert "firestore-migrations check" in typed.out


def test_status_for_people_ends_with_the_next_command(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v001"))
    typed = terminal.type("status")
    assert "v001     add_greeting  verified  100 %" in typed.out
    next_step = "`firestore-migrations dry-run v002`: nothing is written, and the plan says what would be"
    assert typed.out.endswith(f"1 to do. Next: {next_step}.\n")


def test_status_tells_who_holds_the_target(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v001"), up_to="backup", run_id="busy")
    typed = terminal.type("status", "--output", "json")
    assert typed.json["lease"]["run"] == "v001/busy"
    assert typed.json["versions"][1]["next"] is None
    assert "v001" in typed.json["versions"][1]["obstacle"]


def test_history_tells_direction_state_counts_price_and_who(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v001"), run_id="first")
    world.run(terminal.migration("v001"), run_id="second", direction="down")
    typed = terminal.type("history", "1", "--output", "json")
    assert typed.code == 0
    runs = [
        (run["run"], run["direction"], run["state"], run["counts"]["updated"], run["triggered_by"])
        for run in typed.json["runs"]
    ]
    assert runs == [("first", "up", "verified", 3, "ada"), ("second", "down", "rolled_back", 3, "ada")]
    assert typed.json["runs"][0]["events"][0]["task"] == "preflight"
    assert all(run["seconds"] >= 0 and run["price"] > 0 for run in typed.json["runs"])


def test_history_for_people_shows_events_when_asked(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v001"), run_id="first")
    assert "the run began" not in terminal.type("history", "v001").out
    assert "the run began" in terminal.type("history", "v001", "--events").out


def test_history_knows_a_version_whose_file_is_gone(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v002"), known=("v002",))
    (terminal.folder / "migrations/v002_add_state.py").unlink()
    assert terminal.type("history", "v002").code == 0


def test_history_of_what_never_ran_says_so(terminal: Terminal, world: World) -> None:
    assert terminal.type("history", "v001_add_greeting").out == "v001 was never run on firestore_default.\n"

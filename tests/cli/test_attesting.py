"""`baseline` and `repair`: what they change is shown by `status` and told by `history`."""

from __future__ import annotations

import pytest

from tests.cli.conftest import ADD_GREETING, Terminal
from tests.runs.world import World

pytestmark = pytest.mark.usefixtures("airflow_home")


def _states(terminal: Terminal) -> dict[str, str]:
    versions = terminal.type("status", "--output", "json").json["versions"]
    return {version["version"]: version["state"] for version in versions}


def test_a_baseline_is_marked_shown_and_told(terminal: Terminal, world: World) -> None:
    before = world.data()
    typed = terminal.type("baseline", "1", "--output", "json")
    assert (typed.code, typed.json["marked"]) == (0, ["v001"])
    assert (_states(terminal), world.data()) == ({"v001": "baseline", "v002": "pending"}, before)
    (run,) = terminal.type("history", "v001", "--output", "json").json["runs"]
    assert (run["mode"], run["state"], run["counts"]["scanned"], run["error"]) == ("baseline", "baseline", 0, None)
    assert "marked as applied by" in terminal.type("history", "v001", "--events").out
    assert "applied on firestore_default already" in terminal.type("baseline", "v001").out


def test_an_accepted_edit_is_shown_and_told(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v001"))
    terminal.write("v001_add_greeting.py", ADD_GREETING.replace("hello", "hi"))
    assert "or accept it with `firestore-migrations repair v001`." in terminal.type("status").out

    typed = terminal.type("repair", "v001", "--output", "json")

    assert (typed.code, typed.json["state"]) == (0, "verified")
    assert typed.json["checksum_after"] == terminal.migration("v001").checksum != typed.json["checksum_before"]
    assert _states(terminal) == {"v001": "verified", "v002": "pending"}
    assert [run["mode"] for run in terminal.type("history", "v001", "--output", "json").json["runs"]] == [
        "apply",
        "repair",
    ]


def test_an_accepted_loss_of_a_file_is_shown(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v001"))
    (terminal.folder / "migrations" / "v001_add_greeting.py").unlink()
    assert _states(terminal)["v001"] == "missing"
    assert terminal.type("repair", "v001").code == 0
    assert _states(terminal)["v001"] == "verified"
    assert "v001 is verified: its file is gone, which was accepted." in terminal.type("status").out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("repair", "v001"), 1, "nothing about it can be repaired. Nothing is to be done"),
        (("repair", "v002"), 1, "v002 is pending on firestore_default"),
        (("baseline", "v001"), 1, "v001 is verified on firestore_default: it was run there"),
        (("baseline", "v009"), 2, "There is no version 'v009'"),
        (("repair", "v009"), 2, "There is no version 'v009'"),
    ],
)
def test_a_refusal_names_the_reason_and_the_next_step(
    terminal: Terminal, world: World, words: tuple[str, ...], code: int, message: str
) -> None:
    world.run(terminal.migration("v001"))
    before = world.audit.versions()
    typed = terminal.type(*words)
    assert (typed.code, typed.out, message in typed.err) == (code, "", True)
    assert world.audit.versions() == before

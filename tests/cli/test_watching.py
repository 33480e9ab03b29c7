"""`watch` follows a run from another process, shows what is known of it, and ends as the run does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest

from firestore_migrations.cli import progress, watching
from firestore_migrations.runs import control
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.ledger import Ledger
from tests.bad_network import BadNetwork
from tests.cli.conftest import SCRIPT, Terminal, in_a_terminal, until
from tests.runs.world import Life, World

pytestmark = pytest.mark.usefixtures("airflow_home")


@pytest.fixture
def running(terminal: Terminal, world: World) -> Iterator[subprocess.Popen[str]]:
    """`run v001` in a process of its own, which writes for some ten seconds."""
    world.write({f"users/{number:02}": {"name": "x"} for number in range(40)})
    process = _started(
        terminal, "run", "v001", "--set", "batch_size=1", "--set", "max_writes_per_second=10", "--output", "json"
    )
    until(lambda: bool(world.records()), process)
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def _started(terminal: Terminal, *words: str) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen([SCRIPT, *words], cwd=terminal.folder, env=environment, **pipes)


def _paused(world: World, terminal: Terminal) -> Life:
    """A run that stands still, with its plan written to no document."""
    life = world.run(terminal.migration("v001"), up_to="review", run_id="still")
    world.audit.record_writing(life.run, "applying")
    _told(world, control.pause)
    return life


def _told(world: World, verb: Callable[..., object]) -> None:
    verb(Ledger(world.writer), RunName("v001", "still"), "bob")


def test_a_run_at_work_is_followed_to_its_end(terminal: Terminal, world: World, running: subprocess.Popen[str]) -> None:
    typed = terminal.type("watch", "--output", "json")
    out, err = running.communicate(timeout=60)
    run = json.loads(out)

    assert (typed.code, running.returncode) == (0, 0), f"{typed.err}\n{err}"
    found = typed.json
    assert (found["run"], found["version"], found["state"]) == (run["run"], "v001", "verified")
    assert (found["price"], found["writes"], found["batches"], found["has_ended"]) == (run["price"], 43, 43, True)
    assert [(phase["name"], phase["state"], phase["done"]) for phase in found["phases"]] == [
        ("backup", "done", 43),
        ("dry_run", "done", 43),
        ("apply", "done", 43),
        ("verify", "done", 43),
    ]
    first, *lines = typed.err.splitlines()
    assert first == f"v001 on firestore_default, run {run['run']}"
    assert any(line.startswith("v001 apply ") and " of 43 documents" in line for line in lines)
    assert lines[-1] == "v001 finish"


def test_a_run_that_has_ended_is_shown_as_it_ended(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v001"), run_id="first", batch_size=2)
    by_id, by_version = terminal.type("watch", "first"), terminal.type("watch", "1/first")
    assert by_id.code == by_version.code == 0
    assert by_id.out == by_version.out
    assert "v001 on firestore_default, run first: verified" in by_id.out
    for fact in ("3 of 3 documents", "2 of 2", "3 written, 0 drifted, 0 conflicts, 0 failed", "USD, of about "):
        assert fact in by_id.out


def test_a_run_that_failed_is_1_with_the_reason_and_a_dry_run_is_0(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v001"), up_to="review", run_id="still")
    _told(world, control.cancel)
    failed = terminal.type("watch", "still", "--output", "json")
    assert (failed.code, failed.json["state"]) == (1, "failed")
    assert failed.json["error"] == {"type": "Cancelled", "message": "by bob"}
    assert "Cancelled: by bob" in terminal.type("watch", "still").out
    assert "firestore-migrations history v001 --events" in terminal.type("watch", "still").out

    world.lease(holder="")
    world.run(terminal.migration("v001"), run_id="planned", mode="dry_run")
    planned = terminal.type("watch", "planned", "--output", "json")
    assert (planned.code, planned.json["state"]) == (0, "planned")


def test_without_a_run_it_is_the_one_that_holds_the_target_or_the_newest_that_has_not_ended(
    terminal: Terminal, world: World
) -> None:
    nobody = terminal.type("watch", "--output", "json")
    assert (nobody.code, nobody.json) == (0, {"target": "firestore_default", "run": None})
    assert "No run is at work on firestore_default" in terminal.type("watch").out

    _paused(world, terminal).perform("finish")
    watched = _started(terminal, "watch", "--output", "json")
    assert watched.stderr is not None
    assert watched.stderr.readline() == "v001 on firestore_default, run still\n"
    assert watched.stderr.readline() == "v001 paused by bob; it goes on when it is resumed\n"
    _told(world, control.cancel)
    out, _ = watched.communicate(timeout=60)
    assert (watched.returncode, json.loads(out)["state"]) == (1, "failed")


def test_ctrl_c_ends_the_watching_and_never_the_run(terminal: Terminal, world: World) -> None:
    _paused(world, terminal)
    before = world.records()
    watched = _started(terminal, "watch", "still", "--output", "json")
    assert watched.stderr is not None
    while "paused" not in watched.stderr.readline():
        assert watched.poll() is None
    watched.send_signal(signal.SIGINT)
    out, err = watched.communicate(timeout=60)
    assert (watched.returncode, "Traceback" in err) == (130, False)
    found = json.loads(out)
    assert (found["state"], found["error"]["type"]) == ("paused", "Interrupted")
    assert "run v001/still is as it was" in found["error"]["message"]
    assert world.records() == before


def test_in_a_terminal_everything_is_drawn_again_where_it_was(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v001"), run_id="first")
    done, shown = in_a_terminal(terminal, "watch", "first", "--output", "json")
    assert (done.code, done.json["state"]) == (0, "verified")
    for drawn in ("run first: verified", "dry_run", "━", "3 written", "\x1b["):
        assert drawn in shown


def test_a_target_that_goes_away_is_named_and_waited_for(
    terminal: Terminal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_PATIENCE", 0.3)
    monkeypatch.setattr(progress, "_SELDOM", 0.0)
    _paused(world, terminal)
    is_away = threading.Event()

    def go_away_and_come_back() -> None:
        until(lambda: network.calls["RunAggregationQuery"] > 1)  # it looks for the second time
        is_away.set()
        until(lambda: network.broken["BatchGetDocuments"] > 4)
        _told(world, control.cancel)
        is_away.clear()

    with BadNetwork(str(world.address.emulator_host), refuses=lambda _, __: is_away.is_set()) as network:
        connection = json.loads(os.environ["AIRFLOW_CONN_FIRESTORE_DEFAULT"])
        connection["extra"]["emulator_host"] = network.host
        monkeypatch.setenv("AIRFLOW_CONN_FIRESTORE_DEFAULT", json.dumps(connection))
        weather = threading.Thread(target=go_away_and_come_back)
        weather.start()
        typed = terminal.type("watch", "still")
        weather.join()
    assert "v001 paused: the target does not answer; this goes on when it does\n" in typed.err
    assert (typed.code, "run still: failed" in typed.out) == (1, True)


def test_a_run_that_nobody_knows_is_refused_with_where_to_look(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v001"), run_id="first")
    for words, told in (
        (
            "gone",
            "There is no run gone on firestore_default. Look for its id with `firestore-migrations history VERSION`",
        ),
        ("v001", "There is no run v001 on firestore_default. Look for its id with `firestore-migrations history v001`"),
        ("v001/gone", "There is no run v001/gone on firestore_default."),
        ("v001/a/b", "`firestore-migrations history v001`"),
    ):
        typed = terminal.type("watch", words, "--output", "json")
        assert (typed.code, typed.json["error"]["type"]) == (1, "Refused")
        assert told in typed.err
    assert terminal.type("watch", "v009/first").code == 2


def test_an_id_that_two_versions_have_asks_for_the_version(terminal: Terminal, world: World) -> None:
    world.run(terminal.migration("v001"), run_id="same")
    world.run(terminal.migration("v002"), run_id="same")
    typed = terminal.type("watch", "same")
    assert typed.code == 1
    assert "v001 and v002 each have a run same. Say which: `firestore-migrations watch v001/same`." in typed.err
    assert terminal.type("watch", "v002/same").code == 0

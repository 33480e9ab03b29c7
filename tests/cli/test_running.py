"""`dry-run`, `run` and `rollback` run the version's own DAG, and standard output holds the result alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import ADD_GREETING, SCRIPT, Terminal, in_a_terminal
from tests.runs.world import World

pytestmark = pytest.mark.usefixtures("airflow_home")

_SLOW = ADD_GREETING.replace("    user.setdefault", "    __import__('time').sleep(20)\n    user.setdefault")


def test_run_prints_json_alone_while_a_bar_moves_in_the_terminal_and_rollback_is_exact(
    terminal: Terminal, world: World
) -> None:
    before = world.read()
    up, shown = in_a_terminal(terminal, "run", "v001", "--output", "json")
    assert (up.code, up.json["state"], up.json["counts"]["updated"]) == (0, "verified", 3), shown
    assert {"version", "run", "plan_digest", "snapshot_uri", "plan_uri", "price", "seconds"} <= {*up.json}
    assert "v001 starting Airflow" in shown
    assert "━" in shown
    assert world.data()["users/ada"] == {"name": "ada", "greeting": "hello"}
    assert world.records()[f"v001/runs/{up.json['run']}"]["triggered_by"] not in {"", "dag_test"}

    down = terminal.type("rollback", "1", "--output", "json")
    assert (down.code, down.json["state"]) == (0, "rolled_back"), down.err
    assert world.read() == before


def test_dry_run_prices_a_run_and_writes_no_document(terminal: Terminal, world: World) -> None:
    before = world.read()
    typed = terminal.type("dry-run", "v001", "--output", "json")
    assert (typed.code, typed.json["state"], typed.json["counts"]["updated"]) == (0, "planned", 3)
    assert typed.json["estimate"]["writes"] == 4
    assert typed.json["estimate"]["price"] > typed.json["price"] > 0
    assert Path(typed.json["report_uri"].removeprefix("file://")).is_file()
    assert world.read() == before


def test_a_refused_run_is_1_with_the_reason_and_the_next_command(terminal: Terminal, world: World) -> None:
    typed = terminal.type("run", "v002", "--output", "json")
    assert (typed.code, typed.json["state"], typed.json["error"]["type"]) == (1, "failed", "OutOfOrder")
    assert "firestore-migrations run v001" in typed.json["error"]["message"]


def test_a_run_for_people_tells_changes_price_report_and_the_way_back(terminal: Terminal, world: World) -> None:
    typed = terminal.type("run", "v001", "--set", "max_failures=1", "--set", "batch_size=2")
    assert typed.code == 0
    assert "✓ v001 add_greeting, run: verified on firestore_default" in typed.out
    assert "3 updated; 0 of 3 documents unchanged" in typed.out
    assert "USD" in typed.out
    assert "report.md" in typed.out
    assert "firestore-migrations rollback v001" in typed.out


def test_where_there_is_no_terminal_progress_is_plain_lines_and_ctrl_c_leaves_the_target_free(
    terminal: Terminal, world: World
) -> None:
    terminal.write("v001_add_greeting.py", _SLOW)
    command = [SCRIPT, "run", "v001", "--output", "json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=terminal.folder, **pipes) as process:
        while "dry_run" not in (line := process.stderr.readline()):
            assert line.startswith("v001 ")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert '"Interrupted"' in out
    assert "Traceback" not in err
    (run,) = (record for path, record in world.records().items() if path.count("/") == 2)
    assert run["state"] == "failed"
    assert world.records()["_lease"]["holder"] == ""


def test_a_target_that_asks_for_approval_asks_in_the_terminal_and_without_one_rejects(
    terminal: Terminal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_FIRESTORE_DEFAULT"])
    connection["extra"]["approval"] = True
    monkeypatch.setenv("AIRFLOW_CONN_FIRESTORE_DEFAULT", json.dumps(connection))
    before = world.data()

    alone = terminal.script("run", "v001", "--output", "json")
    assert (alone.code, alone.json["state"], alone.json["error"]) == (
        1,
        "rejected",
        {"type": "Rejected", "message": "nobody could be asked: there is no terminal"},
    )
    no, shown = in_a_terminal(terminal, "run", "v001", "--output", "json", types="n\n")
    assert (no.code, no.json["state"], world.data()) == (1, "rejected", before)
    assert "to firestore_default (development)? [y/N]" in shown

    yes, shown = in_a_terminal(terminal, "run", "v001", "--output", "json", types="y\n")
    assert (yes.code, yes.json["state"]) == (0, "verified"), shown
    run = world.records()[f"v001/runs/{yes.json['run']}"]
    assert (run["approved_by"], run["approved_digest"]) == (run["triggered_by"], yes.json["plan_digest"])

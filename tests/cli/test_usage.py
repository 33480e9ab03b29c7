"""Wrong usage is refused with exit code 2, one message, and nothing run."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Terminal
from tests.runs.world import World

pytestmark = pytest.mark.usefixtures("airflow_home")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["frob"], "invalid choice: 'frob'"),
        (["run"], "the following arguments are required: VERSION"),
        (["run", "v009"], "There is no version 'v009'"),
        (["run", "v001_other_name"], "v001 is v001_add_greeting.py"),
        (["run", "v001", "--set", "shards=9999"], "Parameter shards: 9999 is greater than the maximum of 1000"),
        (["run", "v001", "--set", "max_failures=many"], "Parameter max_failures: 'many' does not match"),
        (["run", "v001", "--set", "shard=1"], "has no parameter 'shard'"),
        (["run", "v001", "--set", "shards"], "--set takes PARAM=VALUE"),
        (["run", "v001", "--set", "mode=dry_run"], "--set mode contradicts the command"),
        (["run", "v001", "--set", "target=other"], "Use --target"),
        (["status", "--target", "nowhere"], "There is no connection 'nowhere'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_refused(terminal: Terminal, world: World, words: list[str], message: str) -> None:
    typed = terminal.type(*words)
    assert (typed.code, typed.out) == (2, "")
    assert message in typed.err
    assert "Traceback" not in typed.err
    assert world.records() == {}


def test_an_error_in_json_is_one_json_value(terminal: Terminal, world: World) -> None:
    typed = terminal.type("run", "v009", "--output", "json")
    assert typed.code == 2
    assert typed.json["error"]["type"] == "UnknownVersion"
    assert typed.json["error"]["message"] in typed.err


def test_verbose_shows_where_an_error_comes_from(terminal: Terminal, world: World) -> None:
    assert "Traceback" in terminal.type("history", "v009", "--verbose").err


def test_a_missing_folder_is_named_with_the_command_that_begins_one(terminal: Terminal) -> None:
    typed = terminal.type("check")
    assert typed.code == 2
    assert "There is no folder of migrations" in typed.err
    assert "firestore-migrations new" in typed.err

"""`new` and `check` need the files alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from firestore_migrations.cli.table import COMMANDS
from tests.cli.conftest import ADD_GREETING, Terminal


def test_new_writes_the_next_version_and_its_test_and_says_where(terminal: Terminal) -> None:
    terminal.write("v001_add_greeting.py", ADD_GREETING)
    typed = terminal.type("new", "add user stats")
    assert (typed.code, typed.out.split()) == (
        0,
        ["migrations/v002_add_user_stats.py", "tests/migrations/test_v002_add_user_stats.py"],
    )
    assert all((terminal.folder / path).is_file() for path in typed.out.split())


def test_new_begins_a_folder_where_there_is_none(terminal: Terminal) -> None:
    typed = terminal.type("new", "add user stats", "--tests", "here", "--output", "json")
    assert typed.code == 0
    assert typed.json == {
        "migration": str(terminal.folder / "migrations/v001_add_user_stats.py"),
        "test": "here/test_v001_add_user_stats.py",
    }


def test_what_new_wrote_passes_the_check(terminal: Terminal) -> None:
    terminal.type("new", "add user stats")
    typed = terminal.type("check")
    assert (typed.code, typed.out) == (0, "1 migrations: 0 errors, 0 advices.\n")


def test_check_gives_place_rule_message_and_remedy(terminal: Terminal) -> None:
    terminal.write("v001_add_greeting.py", ADD_GREETING)
    terminal.write(
        "v002_clock.py", ADD_GREETING.replace('"hello"', "__import__('time').time()").replace('"""Greet', '"""')
    )
    terminal.write("v003_broken.py", '"""Broken."""\n\nimport no_such_module\n')
    typed = terminal.type("check")
    assert typed.code == 1
    broken = next(line for line in typed.out.splitlines() if "v003_broken.py" in line and "cannot-load" in line)
    assert broken.startswith("migrations/v003_broken.py:3: cannot-load: The import raised ModuleNotFoundError")
    assert "Install what it imports" in broken


def test_check_in_json_is_a_list_of_findings(terminal: Terminal) -> None:
    terminal.write("v001_add_greeting.py", ADD_GREETING.removeprefix('"""Greet every user."""'))
    typed = terminal.type("check", "--output", "json")
    assert typed.code == 1
    assert [(found["line"], found["rule"], found["level"]) for found in typed.json] == [(1, "docstring", "error")]


@pytest.mark.parametrize("words", [["--help"], ["check"], ["new", "add more"]], ids=lambda words: words[0])
def test_what_needs_no_database_starts_without_airflow(terminal: Terminal, words: list[str]) -> None:
    terminal.write("v001_add_greeting.py", ADD_GREETING)
    program = """if True:
        import sys
        from firestore_migrations.cli import main
        try:
            main()
        except SystemExit:
            pass
        heavy = {"airflow", "grpc", "pyarrow", "pandas"} & {name.partition(".")[0] for name in sys.modules}
        sys.exit(str(heavy) if heavy else 0)
    """
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=terminal.folder)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_verb_is_in_the_airflow_command_too(airflow_home: object) -> None:
    from firestore_migrations.cli import get_cli_commands

    (group,) = get_cli_commands()
    assert group.name == "firestore-migrations"
    assert [verb.name for verb in group.subcommands] == [command.name for command in COMMANDS]

"""The command line: `firestore-migrations VERB`, and the same verbs as `airflow firestore-migrations VERB`.

    table       the verbs and their options: one table for both commands
    performing  performs a verb, and turns its answer or error into output and an exit code
    place       which folder, version and target are meant
    files       new, check
    states      status, history
    watching    watch
    running     run, dry-run, rollback
    rehearsing  rehearse
    upgrading   upgrade
    verifying   verify
    controlling pause, resume, cancel, unlock
    attesting   baseline, repair
    progress    how far a run is, in words, and what is shown while it works
    picture     how far it is, in full

Standard output holds the result alone, as a table or as one JSON value; logs, progress and errors go to standard error.
Exit codes: 0 done, or nothing to do; 1 failed; 2 used wrongly, or not configured; 3 (status) versions are pending or
changed; 130 after Ctrl-C. With `--output json` an error is on standard output too: {"error": {"type", "message"}}.

Airflow imports this package at every call of its own command: nothing heavy may load with it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from firestore_migrations.cli.table import COMMANDS, EPILOG, NAME, SUMMARY, Command

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand


def main(argv: Sequence[str] | None = None) -> int:
    """Perform one command.

    Args:
        argv: the arguments; those of the process by default.

    Returns:
        The exit code. Wrong usage exits at once, as argparse does.
    """
    from firestore_migrations import __version__

    parser = argparse.ArgumentParser(prog=NAME, description=SUMMARY, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"{NAME} {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for command in COMMANDS:
        verb = verbs.add_parser(command.name, help=command.help, description=command.help)
        verb.set_defaults(command=command)
        for option in command.options:
            verb.add_argument(*option.flags, **option.settings)
    arguments = parser.parse_args(argv)
    return _perform(arguments.command, arguments)


def get_cli_commands() -> list[CLICommand]:
    """The same verbs for the `airflow` command."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    verbs = [
        ActionCommand(
            name=command.name,
            help=command.help,
            func=_exiting(command),
            args=[Arg(option.flags, **option.settings) for option in command.options],
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name=NAME, help=SUMMARY, subcommands=verbs)]


def _exiting(command: Command) -> Callable[[Any], None]:
    def perform(arguments: argparse.Namespace) -> None:
        sys.exit(_perform(command, arguments))

    return perform


def _perform(command: Command, arguments: argparse.Namespace) -> int:
    from firestore_migrations.cli.performing import perform

    return perform(command, arguments)

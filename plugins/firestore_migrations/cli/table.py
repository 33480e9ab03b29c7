"""The verbs of the command line and their options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

NAME = "firestore-migrations"
SUMMARY = "Versioned migrations of live Firestore data: back up, dry-run, apply, verify, roll back."
EPILOG = (
    "Migrations are in the folder that [firestore_migrations] migrations_folder of Airflow's configuration names, "
    "else in ./migrations. AIRFLOW_HOME is Airflow's own. "
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 versions are pending or changed (status)."
)


class Option(NamedTuple):
    """An argument, as argparse takes it."""

    flags: tuple[str, ...]
    settings: Mapping[str, Any]


class Command(NamedTuple):
    """A verb.

    Attributes:
        name: as it is typed.
        help: one line.
        perform: dotted name of the function that takes the arguments and gives an `Answer`.
        options: its arguments.
    """

    name: str
    help: str
    perform: str
    options: tuple[Option, ...]


def _option(*flags: str, **settings: Any) -> Option:
    return Option(flags, settings)


_VERSION = _option("version", metavar="VERSION", help="v001, 1, or the file's name")
_WHICH = _option(
    "version", metavar="VERSION", nargs="?", help="whose run is meant (default: the one at work, or the paused one)"
)
_RUN = _option("--run", metavar="RUN", help="id of the run that is meant, where the version has several")
_BUDGET = _option("--budget", metavar="USD", help="what the run may cost from now on; one that failed goes on too")
_YES = _option("--yes", action="store_true", help="also where the run is at work")
_TARGET = _option(
    "--target",
    metavar="CONN_ID",
    help="Airflow connection of type firestore (default: the first of [firestore_migrations] targets, "
    "else firestore_default)",
)
_SET = _option(
    "--set",
    dest="params",
    metavar="PARAM=VALUE",
    action="append",
    help="a parameter of the DAG, like batch_size=100; may be repeated",
)
_ALWAYS = (
    _option("--output", choices=("table", "json"), default="table", help="what to print (default: table)"),
    _option("--verbose", action="store_true", help="show Airflow's log on standard error, and errors with tracebacks"),
)
_ON_TARGET = (_TARGET, *_ALWAYS)
_HERE = "firestore_migrations.cli"

COMMANDS = (
    Command(
        "new",
        "write the next migration and its test",
        f"{_HERE}.files.new",
        (
            _option("title", metavar="TITLE", help='a few words, like "add user stats"'),
            _option(
                "--tests", metavar="DIR", help="folder of the test (default: tests/migrations beside the migrations)"
            ),
            *_ALWAYS,
        ),
    ),
    Command("check", "read every migration for what cannot be planned", f"{_HERE}.files.check", _ALWAYS),
    Command("status", "show where every version stands on a target", f"{_HERE}.states.status", _ON_TARGET),
    Command(
        "history",
        "show every run of a version on a target",
        f"{_HERE}.states.history",
        (_VERSION, _option("--events", action="store_true", help="and what happened in each"), *_ON_TARGET),
    ),
    Command(
        "watch",
        "follow a run until it has ended; Ctrl-C stops the watching, never the run",
        f"{_HERE}.watching.watch",
        (
            _option(
                "run",
                metavar="RUN",
                nargs="?",
                help="its id, as `history` lists it, or VERSION/id (default: the run at work)",
            ),
            *_ON_TARGET,
        ),
    ),
    Command(
        "dry-run",
        "back up, plan and price a version; no document is written",
        f"{_HERE}.running.dry_run",
        (_VERSION, _SET, *_ON_TARGET),
    ),
    Command("run", "migrate: back up, plan, apply and verify", f"{_HERE}.running.run", (_VERSION, _SET, *_ON_TARGET)),
    Command(
        "redrive",
        "migrate the documents that failed before, and them alone; the file may be mended since",
        f"{_HERE}.running.redrive",
        (_VERSION, _SET, *_ON_TARGET),
    ),
    Command("rollback", "take a version back", f"{_HERE}.running.rollback", (_VERSION, _SET, *_ON_TARGET)),
    Command(
        "rehearse",
        "run every pending version up and down again on a copy of the data",
        f"{_HERE}.rehearsing.rehearse",
        (
            _option(
                "version",
                metavar="VERSION",
                nargs="?",
                help="the last one to rehearse (default: every pending version)",
            ),
            _option(
                "--target",
                metavar="CONN_ID",
                help="connection of the rehearsal database, which is overwritten "
                "(default: [firestore_migrations] rehearsal_target)",
            ),
            *_ALWAYS,
        ),
    ),
    Command(
        "upgrade",
        "migrate: every pending version in order",
        f"{_HERE}.upgrading.upgrade",
        (_option("--to", metavar="VERSION", help="the last one to run (default: all)"), _SET, *_ON_TARGET),
    ),
    Command(
        "verify",
        "look again whether the data is what a version promises; writes nothing",
        f"{_HERE}.verifying.verify",
        (_VERSION, *_ON_TARGET),
    ),
    Command("pause", "let a run stop between two batches", f"{_HERE}.controlling.pause", (_WHICH, _RUN, *_ON_TARGET)),
    Command("resume", "let a paused run go on", f"{_HERE}.controlling.resume", (_WHICH, _RUN, _BUDGET, *_ON_TARGET)),
    Command(
        "cancel",
        "end a run for good; what it has written stays",
        f"{_HERE}.controlling.cancel",
        (_WHICH, _RUN, *_ON_TARGET),
    ),
    Command(
        "unlock",
        "take the target from the run that holds it",
        f"{_HERE}.controlling.unlock",
        (_YES, *_ON_TARGET),
    ),
    Command(
        "baseline",
        "mark a version, and all before it, as applied without running them",
        f"{_HERE}.attesting.baseline",
        (_VERSION, *_ON_TARGET),
    ),
    Command(
        "repair",
        "accept an edited or missing file, or a run that failed before it wrote",
        f"{_HERE}.attesting.repair",
        (_VERSION, *_ON_TARGET),
    ),
)

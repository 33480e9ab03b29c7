"""Performs a verb, and turns its answer or its error into output and an exit code."""

from __future__ import annotations

import json
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firestore_migrations.cli import place
from firestore_migrations.cli.table import Command
from firestore_migrations.dag_run import airflow_output, environment
from firestore_migrations.errors import ConfigurationError, FirestoreMigrationsError, UnknownVersion

if TYPE_CHECKING:
    from rich.console import Console

DONE, FAILED, USAGE, PENDING, INTERRUPTED = 0, 1, 2, 3, 130
_WIDTH = 160  # of tables that go to a file or a pipe


@dataclass(frozen=True)
class Answer:
    """What a verb found or did.

    Attributes:
        data: for `--output json`.
        show: prints the same for people.
        code: the exit code.
    """

    data: Any
    show: Callable[[Console], None]
    code: int = DONE


def perform(command: Command, arguments: Namespace) -> int:
    """Perform a verb and print its answer; nothing else reaches standard output.

    Returns:
        The exit code.
    """
    try:
        with airflow_output(verbose=arguments.verbose), environment(place.settings()):
            module, _, function = command.perform.rpartition(".")
            answer: Answer = getattr(import_module(module), function)(arguments)
    except FirestoreMigrationsError as error:
        usage = isinstance(error, (ConfigurationError, UnknownVersion))
        return _fail(arguments, type(error).__name__, str(error), USAGE if usage else FAILED)
    except KeyboardInterrupt:
        return _fail(
            arguments, "Interrupted", "Stopped with Ctrl-C. A run that had begun is in the audit.", INTERRUPTED
        )
    except Exception as error:  # noqa: BLE001 -- the last place that can keep it from standard output
        traceback.print_exc()
        return _fail(arguments, type(error).__name__, f"{error} This is a defect; please report it.", FAILED)
    if arguments.output == "json":
        _print_json(answer.data)
    else:
        _print_table(answer)
    return answer.code


def error_of(text: str) -> dict[str, str]:
    """The error that the audit holds as text, like `TooManyFailures: 3 documents …`."""
    kind, colon, message = text.partition(": ")
    return {"type": kind, "message": message} if colon and kind.isidentifier() else {"type": "", "message": text}


def _fail(arguments: Namespace, kind: str, message: str, code: int) -> int:
    if arguments.verbose and code != INTERRUPTED and sys.exc_info()[0]:
        traceback.print_exc()
    sys.stderr.write(f"{kind}: {message}\n")
    if arguments.output == "json":
        _print_json({"error": {"type": kind, "message": message}})
    return code


def _print_json(data: Any) -> None:
    sys.stdout.write(json.dumps(data, indent=2, default=_plain) + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not plain data.")


def _print_table(answer: Answer) -> None:
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    answer.show(console)

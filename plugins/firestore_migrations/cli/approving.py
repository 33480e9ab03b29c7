"""Asks in a terminal whether a plan may be written, where the run is this process's and Airflow's page is not there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firestore_migrations.cli.progress import Display


class Terminal:
    """Asks whoever types, while the display that shows the run's progress stands aside.

    Args:
        display: of the run.
    """

    def __init__(self, display: Display) -> None:
        self._display = display

    def ask(self, report: str, question: str) -> bool | None:
        """Show a report and ask a question; only yes is yes. None where there is nobody to be asked.

        It goes to standard error: standard output holds the result alone.
        """
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return None
        from rich.console import Console
        from rich.markdown import Markdown

        with self._display.aside():
            Console(stderr=True).print(Markdown(report))
            sys.stderr.write(f"\n{question} [y/N] ")
            sys.stderr.flush()
            line = sys.stdin.readline()
        return line.strip().lower() in ("y", "yes") if line else None

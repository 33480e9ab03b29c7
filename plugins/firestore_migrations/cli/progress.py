"""How far a run is, in words; on standard error while it works: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from firestore_migrations import configuration
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.runs.run import Target

if TYPE_CHECKING:
    from typing_extensions import Self

    from firestore_migrations.runs.progress import Progress

_OFTEN, _RARELY = 1.0, 4.0  # seconds between two looks, at least and at most
_SHARE = 20
"""So many times what a look took passes until the next, within these limits."""

_SELDOM = 10.0  # seconds between two lines of one task


def text_of(progress: Progress) -> str:
    """How far a run is, in one line, like `apply 12,400 of 50,000 documents, 830/s, 45 s left`."""
    phase = progress.working
    if phase is None or phase.name != progress.task:
        said = progress.task
    else:
        parts = [f"{phase.name} {phase.documents}".rstrip(), progress.speed, progress.left]
        said = ", ".join(part for part in parts if part)
    if not progress.waiting:
        return said
    return progress.waiting if progress.waiting.startswith(said) else f"{said}: {progress.waiting}"


class Display:
    """Shows how far a run is, until its `with` block is left. What goes wrong here never disturbs the run.

    Args:
        target: where it runs.
        migration: what runs.
        verbose: log lines go to standard error too, so there is no bar.
    """

    def __init__(self, target: Target, migration: Migration, *, verbose: bool) -> None:
        self._target = target
        self._migration = migration
        version = migration.version
        self._show = Lines(version) if verbose or not sys.stderr.isatty() else _Bar(version)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._show)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._stack.close()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Show nothing while the block talks with whoever looks on."""
        self._show.pause()
        try:
            yield
        finally:
            self._show.go_on()

    def begin(self, run_id: str) -> None:
        """Look at this run from now on, once a second."""
        self._thread = threading.Thread(target=self._look, args=(run_id,), daemon=True)
        self._thread.start()

    def _look(self, run_id: str) -> None:
        from firestore_migrations.firestore.connection import Reader
        from firestore_migrations.runs.watch import Watch

        migration = self._migration
        with Reader(self._target.address) as reader:
            watch = Watch(self._target, reader, migration.version, run_id, configuration.prices(), migration)
            while not self._over.is_set():
                began = time.monotonic()
                with suppress(Exception):  # the run itself reports what is wrong
                    self._show.show(watch.look())
                self._over.wait(until_next_look(time.monotonic() - began))


def until_next_look(took: float) -> float:
    """How many seconds to let pass after a look that took so many: a machine that is busy is asked less often."""
    return min(max(_OFTEN, took * _SHARE), _RARELY)


class Lines:
    """One line when another task is next, and one every ten seconds in which something moved.

    Args:
        name: what each line begins with.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._task = self._text = ""
        self._at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def pause(self) -> None:
        """A line that was written stays."""

    def go_on(self) -> None:
        """Nothing was taken away."""

    def show(self, progress: Progress) -> None:
        """Write how far the run is, if that is worth a line."""
        now, text = time.monotonic(), text_of(progress)
        if progress.task == self._task and (text == self._text or now - self._at < _SELDOM):
            return
        self._task, self._text, self._at = progress.task, text, now
        sys.stderr.write(f"{self._name} {text}\n")
        sys.stderr.flush()


class _Bar:
    """One line that moves, and is gone afterwards."""

    def __init__(self, version: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._version = version
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        self._task: Any = self._progress.add_task(f"{self._version} starting Airflow", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def pause(self) -> None:
        """Take the bar away."""
        self._progress.stop()

    def go_on(self) -> None:
        """Show it again."""
        self._progress.start()

    def show(self, progress: Progress) -> None:
        """Move it."""
        phase = progress.working
        self._progress.update(
            self._task,
            description=f"{self._version} {text_of(progress)}",
            completed=0 if phase is None else phase.done,
            total=None if phase is None else phase.total or None,
        )

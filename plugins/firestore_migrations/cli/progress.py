"""What is shown on standard error while a run works: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from firestore_migrations.runs.run import Target

if TYPE_CHECKING:
    from typing_extensions import Self

    from firestore_migrations.runs.progress import Progress

_SECONDS = 1.0
_SHARE = 20  # looking takes a twentieth of the time at most
_UNITS = {"backup": "shards", "dry_run": "shards"}


class Display:
    """Shows how far a run is, until its `with` block is left. What goes wrong here never disturbs the run.

    Args:
        target: where it runs.
        version: of the migration.
        verbose: log lines go to standard error too, so there is no bar.
    """

    def __init__(self, target: Target, version: str, *, verbose: bool) -> None:
        self._target = target
        self._version = version
        self._show = _Lines(version) if verbose or not sys.stderr.isatty() else _Bar(version)
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
        from firestore_migrations.runs.ledger import Ledger
        from firestore_migrations.runs.progress import Watch

        with Reader(self._target.address) as reader:
            watch = Watch(self._target, Ledger(reader), self._version, run_id)
            while not self._over.is_set():
                began = time.monotonic()
                with suppress(Exception):  # the run itself reports what is wrong
                    self._show.show(watch.look())
                self._over.wait(max(_SECONDS, (time.monotonic() - began) * _SHARE))


class _Lines:
    """One line when the phase changes, and one every ten seconds in which batches were committed."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._phase = ""
        self._done = 0
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
        now = time.monotonic()
        is_new = progress.phase != self._phase
        if not is_new and (progress.done == self._done or now - self._at < 10):
            return
        self._phase, self._done, self._at = progress.phase, progress.done, now
        sys.stderr.write(f"{self._version} {_text(progress)}\n")
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
        self._progress.update(
            self._task,
            description=f"{self._version} {_text(progress)}",
            completed=progress.done,
            total=progress.planned or None,
        )


def _text(progress: Progress) -> str:
    if not progress.planned:
        return progress.phase
    unit = _UNITS.get(progress.phase, "batches")
    return f"{progress.phase} {progress.done:,} of {progress.planned:,} {unit}"

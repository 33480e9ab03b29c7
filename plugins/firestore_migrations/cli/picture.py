"""The picture of a run: all that its page shows, in a terminal, and how it is drawn again while the run works."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from firestore_migrations.runs.price import in_dollars
from firestore_migrations.runs.progress import DONE

if TYPE_CHECKING:
    from rich.console import RenderableType
    from typing_extensions import Self

    from firestore_migrations.runs.progress import Progress


def picture(title: str, progress: Progress) -> RenderableType:
    """All that is known of a run while it works, and afterwards: its four phases, what it wrote and what that costs."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    phases = Table.grid(padding=(0, 2))
    for is_bar in (False, True, False, False):
        phases.add_column(no_wrap=not is_bar)  # where it is narrow, the bar is what shrinks
    for phase in progress.phases:
        state = "not done" if progress.has_ended and phase.state != DONE else phase.state
        share = ProgressBar(
            total=phase.total or 1, completed=phase.done if phase.total else phase.state == DONE, width=24
        )
        moves = f"{progress.speed}  {progress.left}".strip() if phase is progress.working else ""
        phases.add_row(f"  {phase.name}", share, phase.documents, Text(moves or state))
    facts = Table.grid(padding=(0, 2))
    for name, fact in _facts(progress):
        facts.add_row(f"  {name}", Text(fact))
    return Group(Text(f"{title}: {progress.state or 'has not begun'}"), phases, facts)


def _facts(progress: Progress) -> Iterator[tuple[str, str]]:
    if progress.waiting:
        yield "waits", progress.waiting
    if progress.planned_batches:
        size = f", of {progress.batch_size:,} documents at most" if progress.batch_size else ""
        yield "batches", f"{progress.batches:,} of {progress.planned_batches:,}{size}"
    counts = {
        "written": progress.writes,
        "drifted": progress.drifted,
        "conflicts": progress.conflicts,
        "failed": progress.failed,
    }
    yield "documents", ", ".join(f"{count:,} {name}" for name, count in counts.items())
    foreseen = "" if progress.estimate is None else f", of about {in_dollars(progress.estimate)}"
    yield "price", f"{in_dollars(progress.price)}{foreseen}"
    if progress.unread:
        yield "unread", f"{progress.unread:,} batches were not read yet; the numbers are too low by them"


class Live:
    """Everything about a run, drawn again where it was; gone afterwards.

    Args:
        title: the first line.
    """

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.live import Live as Drawn

        self._title = title
        self._drawn = Drawn(console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> Self:
        self._drawn.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._drawn.stop()

    def show(self, progress: Progress) -> None:
        """Draw it as it is now."""
        self._drawn.update(picture(self._title, progress), refresh=True)

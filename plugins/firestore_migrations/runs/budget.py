"""The budget: what a run may cost, counted while it writes, over all shards together.

What was spent is asked of the server before each batch: the sums over the run's batch records, which no worker has to
keep. So the run stops within the batches that are on their way, whichever worker they belong to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from firestore_migrations.errors import ConfigurationError, OverBudget
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.outside import reads_of_counting
from firestore_migrations.runs.plan import find_plan
from firestore_migrations.runs.preflight import find_course
from firestore_migrations.runs.price import Usage, in_dollars
from firestore_migrations.runs.run import Run
from firestore_migrations.runs.snapshot import find_snapshot
from firestore_migrations.runs.storage import Folder

VERIFIED = "verify.json"
"""In the run's folder: what the looks of verify have found and cost."""


def budget_of(run: Run, data: Mapping[str, Any] | None) -> float | None:
    """What the run may cost in US dollars, None for any: what it was triggered with, or was raised to since.

    Args:
        run: the run.
        data: its audit document.
    """
    raised = (data or {}).get("budget")
    return run.options.budget if raised is None else float(raised)


def checked(budget: Any) -> float:
    """A budget that somebody typed.

    Raises:
        ConfigurationError: it is no number of dollars.
    """
    try:
        dollars = float(budget)
    except (TypeError, ValueError):
        dollars = -1
    if not 0 <= dollars < math.inf:
        raise ConfigurationError(f"A budget is a number of US dollars, not {budget!r}.", "Write it like 2.50.")
    return dollars


def reads_before_writing(folder: Folder) -> int:
    """The documents that backup and dry run have read, as they were counted, and the counts of a window's review.

    Args:
        folder: the run's.
    """
    course = find_course(folder)
    reads = 0
    for shard in () if course is None else course.shards:
        snapshot = find_snapshot(folder / "snapshot" / f"{shard.index:04d}")
        plan = find_plan(folder / "plan" / f"{shard.index:04d}")
        reads += (0 if snapshot is None else snapshot.reads) + (0 if plan is None else plan.reads)
    return reads + reads_of_counting(folder)


def reads_of_verifying(folder: Folder) -> int:
    """The documents that verify has read, in all its looks, by the run's folder."""
    return int(folder.read_json(VERIFIED)["reads"]) if folder.has(VERIFIED) else 0


class Budget:
    """Watches over what a run spends. Threads may share it.

    Args:
        run: whose money it is.
        ledger: of the target.
        data: the run's audit document, which has the budget where it was raised.
    """

    def __init__(self, run: Run, ledger: Ledger, data: Mapping[str, Any] | None) -> None:
        self._run = run
        self._ledger = ledger
        self._most = budget_of(run, data)
        self._reads = 0 if self._most is None else reads_before_writing(run.folder) + reads_of_verifying(run.folder)

    def refuse_to_spend(self, writes: int) -> None:
        """Refuse a batch of so many writes that the budget has no money for. Costs four small queries, or nothing.

        Raises:
            OverBudget: with the command that raises the budget.
        """
        if self._most is None:
            return
        price = self._run.prices.of(self._spent() + Usage(writes=writes))
        if price > self._most:
            run = self._run
            raise OverBudget(
                f"The next batch of {run.version} would bring its cost to {in_dollars(price)}, more than the budget of "
                f"{in_dollars(self._most)}.",
                f"What is written stays. Go on with `firestore-migrations resume {run.meant} --budget "
                f"{_generous(price)}`, or take it back with `firestore-migrations rollback {run.version}`.",
                price=price,
            )

    def _spent(self) -> Usage:
        records = f"{self._run.path}/batches"
        batches, written = self._ledger.sum(records, "writes")
        deleted, pins, reads = (self._ledger.sum(records, field)[1] for field in ("deleted", "pins", "reads"))
        return Usage(self._reads + reads, written - deleted + pins + batches, deleted)


def _generous(price: float) -> str:
    """A budget that the run would not meet again at once."""
    return f"{max(price * 2, 0.01):.2f}"

"""Progress: how far a run is, read from its audit and its storage while it works."""

from __future__ import annotations

from typing import NamedTuple

from firestore_migrations.runs import status
from firestore_migrations.runs.audit import ROOT, Audit
from firestore_migrations.runs.committed import parts_of, plan_of
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.run import Target

_BETWEEN = {
    status.PLANNED: "review",
    status.AWAITING_APPROVAL: "awaits approval",
    status.APPLIED: "verify",
}


class Progress(NamedTuple):
    """How far a run is.

    Attributes:
        phase: the task that works.
        done: shards that this phase has finished, or batches that were committed.
        planned: of how many; 0 where that is not known.
    """

    phase: str
    done: int = 0
    planned: int = 0


class Watch:
    """Looks at one run again and again. Reads a document or two each time, however large the run is.

    Args:
        target: where.
        ledger: of the target; it need not be able to write.
        version: of the migration.
        run_id: the run's.
    """

    def __init__(self, target: Target, ledger: Ledger, version: str, run_id: str) -> None:
        self._ledger = ledger
        self._audit = Audit(ledger)
        self._version = version
        self._run_id = run_id
        self._folder = target.folder / version / run_id
        self._shards = 0
        self._finished = {"snapshot": 0, "plan": 0}
        self._batches = 0

    def look(self) -> Progress:
        """How far the run is now."""
        (entry,), _ = self._ledger.get(f"{ROOT}/{self._version}/runs/{self._run_id}")
        state = None if entry is None else entry.data["state"]
        if state is None:
            return Progress("preflight")
        if state == status.PENDING:
            return self._before_review()
        if state in status.WRITING:
            return self._writing(is_paused=state == status.PAUSED)
        return Progress(_BETWEEN.get(state, "finish"))

    def _before_review(self) -> Progress:
        if not self._shards and self._folder.has("run.json"):
            self._shards = len(self._folder.read_json("run.json")["shards"])
        for phase, kind in (("backup", "snapshot"), ("dry_run", "plan")):
            while self._folder.has(f"{kind}/{self._finished[kind]:04d}/{kind}.json"):
                self._finished[kind] += 1
            if self._finished[kind] < self._shards or not self._shards:
                return Progress(phase, self._finished[kind], self._shards)
        return Progress("review")

    def _writing(self, *, is_paused: bool) -> Progress:
        if not self._batches:
            self._batches = sum(plan_of(self._folder, part).batches for part in parts_of(self._folder))
        done = self._audit.count_batches(self._version, self._run_id)
        phase = status.PAUSED if is_paused else "apply" if done < self._batches else "verify"
        return Progress(phase, min(done, self._batches), self._batches)

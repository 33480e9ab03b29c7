"""standing: which runs of a version stand, replayed from the audit, and which of them a rollback may take back.

Runs stand on each other like a pile. A run up lies on top once it has written. A rollback that has finished takes away
what it undid and lies on top itself, as long as nobody takes it back: then all is as it was before it. One that stopped
half way takes nothing away, for what it undid is written in part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firestore_migrations.errors import NothingToRollBack, Refused
from firestore_migrations.runs import status
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.options import APPLY, DOWN, UP
from firestore_migrations.runs.windows import Window, marked

_FINISHED = frozenset({status.VERIFIED, status.ROLLED_BACK})


@dataclass(frozen=True)
class Standing:
    """The runs of one version that stand.

    Attributes:
        version: whose.
        runs: the audit documents of all that were to write, oldest first.
        pile: the ids of those that stand, the newest last.
        beneath: for each run that has written, the pile that it was laid upon.
    """

    version: str
    runs: Mapping[str, Mapping[str, Any]]
    pile: tuple[str, ...]
    beneath: Mapping[str, tuple[str, ...]]

    @property
    def ups(self) -> tuple[str, ...]:
        """The runs up that stand, newest first."""
        return tuple(run_id for run_id in reversed(self.pile) if not self.is_down(run_id))

    def is_down(self, run_id: str) -> bool:
        """Whether a run is a rollback."""
        return bool(self.runs[run_id]["direction"] == DOWN)

    def named(self, run_id: str) -> tuple[str, ...]:
        """The one run of that id, if it may be taken back.

        Raises:
            NothingToRollBack: there is no such run, it has written nothing, or it was taken back already.
            Refused: a newer one has built on it.
        """
        history = f"Look with `firestore-migrations history {self.version}`."
        if run_id not in self.runs:
            raise NothingToRollBack(f"{self.version} has no run {run_id!r} that could be taken back.", history)
        if run_id not in self.beneath:
            raise NothingToRollBack(f"Run {run_id} of {self.version} has written nothing.", history, run=run_id)
        if run_id not in self.pile:
            by = next(name for name, data in reversed(list(self.runs.items())) if run_id in data.get("undoes", ()))
            next_step = f"Take that back with {self._command(by)}." if by in self.pile else history
            raise NothingToRollBack(
                f"Run {run_id} of {self.version} was taken back by {by}.", next_step, run=run_id, by=by
            )
        above = [name for name in self.pile[self.pile.index(run_id) + 1 :] if self._weighs_on(name, run_id)]
        if above:
            raise Refused(
                f"Run {run_id} of {self.version} cannot be taken back before the newer {above[-1]}.",
                f"Take that back first with {self._command(above[-1])}.",
                run=run_id,
                newer=tuple(above),
            )
        return (run_id,)

    def after(self, undoes: tuple[str, ...]) -> tuple[str, ...]:
        """The pile when these are taken back."""
        if len(undoes) == 1 and undoes[0] in self.beneath and self.is_down(undoes[0]):
            return self.beneath[undoes[0]]
        return tuple(run_id for run_id in self.pile if run_id not in undoes)

    def left_by(self, undoes: tuple[str, ...]) -> dict[str, Any]:
        """What the version is when these are taken back: state, percentage, and the checksum of what is applied."""
        ups = [self.runs[run_id] for run_id in self.after(undoes) if not self.is_down(run_id)]
        ups = [run for run in ups if run["rollout_percent"]]  # a redrive is part of what it completes
        if not ups:
            return {"state": status.ROLLED_BACK, "rollout_percent": 0, "windows": []}
        whole_scope = [run for run in ups if run.get("window") is None]
        percent = max((run["rollout_percent"] for run in whole_scope if run["state"] == status.VERIFIED), default=0)
        whole = status.APPLIED if percent >= 100 else status.PARTIAL
        state = whole if ups[-1]["state"] == status.VERIFIED else status.FAILED
        windows = self._windows_after(undoes)
        return {"state": state, "rollout_percent": percent, "checksum": ups[-1]["checksum"], "windows": windows}

    def _windows_after(self, undoes: tuple[str, ...]) -> list[dict[str, Any]]:
        """The windows of the runs up that stand when these are taken back, and of those that failed before writing."""
        left: list[dict[str, Any]] = []
        pile = self.after(undoes)
        for run_id, run in self.runs.items():
            has_failed = run_id not in self.beneath and run["state"] == status.FAILED
            if run["direction"] == UP and run["rollout_percent"] and (run_id in pile or has_failed):
                left = marked(left, run_id, run.get("window"), run["state"], is_listed=True)
        return left

    def _weighs_on(self, above: str, run_id: str) -> bool:
        """Whether a run that lies above another must be taken back before it.

        Runs of windows that share no instant stand beside each other.
        A rollback took away what it undid, so it weighs on other rollbacks alone; one that stopped half way on nothing.
        """
        if not self.is_down(above):
            return not self._are_apart(above, run_id)
        return self.is_down(run_id) and self.runs[above]["state"] == status.ROLLED_BACK

    def _are_apart(self, one: str, other: str) -> bool:
        first, second = (self.runs[run_id].get("window") for run_id in (one, other))
        return first is not None and second is not None and not Window.recorded(first).meets(Window.recorded(second))

    def _command(self, run_id: str) -> str:
        return f"`firestore-migrations rollback {self.version} --set undo={run_id}`"


def standing(version: str, audit: Audit, but: str = "") -> Standing:
    """Replay the runs of a version.

    Args:
        version: of the runs.
        audit: of the target.
        but: a run that is at work; if it is a rollback, it does not count yet.
    """
    runs = {name: data for name, data in audit.runs(version).items() if data["mode"] == APPLY}
    if but in runs and runs[but]["direction"] == DOWN:
        del runs[but]
    beneath: dict[str, tuple[str, ...]] = {}
    pile = Standing(version, runs, (), beneath)
    for run_id, data in runs.items():
        if data["state"] not in _FINISHED and not audit.count_written(version, run_id):
            continue
        beneath[run_id] = pile.pile
        undoes = tuple(data.get("undoes", ()))
        left = pile.pile if data["direction"] == UP or data["state"] != status.ROLLED_BACK else pile.after(undoes)
        is_back_to_before = left is not pile.pile and any(pile.is_down(name) for name in undoes)
        pile = Standing(version, runs, left if is_back_to_before else (*left, run_id), beneath)
    return pile

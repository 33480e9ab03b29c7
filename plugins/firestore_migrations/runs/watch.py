"""Watch: looks at one run again and again, while it works and afterwards, from its audit and its storage.

It reads each record of a batch once, and besides that a few small documents each time, however large the run is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from firestore_migrations.authoring.migration import Migration
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.runs import status
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.audit import OPEN
from firestore_migrations.runs.budget import reads_before_writing, reads_of_verifying
from firestore_migrations.runs.failure import CONFLICT
from firestore_migrations.runs.holder import PATH
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.options import DRY_RUN
from firestore_migrations.runs.plan import find_plan
from firestore_migrations.runs.preparation import Preparation
from firestore_migrations.runs.price import Prices, Usage
from firestore_migrations.runs.progress import DONE, PHASES, WAITING, WORKING, Phase, Progress, eta_of
from firestore_migrations.runs.pulse import Beat, Listener, rate_of, reason_of
from firestore_migrations.runs.run import Target, instant
from firestore_migrations.runs.tally import Tally
from firestore_migrations.runs.words import age

_WRITTEN = frozenset({status.APPLIED, status.VERIFIED, status.ROLLED_BACK})
_VERIFIED = frozenset({status.VERIFIED, status.ROLLED_BACK})
_ENDS = frozenset({status.FAILED, status.REJECTED})
_NEEDS_THE_TARGET = frozenset({status.APPLYING, status.ROLLING_BACK, status.APPLIED})


def has_ended(data: Mapping[str, Any], *, is_holder: bool) -> bool:
    """Whether no task of a run works any more, or will, unless somebody clears one.

    A run that ended, and of which a task was cleared, holds the target again, though its document still says when it
    ended. One that preflight refused, or whose lease another took over, has failed with an error and without `finish`;
    one that is resumed with another budget has none until its tasks go on.

    Args:
        data: the run's audit document.
        is_holder: whether it holds the target.
    """
    if is_holder or data["state"] == status.PAUSED:
        return False
    is_lost = data["state"] == status.FAILED and data["error"] is not None
    return data["finished_at"] is not None or data["state"] == status.REJECTED or is_lost


class Watch:
    """Looks at one run again and again. Not safe to use from several threads at once.

    Args:
        target: where.
        reader: a connection to it; it need not be able to write.
        version: of the migration.
        run_id: the run's.
        prices: for what it has cost.
        migration: the file that it runs, for how many documents `backup` will read; None where it is gone.
    """

    def __init__(  # noqa: PLR0913 -- which run, and with what it is looked at
        self,
        target: Target,
        reader: Reader,
        version: str,
        run_id: str,
        prices: Prices | None = None,
        migration: Migration | None = None,
    ) -> None:
        self._name = RunName(version, run_id)
        self._ledger = Ledger(reader)
        self._prices = prices or Prices()
        self._folder = target.folder / version / run_id
        self._listener = Listener(self._ledger, self._name.path)
        self._preparation = Preparation(self._folder, reader, self._listener, self._prices, migration)
        self._tally = Tally()
        self._planned: dict[str, Any] = {}
        self._reads = 0
        self._open_failures = (0, 0)
        self._known_failures = (-1, "")

    def look(self) -> Progress:
        """How far the run is now.

        Raises:
            Unavailable: the target does not answer.
            StorageError: a file of the run is missing or altered.
        """
        (entry, lease), now = self._ledger.get(self._name.path, PATH)
        held = None if lease is None or lease.data["expires_at"] <= instant(now) else lease.data
        if entry is None:
            return Progress(waiting=self._held_by_another(held, now))
        data, state = entry.data, entry.data["state"]
        is_over = has_ended(data, is_holder=held is not None and held["holder"] == self._name.holder)
        # What has ended without a batch and holds the target again begins anew: the old review counts no more.
        begins_anew = state in _ENDS and not is_over and not data.get("writing_since")
        is_reviewed = state != status.PENDING and not begins_anew and self._folder.has("review.json")
        if is_reviewed:
            progress = self._after_review(data, now, is_over=is_over)
        else:
            self._planned = {}  # it may have begun anew
            progress = self._preparation.look(data, now, is_over=is_over)
        if not progress.waiting and not is_over:
            progress = replace(progress, waiting=self._waiting(data, held, now))
        return progress

    def _after_review(self, data: Mapping[str, Any], now: int, *, is_over: bool) -> Progress:
        self._read_the_plan(data)
        if data["mode"] != DRY_RUN:
            self._tally.read(self._ledger, f"{self._name.path}/batches")
        self._look_at_failures(data)
        apply, verify, at_work = self._written(data, now, is_over=is_over)
        scanned = self._planned["counts"]["scanned"]
        phases = [*(Phase(name, DONE, scanned, scanned) for name in PHASES[:2]), apply, verify]
        rate = self._tally.rate(now) if apply.state == WORKING else rate_of(at_work)
        is_paused = data["state"] == status.PAUSED
        conflicts, failed = self._open_failures
        usage = self._tally.usage() + Usage(reads=self._reads + reads_of_verifying(self._folder))
        return Progress(
            state=data["state"],
            task="finish" if is_over else status.PAUSED if is_paused else _task(data, apply, verify),
            phases=tuple(phases),
            rate=0.0 if is_paused else rate,
            eta=None if is_paused else eta_of(phases, rate),
            waiting="" if is_paused else reason_of(at_work),
            batches=self._tally.batches,
            planned_batches=0 if data["mode"] == DRY_RUN else self._planned["batches"] + self._tally.unplanned,
            batch_size=max((beat.batch_size for beat in at_work), default=0),
            writes=self._tally.writes,
            drifted=self._tally.drifted,
            conflicts=conflicts,
            failed=failed,
            price=data["price"] if is_over else self._prices.of(usage),
            estimate=(data.get("estimate") or self._planned)["price"],
            series=self._tally.series(),
            unread=self._tally.unread,
            has_ended=is_over,
        )

    def _read_the_plan(self, data: Mapping[str, Any]) -> None:
        """Read what was reviewed, unless it was read before."""
        if self._planned and self._planned["plan_digest"] == data["plan_digest"]:
            return
        self._planned = self._folder.read_json("review.json")
        if "batches" in self._planned:
            self._reads = self._planned["reads_before_writing"]
            return
        plans = [find_plan(self._folder / name) for name, _, _ in self._planned["parts"]]  # of an older release
        self._planned["batches"] = sum(plan.batches for plan in plans if plan is not None)
        self._reads = reads_before_writing(self._folder)

    def _written(self, data: Mapping[str, Any], now: int, *, is_over: bool) -> tuple[Phase, Phase, list[Beat]]:
        """How far apply and verify are, and what the workers tell of the one that works."""
        state, scanned = data["state"], self._planned["counts"]["scanned"]
        rows = self._planned["rows"] + sum(place["rows"] for place in data.get("residue", ()))
        done = min(self._tally.documents, rows)
        apply, verify = Phase("apply", WAITING, done, rows), Phase("verify", WAITING, 0, scanned)
        if state in _WRITTEN or 0 < rows == done:
            apply = Phase("apply", DONE, rows, rows)
        if state in _VERIFIED:
            return apply, Phase("verify", DONE, scanned, scanned), []
        if is_over or data["mode"] == DRY_RUN or state not in status.WRITING | _WRITTEN:
            return apply, verify, []
        if done < rows and apply.state != DONE:
            told = self._listener.at_work("apply", now)
            return replace(apply, state=WORKING), verify, told
        told = self._listener.at_work("verify", now)
        looked_at = min(sum(beat.done for beat in told), scanned)
        return replace(apply, state=DONE), replace(verify, state=WORKING, done=looked_at), told

    def _look_at_failures(self, data: Mapping[str, Any]) -> None:
        """Read the open failures again where there are others than before."""
        path = f"{self._name.path}/failures"
        known = (self._ledger.count(path), data["state"])
        if known != self._known_failures:
            errors = [entry.data["error"] for _, entry in self._ledger.entries(path, state=OPEN)]
            conflicts = sum(error.startswith(CONFLICT) for error in errors)
            self._known_failures, self._open_failures = known, (conflicts, len(errors) - conflicts)

    def _waiting(self, data: Mapping[str, Any], lease: Mapping[str, Any] | None, now: int) -> str:
        """Why a run that has not ended does not go on, as far as the audit tells."""
        state = data["state"]
        if state == status.PAUSED:
            by = [entry.data for _, entry in self._ledger.entries(f"{self._name.path}/events", task="pause")]
            who = f" by {by[-1]['by']}" if by else ""
            return f"paused{who}; it goes on when it is resumed"
        if state == status.AWAITING_APPROVAL and not _is_approved(data):
            return f"a person is to approve plan {str(data['plan_digest'])[:16]}"
        if lease is None and state in _NEEDS_THE_TARGET:
            return "nobody works on it: its lease ran out or was taken away"
        return self._held_by_another(lease, now)

    def _held_by_another(self, lease: Mapping[str, Any] | None, now: int) -> str:
        if lease is None or lease["holder"] == self._name.holder:
            return ""
        if not lease["holder"]:
            return f"{lease.get('remark') or 'the target was unlocked'}; it is free in a moment"
        since = lease.get("since")
        held = f", for {age(instant(now) - since)}" if since else ""
        return f"run {lease['holder']} holds the target{held}"


def _task(data: Mapping[str, Any], apply: Phase, verify: Phase) -> str:
    """The task that works or is next, of a run that was reviewed."""
    between = {status.PLANNED: "review", status.AWAITING_APPROVAL: "apply" if _is_approved(data) else "approve"}
    working = next((phase.name for phase in (apply, verify) if phase.state == WORKING), "finish")
    return between.get(data["state"], working)


def _is_approved(data: Mapping[str, Any]) -> bool:
    """Whether a person has approved the plan; the run's state tells that once it writes."""
    return bool(data.get("approved_digest")) and data["approved_digest"] == data["plan_digest"]

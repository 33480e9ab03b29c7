"""pause, resume, cancel: what a person tells a run from outside; its tasks obey between two batches.

Nothing is sent to a worker. The run's audit document changes, and every worker reads it before each commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from firestore_migrations.errors import IllegalTransition, Refused
from firestore_migrations.runs import status
from firestore_migrations.runs.amend import Event, RunName, Seen, amendment, look
from firestore_migrations.runs.holder import COMMIT_SECONDS, PATH, freed, refuse_another
from firestore_migrations.runs.ledger import Conflict, Ledger
from firestore_migrations.runs.options import DOWN, DRY_RUN
from firestore_migrations.runs.run import instant
from firestore_migrations.runs.status import refuse_cancelled, refuse_to_write

__all__ = [
    "PAUSABLE",
    "RESUMABLE",
    "UNFINISHED",
    "Controlled",
    "cancel",
    "pause",
    "refuse_cancelled",
    "refuse_to_write",
    "resume",
]

PAUSABLE = frozenset({status.APPLYING, status.ROLLING_BACK})
RESUMABLE = frozenset({status.PAUSED})
UNFINISHED = status.WRITING | {status.PENDING, status.PLANNED, status.AWAITING_APPROVAL, status.APPLIED}
_INSTEAD = {
    status.PENDING: "It writes nothing yet: let it go on, or end it with `firestore-migrations cancel {version}`.",
    status.PLANNED: "It writes nothing yet: let it go on, or end it with `firestore-migrations cancel {version}`.",
    status.AWAITING_APPROVAL: "Approve or reject it, or end it with `firestore-migrations cancel {version}`.",
    status.APPLYING: "It is at work: `firestore-migrations status`.",
    status.ROLLING_BACK: "It is at work: `firestore-migrations status`.",
    status.PAUSED: "Go on with `firestore-migrations resume {version}`.",
    status.APPLIED: "Its plan is written; let `verify` end, or end it with `firestore-migrations cancel {version}`.",
    status.FAILED: "See why with `firestore-migrations history {version} --events`, then clear its failed task.",
}
_HAS_ENDED = "It has ended; look with `firestore-migrations history {version}`."


@dataclass(frozen=True)
class Controlled:
    """What became of a run.

    Attributes:
        version: of the run.
        run: its id.
        before: the state that it was in.
        state: the one that it is in now.
        dag_id: the DAG that runs it.
        has_ended: whether its DAG run had ended before, so that none of its tasks is there to obey.
    """

    version: str
    run: str
    before: str
    state: str
    dag_id: str
    has_ended: bool


def pause(ledger: Ledger, name: RunName, by: str) -> Controlled:
    """Let a run that writes stop after the batches that are on their way. Safe to repeat.

    Raises:
        IllegalTransition: it does not write.
    """

    def step(seen: Seen) -> _Step:
        _refuse_unless(seen, PAUSABLE, "paused")
        return _Step(status.PAUSED, Event("pause", f"paused by {by}", by), {})

    return _amend(ledger, name, step, status.PAUSED)


def resume(ledger: Ledger, name: RunName, by: str, budget: float | None = None) -> Controlled:
    """Let a paused run write again. Where its tasks have ended meanwhile, they must be cleared besides.

    Args:
        ledger: of the target.
        name: of the run.
        by: who says so.
        budget: what it may cost from now on, in US dollars; then it may also be one that has failed.

    Raises:
        IllegalTransition: it is not paused.
        RunCancelled: it was cancelled.
        LeaseHeld: another run holds the target now.
    """

    def step(seen: Seen) -> _Step:
        refuse_cancelled(seen.run.data)
        _refuse_unless(seen, RESUMABLE if budget is None else RESUMABLE | {status.FAILED}, "resumed")
        refuse_another(ledger, name.holder)
        state = status.ROLLING_BACK if seen.run.data["direction"] == DOWN else status.APPLYING
        changes: dict[str, Any] = {"finished_at": None, "error": None}
        message = f"resumed by {by}"
        if budget is not None:
            changes["budget"] = budget
            message += f" with a budget of {budget:g} USD"
        if seen.run.data["state"] == status.FAILED:
            state = status.FAILED  # its tasks take it on from there
        return _Step(state, Event("resume", message, by), changes)

    return _amend(ledger, name, step)


def cancel(ledger: Ledger, name: RunName, by: str) -> Controlled:
    """End a run for good: it writes nothing more, and its lease is given back. What is written stays. Safe to repeat.

    Raises:
        IllegalTransition: it has ended in another way.
    """

    def step(seen: Seen) -> _Step:
        data = seen.run.data
        _refuse_unless(seen, UNFINISHED | {status.FAILED}, "cancelled")
        if data["mode"] == DRY_RUN and data["finished_at"] is not None:
            raise _refusal(seen, "cancelled", _HAS_ENDED)
        changes = {"cancelled_by": by, "error": f"Cancelled: by {by}", "finished_at": instant(seen.at)}
        event = Event("cancel", f"cancelled by {by}", by)
        return _Step(status.FAILED, event, changes, _lease_given_back(ledger, seen, by))

    return _amend(ledger, name, step, is_done=lambda data: bool(data.get("cancelled_by")))


@dataclass(frozen=True)
class _Step:
    """What a verb makes of a run: its next state, the event, other fields, and other writes of the same commit."""

    state: str
    event: Event
    changes: Mapping[str, Any]
    writes: tuple[bytes, ...] = ()


def _amend(
    ledger: Ledger,
    name: RunName,
    step: Callable[[Seen], _Step],
    already: str = "",
    is_done: Callable[[Mapping[str, Any]], bool] = lambda _: False,
) -> Controlled:
    """Take a step from what the run is now; whoever changed it meanwhile is asked again."""
    while True:
        seen = look(ledger, name)
        if seen is None:
            raise Refused(
                f"There is no run {name.run_id} of {name.version}.",
                f"Look with `firestore-migrations history {name.version}`.",
            )
        data = seen.run.data
        state, has_ended = data["state"], data["finished_at"] is not None
        if state == already or is_done(data):
            return Controlled(*name, state, state, data["dag_id"], has_ended)
        taken = step(seen)
        writes, proof = amendment(ledger, seen, taken.event, taken.state, taken.changes)
        try:
            ledger.commit([*writes, *taken.writes], proof)
        except Conflict:
            continue
        return Controlled(*name, state, taken.state, data["dag_id"], has_ended)


def _lease_given_back(ledger: Ledger, seen: Seen, by: str) -> tuple[bytes, ...]:
    """The write that frees the lease of a cancelled run; not at once while a commit of it may be on its way."""
    (entry,), now = ledger.get(PATH)
    if entry is None or entry.data["holder"] != seen.name.holder:
        return ()
    stood_still = instant(seen.at) - instant(seen.run.update_time)
    may_write = seen.run.data["state"] in status.WRITING | {status.APPLIED}
    if seen.run.data["state"] == status.PAUSED and stood_still > timedelta(seconds=COMMIT_SECONDS):
        may_write = False
    return (freed(ledger, entry, now, f"Run {seen.name.holder} was cancelled by {by}" if may_write else ""),)


def _refuse_unless(seen: Seen, states: frozenset[str], done: str) -> None:
    if seen.run.data["state"] not in states:
        raise _refusal(seen, done, _INSTEAD.get(seen.run.data["state"], _HAS_ENDED))


def _refusal(seen: Seen, done: str, instead: str) -> IllegalTransition:
    name, state = seen.name, seen.run.data["state"]
    return IllegalTransition(
        f"Run {name.run_id} of {name.version} is {state}; it cannot be {done}.",
        instead.format(version=name.version),
        run=name.run_id,
        state=state,
    )

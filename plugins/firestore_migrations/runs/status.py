"""The states of a run and of a version, and which may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firestore_migrations.errors import IllegalTransition, RunCancelled, RunPaused

PENDING = "pending"
PLANNED = "planned"
AWAITING_APPROVAL = "awaiting_approval"
REJECTED = "rejected"
APPLYING = "applying"
PAUSED = "paused"
FAILED = "failed"
PARTIAL = "partial"
APPLIED = "applied"
VERIFIED = "verified"
ROLLING_BACK = "rolling_back"
ROLLED_BACK = "rolled_back"
BASELINE = "baseline"

CHANGED = "changed"
MISSING = "missing"
OUT_OF_ORDER = "out_of_order"

DONE = frozenset({APPLIED, VERIFIED, BASELINE})
"""States of a version that a later one may build on."""

TOUCHED = DONE | {APPLYING, PAUSED, FAILED, PARTIAL, ROLLING_BACK}
"""States of a version in which it may have written documents."""

WRITING = frozenset({APPLYING, ROLLING_BACK, PAUSED})
"""States of a run in which batches are being committed."""

TRANSITIONS: dict[str, dict[str, str]] = {
    PENDING: {
        PLANNED: "the review passed",
        FAILED: "a gate refused it, its plan must not be applied, it was cancelled, or its DAG run ended",
    },
    PLANNED: {
        AWAITING_APPROVAL: "the target asks for approval",
        APPLYING: "the first task of `apply` began",
        ROLLING_BACK: "the same, of a run that takes the version back",
        FAILED: "it was refused or cancelled, or its DAG run ended before it could be applied",
    },
    AWAITING_APPROVAL: {
        PLANNED: "its plan was made again, so that it needs another approval",
        APPLYING: "it was approved, and the first task of `apply` began",
        ROLLING_BACK: "the same, of a run that takes the version back",
        REJECTED: "it was not approved",
        FAILED: "it was cancelled, or its DAG run ended",
    },
    REJECTED: {
        PENDING: "its `preflight` was cleared: it has written nothing, begins anew, and asks anew",
    },
    APPLYING: {
        PAUSED: "somebody paused it",
        APPLIED: "`verify` found every batch committed",
        FAILED: "a task gave up, it was cancelled, its lease was taken over, or its DAG run ended",
    },
    PAUSED: {
        APPLYING: "somebody resumed it",
        ROLLING_BACK: "the same, of a run that takes the version back",
        FAILED: "it was cancelled, or its lease ran out and was taken over",
    },
    APPLIED: {
        VERIFIED: "no residue, and every check holds",
        FAILED: "residue or a check remains, it was cancelled, or its DAG run ended",
    },
    VERIFIED: {
        FAILED: "its `verify` was cleared, and does not hold any more",
    },
    ROLLING_BACK: {
        PAUSED: "somebody paused it",
        ROLLED_BACK: "`verify` found what was taken back as it was before",
        FAILED: "a task gave up, it was cancelled, its lease was taken over, or its DAG run ended",
    },
    ROLLED_BACK: {
        FAILED: "its `verify` was cleared, and does not hold any more",
    },
    # A run that failed goes on where it stopped when its task is cleared: back into every state that it came from.
    FAILED: {
        PLANNED: "its `review` was cleared, and passed",
        AWAITING_APPROVAL: "the same, where the target asks for approval",
        APPLYING: "its `apply` was cleared",
        ROLLING_BACK: "the same, of a run that takes the version back",
        APPLIED: "its `verify` was cleared, and found every batch committed",
        VERIFIED: "its `verify` was cleared, and holds",
        ROLLED_BACK: "the same, of a run that takes the version back",
    },
    BASELINE: {},
}
"""For each state of a run those that may follow, and when. A run begins as pending; a dry run ends as planned."""


def check_transition(run: str, before: str, after: str) -> None:
    """Refuse a state that may not follow; a state may always follow itself.

    Raises:
        IllegalTransition: naming the run and both states.
    """
    if before != after and after not in TRANSITIONS[before]:
        raise IllegalTransition(
            f"Run {run} is {before}; it cannot become {after}.",
            "Trigger a new run, or clear this one from its task `preflight` on if it has written nothing.",
            run=run,
            before=before,
            after=after,
        )


def refuse_cancelled(data: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that was cancelled.

    Args:
        data: the run's audit document.

    Raises:
        RunCancelled: naming who cancelled it.
    """
    if data.get("cancelled_by"):
        raise RunCancelled(
            f"Run {data.get('dag_run_id', '')} was cancelled by {data['cancelled_by']}; it writes nothing more.",
            "A new run plans what is left: `firestore-migrations run VERSION`. "
            "`firestore-migrations rollback VERSION` takes back what was written.",
            run=data.get("dag_run_id"),
        )


def refuse_to_write(data: Mapping[str, Any]) -> None:
    """Refuse to write for a run that somebody paused or cancelled.

    Args:
        data: the run's audit document.

    Raises:
        RunCancelled: for good.
        RunPaused: until somebody resumes it.
    """
    refuse_cancelled(data)
    if data.get("state") == PAUSED:
        raise RunPaused(
            f"Run {data.get('dag_run_id', '')} is paused; it writes nothing until it is resumed.",
            "Go on with `firestore-migrations resume`, or end it with `firestore-migrations cancel`.",
            run=data.get("dag_run_id"),
        )

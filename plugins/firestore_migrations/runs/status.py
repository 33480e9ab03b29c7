"""The states of a run and of a version, and which may follow which."""

from __future__ import annotations

from firestore_migrations.errors import IllegalTransition

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

# A run begins as pending, before its plan is made. A dry run ends as planned. A run that failed goes on where it
# stopped when its task is cleared, so failed leads back into every state that it may have come from.
_MAY_FOLLOW: dict[str, frozenset[str]] = {
    PENDING: frozenset({PLANNED, FAILED}),
    PLANNED: frozenset({AWAITING_APPROVAL, APPLYING, ROLLING_BACK, FAILED}),
    AWAITING_APPROVAL: frozenset({PLANNED, APPLYING, ROLLING_BACK, REJECTED, FAILED}),
    REJECTED: frozenset(),
    APPLYING: frozenset({PAUSED, APPLIED, FAILED}),
    PAUSED: frozenset({APPLYING, ROLLING_BACK, FAILED}),
    APPLIED: frozenset({VERIFIED, FAILED}),
    VERIFIED: frozenset({FAILED}),
    ROLLING_BACK: frozenset({PAUSED, ROLLED_BACK, FAILED}),
    ROLLED_BACK: frozenset({FAILED}),
    FAILED: frozenset({PLANNED, AWAITING_APPROVAL, APPLYING, APPLIED, VERIFIED, ROLLING_BACK, ROLLED_BACK}),
}


def check_transition(run: str, before: str, after: str) -> None:
    """Refuse a state that may not follow; a state may always follow itself.

    Raises:
        IllegalTransition: naming the run and both states.
    """
    if before != after and after not in _MAY_FOLLOW[before]:
        raise IllegalTransition(
            f"Run {run} is {before}; it cannot become {after}.",
            "Look at its history with `firestore-migrations history VERSION`, and trigger a new run.",
            run=run,
            before=before,
            after=after,
        )

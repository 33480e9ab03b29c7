"""An allowance: what a person approved in advance for other windows of a version. No blank cheque.

It is kept at `_migrations/{version}/approvals/{id}`. It names an interval, and how many documents and dollars the runs
of its windows may come to altogether. Each run takes its share in the commit that records its approval, so no two can
take the same, and nothing that was taken is given back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from firestore_migrations.errors import ConfigurationError
from firestore_migrations.firestore.scope import AUDIT_COLLECTION
from firestore_migrations.runs.ledger import Conflict, Entry, Ledger
from firestore_migrations.runs.run import Run, microseconds
from firestore_migrations.runs.windows import Window

_CENT_OF_A_CENT = 1e-9  # what adding up prices may lose


@dataclass(frozen=True)
class Allowance:
    """What the runs of other windows may do under one approval.

    Attributes:
        window: the interval that their windows lie in.
        most_writes: documents that they may write altogether.
        most_price: US dollars that they may cost altogether.

    Raises:
        ConfigurationError: a value is impossible.
    """

    window: Window
    most_writes: int
    most_price: float

    def __post_init__(self) -> None:
        if self.most_writes < 0 or not 0 <= self.most_price < float("inf"):
            raise ConfigurationError(
                "Other windows may write a number of documents, and cost a number of dollars, of 0 or more.",
                "Clear the task `approve`, and answer with such numbers.",
            )


class Fitting(NamedTuple):
    """An allowance that covers a plan.

    Attributes:
        id: of its document.
        user: who gave it.
        given_at: when.
        taking: the write that takes the plan's share; it fails where another run takes one at the same time.
    """

    id: str
    user: str
    given_at: datetime
    taking: bytes


def given(  # noqa: PLR0913 -- what an allowance consists of
    run: Run, ledger: Ledger, others: Allowance, user: str, digest: str, at: datetime
) -> bytes:
    """The write that records an allowance, for the commit of the approval that it comes with."""
    return ledger.create(
        f"{_collection(run)}/{run.id}-{digest[:8]}-{microseconds(at)}",  # it may lapse, and be given again
        {
            "user": user,
            "target": run.target.name,
            "direction": run.options.direction,
            "checksum": run.migration.checksum,
            **others.window.fields,
            "most_writes": others.most_writes,
            "most_price": others.most_price,
            "used_writes": 0,
            "used_price": 0.0,
            "given_at": at,
            "expires_at": at + run.target.policy.approval_max_age,
        },
    )


def take_more(run: Run, ledger: Ledger, name: str, writes: int, price: float) -> bool:
    """Take a share for what a run writes besides its plan; False, and nothing is taken, where it does not suffice.

    Args:
        run: that was approved under the allowance.
        ledger: of its target.
        name: the allowance's id.
        writes: documents.
        price: US dollars.
    """
    path = f"{_collection(run)}/{name}"
    while True:
        (entry,), _ = ledger.get(path)
        if entry is None or not _has_left(entry, writes, price):
            return False
        try:
            ledger.commit_once([_taking(ledger, path, entry, writes, price)])
        except Conflict:
            continue
        return True


def fitting(run: Run, ledger: Ledger, now: datetime) -> Fitting | None:
    """The allowance that covers the run's reviewed plan, the oldest first; None where none does.

    The window lies within it, the file is the one that was approved, who gave it may still approve, the plan has no
    failures and no conflicts, and what is left suffices.
    """
    if run.window is None:
        return None
    review: dict[str, Any] = run.folder.read_json("review.json")
    if review["counts"]["failed"] or review["counts"]["conflicts"]:
        return None
    for name, entry in sorted(ledger.entries(_collection(run)), key=lambda found: found[1].data["given_at"]):
        if _covers(entry, run, run.window, review, now):
            taking = _taking(ledger, f"{_collection(run)}/{name}", entry, review["rows"], review["price"])
            return Fitting(name, entry.data["user"], entry.data["given_at"], taking)
    return None


def _taking(ledger: Ledger, path: str, entry: Entry, writes: int, price: float) -> bytes:
    used = {"used_writes": entry.data["used_writes"] + writes, "used_price": entry.data["used_price"] + price}
    return ledger.change(path, used, entry)


def _has_left(entry: Entry, writes: int, price: float) -> bool:
    data = entry.data
    return bool(
        data["used_writes"] + writes <= data["most_writes"]
        and data["used_price"] + price <= data["most_price"] + _CENT_OF_A_CENT
    )


def _covers(entry: Entry, run: Run, window: Window, review: dict[str, Any], now: datetime) -> bool:
    data, policy = entry.data, run.target.policy
    return bool(
        data["checksum"] == run.migration.checksum
        and data["target"] == run.target.name
        and data["direction"] == run.options.direction
        and Window.recorded(data).contains(window)
        and now < min(data["expires_at"], data["given_at"] + policy.approval_max_age)
        and (not policy.approvers or data["user"] in policy.approvers)
        and _has_left(entry, review["rows"], review["price"])
    )


def _collection(run: Run) -> str:
    return f"{AUDIT_COLLECTION}/{run.version}/approvals"

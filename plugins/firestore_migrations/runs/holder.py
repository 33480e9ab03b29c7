"""Who holds a target: the lease's document, as everybody but its holder sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from firestore_migrations.errors import LeaseHeld
from firestore_migrations.firestore.scope import AUDIT_COLLECTION
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.ledger import Entry, Ledger
from firestore_migrations.runs.run import instant
from firestore_migrations.runs.words import age

PATH = f"{AUDIT_COLLECTION}/_lease"
COMMIT_SECONDS = 30
"""The longest that a commit of a holder may take."""


@dataclass(frozen=True)
class Holder:
    """Who has the right to write to a target.

    Attributes:
        run: like `v001/manual__2026-01-01`; empty where it was taken away a moment ago, and is nobody's yet.
        since: when it took the target.
        expires_at: when that ends, unless it is renewed.
        fence: the lease's number.
        remark: why it is nobody's.
    """

    run: str
    since: datetime | None
    expires_at: datetime
    fence: int
    remark: str = ""


def holder(ledger: Ledger) -> Holder | None:
    """Who holds the target now; None where it is free."""
    (entry,), now = ledger.get(PATH)
    if entry is None or entry.data["expires_at"] <= instant(now):
        return None
    return holder_of(entry)


def holder_of(entry: Entry) -> Holder:
    """Who holds the lease, by its document."""
    data = entry.data
    return Holder(data["holder"], data.get("since"), data["expires_at"], data["fence"], data.get("remark", ""))


def refuse_another(ledger: Ledger, holder: str) -> None:
    """Refuse to let a run go on while another one holds the target.

    Raises:
        LeaseHeld: naming the other one.
    """
    (entry,), now = ledger.get(PATH)
    if entry is not None and entry.data["holder"] != holder and entry.data["expires_at"] > instant(now):
        raise held(entry.data, now)


def freed(ledger: Ledger, entry: Entry, now: int, taken: str = "") -> bytes:
    """The write that frees the lease.

    Args:
        ledger: of the target.
        entry: the lease as it was read.
        now: the server's time then, in microseconds.
        taken: why it was taken from its holder, which may be writing: then it stays nobody's for a while, and the
            fence grows. Empty where the holder gave it back.
    """
    fields = {"holder": "", "run": "", "expires_at": instant(now), "remark": taken}
    if taken:
        fields |= {"fence": entry.data["fence"] + 1, "expires_at": instant(now) + timedelta(seconds=COMMIT_SECONDS)}
    return ledger.change(PATH, fields, entry)


def held(data: dict[str, Any], now: int) -> LeaseHeld:
    """Why the lease cannot be had by anybody else, and what to do."""
    until = data["expires_at"]
    if not data["holder"]:
        seconds = int((until - instant(now)).total_seconds()) + 1
        return LeaseHeld(
            f"{data.get('remark') or 'The target was unlocked'}; "
            f"its last commit may still arrive, so the target is free in {seconds} s.",
            "Try again then; `firestore-migrations status` shows it.",
            holder="",
            free_in=seconds,
        )
    since = data.get("since")
    since_then = f" since {since:%Y-%m-%d %H:%M:%S} UTC, for {age(instant(now) - since)}," if since else ""
    name = RunName.of(data["holder"])
    return LeaseHeld(
        f"Run {data['holder']} holds the target{since_then} and until {until:%Y-%m-%d %H:%M:%S} UTC; "
        "it renews that while it works.",
        f"Wait for it; look with `firestore-migrations history {name.version} --events`. "
        "If its worker is gone, take the target from it with `firestore-migrations unlock`.",
        holder=data["holder"],
        since=since,
        expires_at=until,
    )

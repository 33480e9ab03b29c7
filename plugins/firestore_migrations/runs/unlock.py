"""unlock: takes the target from the run that holds it, whoever that is."""

from __future__ import annotations

from firestore_migrations.errors import LeaseHeld
from firestore_migrations.runs.amend import Event, RunName, event_path, event_write, look
from firestore_migrations.runs.holder import COMMIT_SECONDS, PATH, Holder, freed, held, holder_of
from firestore_migrations.runs.ledger import Conflict, Ledger
from firestore_migrations.runs.run import instant


def unlock(ledger: Ledger, by: str, *, surely: bool) -> Holder | None:
    """Take the lease away. Its old worker commits nothing more; what it has sent may still arrive for half a minute.

    Args:
        ledger: of the target.
        by: who does it; recorded as an event of the run that loses the lease.
        surely: also where the lease has not run out, so that its run may be at work.

    Returns:
        Who held it; None where nobody did.

    Raises:
        LeaseHeld: the lease has not run out, and nobody said `surely`. Nothing was changed.
    """
    while True:
        (entry,), now = ledger.get(PATH)
        if entry is None or not entry.data["holder"]:
            return None
        if not surely and entry.data["expires_at"] > instant(now):
            raise LeaseHeld(
                f"{held(entry.data, now).what} Unlocked, it commits nothing more and fails; what it has written stays.",
                "If its worker is gone or must stop, say `firestore-migrations unlock --yes`.",
                holder=entry.data["holder"],
            )
        loser = RunName.of(entry.data["holder"])
        seen = look(ledger, loser)
        proof = event_path(loser.path, now)
        why = f"unlocked by {by}; it writes nothing more, and the target is free in {COMMIT_SECONDS} s"
        state = "" if seen is None else seen.run.data["state"]
        event = event_write(ledger, proof, now, state, Event("unlock", why, by))
        taken = f"Run {loser.holder} was unlocked by {by}"
        try:
            ledger.commit([event, freed(ledger, entry, now, taken)], proof)
        except Conflict:
            continue
        return holder_of(entry)

"""baseline: marks versions as applied without running them, where their work was done in another way."""

from __future__ import annotations

from collections.abc import Sequence

from firestore_migrations.authoring.discovery import Discovered
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.errors import Refused
from firestore_migrations.runs import status
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.attest import Statement, attest, attesting
from firestore_migrations.runs.audit import Audit, identity
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.run import Target

MODE = "baseline"


def baseline(ledger: Ledger, target: Target, discovered: Discovered, version: str, by: str) -> tuple[str, ...]:
    """Mark every version up to and with this one as applied. No document is read or written; safe to repeat.

    Versions before it that are applied stay as they are.

    Args:
        ledger: of the target.
        target: where.
        discovered: the files.
        version: the last one.
        by: who vouches for it.

    Returns:
        The versions that were marked now, in order.

    Raises:
        Refused: one of them has been run here, and may have written documents.
        LeaseHeld: a run holds the target.
        AuthoringError: a file among them cannot be used.
    """
    wanted = _migrations(discovered, version)
    with attesting(ledger, MODE, version) as run_id:
        states = {name: record["state"] for name, record in Audit(ledger).versions().items()}
        _refuse_touched(target, wanted, states)
        marked = [migration for migration in wanted if states.get(migration.version) not in status.DONE]
        for migration in marked:
            statement = Statement(
                mode=MODE,
                message=f"marked as applied by {by}; it was not run",
                by=by,
                state=status.BASELINE,
                checksum=migration.checksum,
            )
            fields = {**identity(migration), "rollout_percent": 100, "windows": []}
            attest(ledger, target, RunName(migration.version, run_id), statement, fields)
    return tuple(migration.version for migration in marked)


def _migrations(discovered: Discovered, version: str) -> list[Migration]:
    """The migrations up to and with a version."""
    last = int(version[1:])
    for error in discovered.errors:
        broken = error.facts.get("version")
        if broken and int(broken[1:]) <= last:
            raise error
    return [migration for migration in discovered.migrations if int(migration.version[1:]) <= last]


def _refuse_touched(target: Target, wanted: Sequence[Migration], states: dict[str, str]) -> None:
    last = wanted[-1].version
    for migration in wanted:
        version, state = migration.version, states.get(migration.version, status.PENDING)
        is_in_the_way = state in status.TOUCHED - status.DONE
        if is_in_the_way or (version == last and state in status.DONE - {status.BASELINE}):
            raise Refused(
                f"{version} is {state} on {target.name}: it was run there, so it cannot be marked as a baseline.",
                f"Look with `firestore-migrations history {version}`; finish it with `firestore-migrations run "
                f"{version}`, or take it back with `firestore-migrations rollback {version}`."
                if is_in_the_way
                else "Nothing is to be done about it: later versions may build on it.",
                version=version,
                state=state,
            )

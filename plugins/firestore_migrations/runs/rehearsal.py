"""A rehearsal of one file: what became of it on a copy of the data, kept by the file's checksum."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from firestore_migrations.errors import NotRehearsed
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.options import APPLY
from firestore_migrations.runs.run import Run
from firestore_migrations.runs.storage import Folder
from firestore_migrations.runs.words import age

PASSED, FAILED, NOT_REHEARSED = "passed", "failed", "not_rehearsed"


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal found out about one version.

    Attributes:
        id: the DAG run that rehearsed it.
        version: of the file.
        checksum: of the file.
        source: the connection whose data was copied.
        target: the connection of the copy.
        started_at: of the whole rehearsal, in ISO 8601.
        finished_at: of the whole rehearsal, in ISO 8601.
        verdict: `passed`, `failed` or `not_rehearsed`.
        reason: why it did not pass; empty where it did.
        up: the run up: its id, state, seconds, counts, price and plan digest; empty where there was none.
        down: the run that took it back, alike.
        documents: that the run up changed.
        failures: documents that could not be written, conflicts included.
        price: of both runs, in US dollars.
        equal: whether the data was what it was before, when all was taken back; None if nobody could look.
        differing: collections in which it was not.
        database: the resource name of the source.
        on_emulator: whether that was an emulator's, whose data is nobody's.
    """

    id: str
    version: str
    checksum: str
    source: str
    target: str
    started_at: str
    finished_at: str
    verdict: str
    reason: str = ""
    up: dict[str, Any] = field(default_factory=dict)
    down: dict[str, Any] = field(default_factory=dict)
    documents: int = 0
    failures: int = 0
    price: float = 0.0
    equal: bool | None = None
    differing: tuple[str, ...] = ()
    database: str = ""
    on_emulator: bool = False

    @property
    def is_passed(self) -> bool:
        """Whether the version went up and came down as it should, and left no trace."""
        return self.verdict == PASSED

    def age(self, now: datetime | None = None) -> timedelta:
        """How long ago it ended."""
        return (now or datetime.now(timezone.utc)) - datetime.fromisoformat(self.finished_at)


def record(results: Folder, rehearsal: Rehearsal) -> str:
    """Keep a rehearsal with the others of its checksum; safe to repeat. Returns where it is."""
    folder = results / rehearsal.checksum
    folder.write_json(f"{rehearsal.id}.json", asdict(rehearsal))
    return f"{folder}/{rehearsal.id}.json"


def find(results: Folder, checksum: str, rehearsal_id: str) -> Rehearsal | None:
    """What one rehearsal found out about a checksum, or None."""
    folder, name = results / checksum, f"{rehearsal_id}.json"
    return Rehearsal(**_tuples(folder.read_json(name))) if folder.has(name) else None


def newest(results: Folder, checksum: str) -> Rehearsal | None:
    """The last rehearsal of a checksum that came to a verdict; None if there is none.

    A rehearsal that failed on the data of today counts for more than one that passed on the data of last week.

    Raises:
        StorageError: a result was altered.
    """
    judged = [rehearsal for rehearsal in of_checksum(results, checksum) if rehearsal.verdict != NOT_REHEARSED]
    return judged[-1] if judged else None


def of_checksum(results: Folder, checksum: str) -> list[Rehearsal]:
    """Every rehearsal of a checksum, the last one last.

    Raises:
        StorageError: a result was altered.
    """
    folder = results / checksum
    names = [name for name in folder.names() if name.endswith(".json")]
    found = [Rehearsal(**_tuples(folder.read_json(name))) for name in names]
    return sorted(found, key=lambda rehearsal: datetime.fromisoformat(rehearsal.finished_at))


def refuse_unrehearsed(run: Run, now: datetime | None = None) -> Rehearsal | None:
    """Refuse to apply a file that was not rehearsed, where the target asks for that. Writes nothing.

    Args:
        run: any; only one that applies a version upwards is asked.
        now: the present; the clock's by default.

    Returns:
        The rehearsal that lets it pass; None where none is asked for, or its absence was accepted with a reason.

    Raises:
        NotRehearsed: with the command that makes a rehearsal.
    """
    limit = run.target.policy.rehearsal_max_age
    if limit is None or run.is_down or run.options.mode != APPLY or run.options.without_rehearsal:
        return None
    found = None if run.rehearsals is None else newest(run.rehearsals, run.migration.checksum)
    is_real = run.target.address.has_admin
    if found is not None and found.is_passed and found.age(now) < limit and not (is_real and found.on_emulator):
        return found
    what = f"{run.version} cannot be applied to {run.target.name} without a passed rehearsal of this very file"
    raise NotRehearsed(
        f"{what} that is younger than {age(limit)}: {_fault(found, now, is_real=is_real)}.",
        f"Rehearse it: `airflow dags trigger firestore_rehearsal` or `firestore-migrations rehearse {run.version}`; "
        "or go without, by the parameter without_rehearsal with a reason, which the audit keeps.",
        version=run.version,
        checksum=run.migration.checksum,
    )


def record_rehearsal(run: Run, audit: Audit) -> None:
    """Record, once, which rehearsal lets a run pass, or why it goes without one."""
    if run.is_down or run.options.mode != APPLY:
        return
    data = audit.run(run) or {}
    reason = run.options.without_rehearsal.strip()
    if reason and "without_rehearsal" not in data:
        audit.record(run, "preflight", f"goes without a rehearsal: {reason}", without_rehearsal=reason)
    elif not reason and "rehearsal" not in data and (found := refuse_unrehearsed(run)) is not None:
        kept = {"id": found.id, "finished_at": found.finished_at, "of": found.database or found.source}
        message = f"was rehearsed by {found.id} at {found.finished_at}, on a copy of {kept['of']}"
        audit.record(run, "preflight", message, rehearsal=kept)


def _fault(found: Rehearsal | None, now: datetime | None, *, is_real: bool) -> str:
    if found is None:
        return "there is none"
    if not found.is_passed:
        return f"the last one, {found.id}, failed: {found.reason.rstrip('.')}"
    if is_real and found.on_emulator:
        return f"the last one, {found.id}, was of an emulator's data"
    return f"the last one, {found.id}, is {age(found.age(now))} old"


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "differing": tuple(data["differing"])}

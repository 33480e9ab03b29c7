"""backup: the documents of a shard, at the run's read time, into storage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from firestore_migrations.firestore.connection import Reader
from firestore_migrations.firestore.point_in_time import PointInTime
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs import redrive
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.preflight import Shard, course_of
from firestore_migrations.runs.rollback import present_documents
from firestore_migrations.runs.run import Run
from firestore_migrations.runs.snapshot import find_snapshot, take_snapshot


def backup(run: Run, shard: int) -> dict[str, Any]:
    """Take the snapshot of one shard. A snapshot that is complete is never taken again: its before-images stay.

    A script reads what it likes while it is planned; the before-image of whatever it writes is then in the plan.

    Returns:
        shard, uri, documents, bytes and digest.
    """
    course = course_of(run)
    folder = run.folder / "snapshot" / f"{shard:04d}"
    snapshot = find_snapshot(folder)
    if snapshot is None:
        with Reader(run.target.address) as reader:
            at = PointInTime(reader, course.read_time)
            snapshot = take_snapshot(folder, _documents(run, course.shards[shard], course.undoes, at))
    return {
        "shard": shard,
        "uri": str(folder),
        "documents": snapshot.documents,
        "bytes": snapshot.bytes,
        "digest": snapshot.digest,
    }


def _documents(run: Run, shard: Shard, undoes: tuple[str, ...], at: PointInTime) -> Iterable[Stored]:
    if run.is_down:
        return present_documents(run, Audit(Ledger(at.reader)), undoes, at)
    step = run.step(shard.step)
    if run.options.redrive:
        return redrive.documents(step, redrive.failed_before(run, Audit(Ledger(at.reader))), at)
    if step.scope is None:
        return ()
    documents = at.scan(step.scope, shard.keys)
    if run.options.rollout_percent >= 100:
        return documents
    return (stored for stored in documents if run.is_selected(stored.path))

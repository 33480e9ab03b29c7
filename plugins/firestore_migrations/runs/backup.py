"""backup: the documents of a shard, at the run's read time, into storage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from firestore_migrations.firestore.connection import Reader
from firestore_migrations.firestore.point_in_time import PointInTime
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs import redrive
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.export import await_export, begin_export
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.preflight import Shard, course_of
from firestore_migrations.runs.rollback import present_documents
from firestore_migrations.runs.run import Run
from firestore_migrations.runs.snapshot import find_snapshot, take_snapshot


def backup(run: Run, shard: int) -> dict[str, Any]:
    """Take the snapshot of one shard. A snapshot that is complete is never taken again: its before-images stay.

    One of an earlier life of the run that wrote nothing is: preflight has then fixed another read time.

    A script reads what it likes while it is planned; the before-image of whatever it writes is then in the plan.

    Where the target asks for a managed export, the first shard starts it, and waits for it in the end.

    Returns:
        shard, uri, documents, bytes and digest; and export, the address of a managed export.
    """
    course = course_of(run)
    export = begin_export(run, course.read_time) if shard == 0 else ""
    folder = run.folder / "snapshot" / f"{shard:04d}"
    snapshot = find_snapshot(folder)
    if snapshot is None or snapshot.read_time not in (0, course.read_time):  # 0: of an older release
        with Reader(run.target.address) as reader:
            at = PointInTime(reader, course.read_time)
            run.pulse.follow(lambda: at.reads)
            documents = _documents(run, course.shards[shard], course.undoes, at)
            snapshot = take_snapshot(folder, documents, at.read_time, lambda: at.reads)
    return {
        "shard": shard,
        "uri": str(folder),
        "documents": snapshot.documents,
        "bytes": snapshot.bytes,
        "digest": snapshot.digest,
        **({"export": await_export(run, export)} if export else {}),
    }


def _documents(run: Run, shard: Shard, undoes: tuple[str, ...], at: PointInTime) -> Iterable[Stored]:
    if run.is_down:
        return present_documents(run, Audit(Ledger(at.reader)), undoes, at)
    step = run.step(shard.step)
    if run.options.redrive:
        return redrive.documents(step, redrive.failed_before(run, Audit(Ledger(at.reader))), at)
    scope = run.scope_of(step)
    if scope is None:
        return ()
    documents = at.scan(scope, shard.keys)
    if run.options.rollout_percent >= 100:
        return documents
    return (stored for stored in documents if run.is_selected(stored.path))

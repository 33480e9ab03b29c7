"""dry_run: what the migration makes of the snapshot, twice; the writes go into the plan, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from firestore_migrations.authoring.drafts import Base
from firestore_migrations.errors import ConfigurationError, DataWouldExpire
from firestore_migrations.firestore.codec import Codec
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.firestore.point_in_time import PointInTime
from firestore_migrations.runs import rollback
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.expiry import Expiry
from firestore_migrations.runs.failure import CONFLICT, Failure
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.plan import Plan, find_plan
from firestore_migrations.runs.plan_writer import PlanWriter
from firestore_migrations.runs.planned import Facts, Planned
from firestore_migrations.runs.planner import Planner
from firestore_migrations.runs.preflight import Course, course_of
from firestore_migrations.runs.run import Run, instant
from firestore_migrations.runs.side_effects import SideEffects
from firestore_migrations.runs.snapshot import Snapshot, find_snapshot, read_snapshot


def dry_run(run: Run, shard: int) -> dict[str, Any]:
    """Plan one shard. Once the run has begun to write, the plan that it writes from is kept as it is.

    Returns:
        shard, uri, digest, scanned, unchanged, operations, failures (a count) and reads.

    Raises:
        PlanError: the plan must not be applied; it says why and names the document.
        WriteRefused: the migration tried to write by itself; nothing was sent.
    """
    folder = run.folder / "plan" / f"{shard:04d}"
    with Reader(run.target.address) as reader:
        audit = Audit(Ledger(reader))
        plan = find_plan(folder) if audit.has_batches(run) else None
        if plan is None:
            course = course_of(run)
            base = Base(PointInTime(reader, course.read_time), Codec(reader))
            writer = PlanWriter(folder, run.options.rows_per_batch, run.target.address.request_limit)
            plan = _plan(run, _chunks(run, shard, course, base, audit), base, writer)
    return {
        "shard": shard,
        "uri": str(folder),
        "digest": plan.digest,
        "scanned": plan.scanned,
        "unchanged": plan.unchanged,
        "operations": plan.operations,
        "failures": len(plan.failures),
        "reads": plan.reads,
    }


def _plan(run: Run, chunks: Iterator[tuple[Planned, int]], base: Base, writer: PlanWriter) -> Plan:
    """Write what is planned as it comes, and what it adds up to."""
    scanned, facts = 0, Facts()
    failures: list[Failure] = []
    course = course_of(run)
    effects = SideEffects(Expiry(run.version, course.ttl.known, course.now), course.now)
    for chunk, documents in chunks:
        for row in chunk.rows:
            try:
                effects.see(row)
            except DataWouldExpire as refusal:
                if not run.is_down:
                    raise
                error = f"{CONFLICT}: a time-to-live policy would delete it, by {refusal.facts['field']}; left alone"
                failures.append(Failure(row.path, row.step, error, row.row))
                continue
            writer.add(row)
        failures += chunk.failures
        facts.add(chunk)
        scanned += documents
        run.pulse.add(documents)
    writer.finish_call()
    failures += writer.failures
    facts.add(Facts(knows_others=base.codec.has_read, depends_on_others=base.codec.has_read))
    return writer.close(
        scanned=scanned,
        reads=base.at.reads,
        checksum=run.migration.checksum,
        side_effects=effects.found(),
        failures=tuple((failure.path, failure.step, failure.error) for failure in failures),
        **asdict(facts),
    )


def _chunks(run: Run, shard: int, course: Course, base: Base, audit: Audit) -> Iterator[tuple[Planned, int]]:
    """What is planned of a step over a snapshot, of a script, or of runs to take back; each with documents scanned."""
    folder = run.folder / "snapshot" / f"{shard:04d}"
    snapshot = find_snapshot(folder)
    if snapshot is None:
        raise ConfigurationError(f"Shard {shard} of run {run.id} has no snapshot.", "Clear the task `backup`.")
    if snapshot.read_time not in (0, course.read_time):
        raise ConfigurationError(
            f"The snapshot of shard {shard} of run {run.id} is of another time than the run is now.",
            "Clear the task `backup`.",
        )
    if run.is_down:
        yield from rollback.plan(run, audit, course, read_snapshot(folder, snapshot), base)
        return
    step = run.step(course.shards[shard].step)
    planner = Planner(step, base, instant(course.now), run.version)
    if step.is_script:
        planned = planner.plan_script()
        yield planned, len(planned.rows) + planned.unchanged
    else:
        yield from _documents(planner, folder, snapshot)


def _documents(planner: Planner, folder: Any, snapshot: Snapshot) -> Iterator[tuple[Planned, int]]:
    for documents in read_snapshot(folder, snapshot):
        planned = planner.plan(documents)
        planner.prove(documents, planned)
        yield planned, len(documents)

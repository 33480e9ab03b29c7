"""review: joins the plans of all shards into one, with one digest and one report; refuses what must not be applied."""

from __future__ import annotations

from collections import Counter
from typing import Any

from firestore_migrations.authoring.migration import Step
from firestore_migrations.errors import ChecksumChanged, ConfigurationError, OverBudget, TooManyFailures
from firestore_migrations.firestore.connection import Reader, Writer
from firestore_migrations.firestore.ramp import seconds_for
from firestore_migrations.firestore.scan import can_be_scanned_by_name
from firestore_migrations.runs import redrive, status
from firestore_migrations.runs.approval import voided
from firestore_migrations.runs.audit import NO_COUNTS, Audit
from firestore_migrations.runs.budget import budget_of
from firestore_migrations.runs.committed import Part, joined_digest
from firestore_migrations.runs.failure import CONFLICT, Failure
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.outside import count_outside, reads_of_counting
from firestore_migrations.runs.overlap import refuse_overlap
from firestore_migrations.runs.plan import Plan, collections_of, find_plan
from firestore_migrations.runs.preflight import course_of
from firestore_migrations.runs.price import Usage, in_dollars
from firestore_migrations.runs.proved import can_be_told_by_name, needs_rows
from firestore_migrations.runs.report import report
from firestore_migrations.runs.run import Run
from firestore_migrations.runs.side_effects import warnings_of
from firestore_migrations.runs.snapshot import Snapshot, find_snapshot

_ESTIMATED = ("reads", "writes", "deletes", "price", "seconds")
_UNLIMITED = 5000.0  # writes a second, about, where nothing holds them back
_RECORDED = ("plan_digest", "counts", "warnings", "without_window_field")
_OVER = frozenset({status.APPLIED, status.VERIFIED, status.ROLLED_BACK})
"""States of a run whose plan was carried out, though there was nothing to write; its tasks may be cleared."""


def review(run: Run) -> dict[str, Any]:
    """Join the shards, write the report beside the plan, and record the run as planned.

    Returns:
        plan_digest, report_uri, counts, rows, the estimated usage, price and seconds.

    Raises:
        PlanError: two rows write one document, too many documents failed, or it costs more than the budget.
    """
    course = course_of(run)
    shards = course.shards
    plans = [_plan(run, shard.index) for shard in shards]
    parts, first_row = [], 0
    for shard, plan in zip(shards, plans, strict=True):
        parts.append(Part(f"plan/{shard.index:04d}", shard.index, first_row))
        first_row += plan.rows
    digest = joined_digest(plan.digest for plan in plans)
    counts = counts_of(plans)
    failures = [Failure(*failure) for plan in plans for failure in plan.failures]
    outside = count_outside(run)
    snapshots = [_snapshot(run, shard.index) for shard in shards]
    usage = estimate(run, plans, snapshots)
    price = run.prices.of(usage)
    result = {
        "plan_digest": digest,
        "report_uri": str(run.folder / "report.md"),
        "counts": counts,
        "rows": first_row,
        "reads": usage.reads,
        "writes": usage.writes,
        "deletes": usage.deletes,
        "price": price,
        "seconds": round(seconds(run, first_row)),
        "warnings": warnings_of(run, plans, course.ttl.fault),
    }
    if run.options.redrive:
        with Reader(run.target.address) as reader:
            audit = Audit(Ledger(reader))
            result["remark"] = redrive.described(run, audit, redrive.failed_before(run, audit))
    if run.window is not None:
        result["without_window_field"] = outside
    run.folder.write_json("review.json", {**result, **_joined(run, plans, snapshots), "parts": parts})
    run.folder.write("report.md", report(run, result, plans, parts, failures).encode())
    with Writer(run.target.address) as writer:
        audit = Audit(Ledger(writer))
        has_begun = audit.has_batches(run)
        if not has_begun:
            audit.record_failures(run, failures)
        _refuse_what_must_not_be_applied(run, result, plans, parts, failures)
        recorded = audit.run(run) or {}
        _refuse_the_price(run, price, budget_of(run, recorded))
        if not has_begun and recorded.get("state") not in _OVER:
            message = f"planned {first_row} writes; the report is {run.folder / 'report.md'}"
            planned: dict[str, Any] = {name: result[name] for name in _RECORDED if name in result}
            planned |= {"checksum": run.migration.checksum, "estimate": {name: result[name] for name in _ESTIMATED}}
            planned |= voided(recorded, digest)
            audit.record(run, "review", message, status.PLANNED, **planned, error=None)
    return result


def _joined(run: Run, plans: list[Plan], snapshots: list[Snapshot]) -> dict[str, Any]:
    """What whoever reads the review need not ask of a thousand shards again."""
    return {
        "digests": [plan.digest for plan in plans],
        "batches": sum(plan.batches for plan in plans),
        "collections": collections_of(plans),
        "reads_before_writing": _reads_so_far(run, plans, snapshots),
    }


def _reads_so_far(run: Run, plans: list[Plan], snapshots: list[Snapshot]) -> int:
    """What backup, dry run and the counts of a window's review have read."""
    of_snapshots, of_plans = sum(found.reads for found in snapshots), sum(plan.reads for plan in plans)
    return of_snapshots + of_plans + reads_of_counting(run.folder)


def counts_of(plans: list[Plan]) -> dict[str, int]:
    """The counts of a run, as far as its plans tell."""
    operations: Counter[str] = Counter()
    for plan in plans:
        operations.update(plan.operations)
    conflicts = sum(failure[2].startswith(CONFLICT) for plan in plans for failure in plan.failures)
    return {
        **NO_COUNTS,
        **operations,
        "scanned": sum(plan.scanned for plan in plans),
        "unchanged": sum(plan.unchanged for plan in plans),
        "conflicts": conflicts,
        "failed": sum(len(plan.failures) for plan in plans) - conflicts,
    }


def estimate(run: Run, plans: list[Plan], snapshots: list[Snapshot]) -> Usage:
    """What the whole run will use: counted for backup and plan, foreseen for apply and verify."""
    operations = counts_of(plans)
    batches = sum(plan.batches for plan in plans)
    verify_reads = operations["scanned"] if run.is_down else _reads_of_verify(run, plans, snapshots)
    return Usage(
        reads=_reads_so_far(run, plans, snapshots) + verify_reads,
        writes=operations["created"] + operations["updated"] + batches + sum(plan.pins for plan in plans),
        deletes=operations["deleted"],
    )


def _reads_of_verify(run: Run, plans: list[Plan], snapshots: list[Snapshot]) -> int:
    """What verify reads if nobody writes: every scope again, what no scan shows, and what it must see whole."""
    shards = course_of(run).shards
    of_step: dict[str, list[Plan]] = {}
    for shard, plan in zip(shards, plans, strict=True):
        of_step.setdefault(shard.step, []).append(plan)
    told = {name: _is_told_by_name(run, run.step(name), its) for name, its in of_step.items()}
    need_rows = {name: needs_rows(run.step(name), its) for name, its in of_step.items()}
    reads = 0
    for shard, plan, snapshot in zip(shards, plans, snapshots, strict=True):
        step = run.step(shard.step)
        called = snapshot.documents - plan.gone - plan.left
        reads += snapshot.reads - (0 if run.options.redrive else plan.gone + _not_scanned(run, step, plan))
        reads += plan.rows if run.window is not None else plan.others + plan.gone + plan.left
        reads += plan.born  # are scanned as well, and nothing is proved of them
        if told[shard.step]:
            reads += plan.born
            whole = len(plan.failures) + (plan.unchanged if need_rows[shard.step] else 0)
            spots = snapshot.spots * (called - whole) // snapshot.documents if snapshot.documents else 0
            called = whole + spots
            reads += called
        if step.idempotent:
            reads += plan.reads * called // snapshot.documents if snapshot.documents else plan.reads
    return reads


def _is_told_by_name(run: Run, step: Step, plans: list[Plan]) -> bool:
    scope = run.scope_of(step)
    return scope is not None and can_be_told_by_name(run, step, scope, plans)


def _not_scanned(run: Run, step: Step, plan: Plan) -> int:
    """How many of the documents that left the filters the server does not send any more."""
    scope = run.scope_of(step)
    return plan.left if scope is not None and can_be_scanned_by_name(scope) else 0


def seconds(run: Run, rows: int) -> float:
    """About how long the writes will take under the run's rate: 500 a second, half as many again every five minutes."""
    rate = run.writes_per_second
    return rows / _UNLIMITED if rate == 0 else seconds_for(rows, limit=rate)


def _refuse_what_must_not_be_applied(
    run: Run, result: dict[str, Any], plans: list[Plan], parts: list[Part], failures: list[Failure]
) -> None:
    is_of_one_step = len({shard.step for shard in course_of(run).shards}) == 1
    if not is_of_one_step or any(plan.others for plan in plans):
        refuse_overlap(run.version, run.folder, parts)
    failed = [failure for failure in failures if not failure.is_conflict]
    if len(failed) > run.options.allowed_failures(result["counts"]["scanned"]):
        first = "; ".join(f"{failure.path} ({failure.error})" for failure in failed[:3])
        raise TooManyFailures(
            f"{len(failed)} documents of {run.version} cannot be migrated, more than max_failures="
            f"{run.options.max_failures}: {first}. All are listed in {result['report_uri']}.",
            "Nothing was written. Mend the migration and clear `dry_run`, or raise max_failures.",
            failed=len(failed),
        )


def _refuse_the_price(run: Run, price: float, most: float | None) -> None:
    if most is not None and price > most:
        raise OverBudget(
            f"{run.version} would cost {in_dollars(price)}, more than the budget of {in_dollars(most)}.",
            f"Nothing was written. Go on with `firestore-migrations resume {run.meant} --budget USD`, "
            "or narrow the scope.",
            price=price,
        )


def _plan(run: Run, shard: int) -> Plan:
    plan = find_plan(run.folder / "plan" / f"{shard:04d}")
    if plan is None:
        raise ConfigurationError(f"Shard {shard} of run {run.id} has no plan.", "Clear the task `dry_run`.")
    if plan.checksum != run.migration.checksum and not run.is_down:
        raise ChecksumChanged(
            f"{run.migration.path.name} was edited after shard {shard} of run {run.id} was planned.",
            "Clear the task `dry_run`.",
            version=run.version,
        )
    return plan


def _snapshot(run: Run, shard: int) -> Snapshot:
    snapshot = find_snapshot(run.folder / "snapshot" / f"{shard:04d}")
    if snapshot is None:
        raise ConfigurationError(f"Shard {shard} of run {run.id} has no snapshot.", "Clear the task `backup`.")
    return snapshot

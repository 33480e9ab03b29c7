"""verify: is the data what the migration promises?

The scope is read again at a new read time. What the step would still change is residue, such as documents that were written
in the old shape while the run was going on; it is planned and applied like the rest, and then there must be none. The
author's checks run on every document. And each document that was written is compared with what was planned for it.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from heapq import merge
from itertools import chain, groupby, islice
from typing import Any

from firestore_migrations.authoring.drafts import Base
from firestore_migrations.authoring.migration import Step
from firestore_migrations.errors import VerifyFailed
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.change import applied, same_fields
from firestore_migrations.firestore.codec import Codec
from firestore_migrations.firestore.connection import Reader, Writer
from firestore_migrations.firestore.ordering import name_key
from firestore_migrations.firestore.point_in_time import PointInTime
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs import status
from firestore_migrations.runs.apply import Applier
from firestore_migrations.runs.audit import Audit, BatchRecord, Failure
from firestore_migrations.runs.committed import Committed, Part, committed_rows, parts_of, plan_of
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.plan import Plan, PlanWriter, Row
from firestore_migrations.runs.planner import Planned, Planner
from firestore_migrations.runs.preflight import course_of
from firestore_migrations.runs.rollback import CONFLICT
from firestore_migrations.runs.run import Run, instant

_PASSES = 5
_AT_ONCE = 500
_MOST_LISTED = 1000


@dataclass
class Finding:
    """What one look at the data found.

    Attributes:
        residue: documents that the migration would still change.
        residue_applied: residue of earlier looks, which was applied.
        held: written documents that hold what was planned.
        changed_since: written documents that somebody changed afterwards.
        born_since: documents of a step that is not idempotent that are newer than the run; they are left alone.
        failed_checks: documents that do not pass a check, and which.
        reads: documents read.
    """

    residue: int = 0
    residue_applied: int = 0
    held: int = 0
    changed_since: int = 0
    born_since: int = 0
    failed_checks: list[Failure] = field(default_factory=list)
    reads: int = 0


def verify(run: Run) -> dict[str, Any]:
    """Look until there is no residue, and record the run as verified or rolled back. Safe to run again.

    Returns:
        residue, residue_applied, held, changed_since, born_since, checks (failed ones) and reads.

    Raises:
        VerifyFailed: residue remains after several passes, or a check does not hold; the paths are in `verify.json`.
    """
    with Writer(run.target.address) as writer, Reader(run.target.address) as reader:
        audit = Audit(Ledger(writer))
        if run.is_down:
            finding = _Look(run, audit, reader).at_what_was_restored()
        else:
            data = audit.run(run) or {}
            if data.get("state") in status.WRITING:
                audit.record(run, "verify", "every batch is committed", status.APPLIED)
            finding = _until_no_residue(run, audit, writer, reader)
        run.folder.write_json("verify.json", {**asdict(finding), "failed_checks": finding.failed_checks[:_MOST_LISTED]})
        _refuse_failed_checks(run, finding)
        state = status.ROLLED_BACK if run.is_down else status.VERIFIED
        audit.record(run, "verify", f"residue 0, {finding.held} documents hold what was planned", state, error=None)
    result = asdict(finding)
    result["checks"] = len(result.pop("failed_checks"))
    return result


def look_again(run: Run) -> Finding:
    """Look once at a version that is applied, and write nothing: neither to Firestore nor to the storage.

    Args:
        run: the one that applied it, with the percentage that the version is rolled out to.

    Raises:
        VerifyFailed: a document cannot be looked at.
    """
    with Reader(run.target.address) as reader:
        return _Look(run, Audit(Ledger(reader)), reader, keeps=False).at_the_scope()


def _until_no_residue(run: Run, audit: Audit, writer: Writer, reader: Reader) -> Finding:
    applied_residue = reads = 0
    for _ in range(_PASSES):
        look = _Look(run, audit, reader)
        finding = look.at_the_scope()
        reads += finding.reads
        finding.residue_applied, finding.reads = applied_residue, reads
        if not finding.residue:
            return finding
        audit.record(run, "verify", f"{finding.residue} documents were written in the old shape; they are migrated now")
        applier = Applier(run, writer, reader)
        applier.begin()
        applier.send(look.residue_part())
        applied_residue += finding.residue
    raise VerifyFailed(
        f"{finding.residue} documents of {run.version} are still in the old shape after {_PASSES} passes.",
        "Something keeps writing them: deploy the code that writes the new shape, then clear `verify`.",
        residue=finding.residue,
    )


class _Look:
    """One look at the data, at one read time.

    Args:
        run: whose documents.
        audit: of the target.
        reader: a connection to it.
        keeps: whether residue is kept in storage, so that it can be applied.
    """

    def __init__(self, run: Run, audit: Audit, reader: Reader, *, keeps: bool = True) -> None:
        self._run = run
        self._reader = reader
        self._records = audit.batches(run.version, run.id)
        self._read_time = reader.get(["_migrations/_lease"])[1]
        self._base = Base(PointInTime(reader, self._read_time), Codec(reader))
        self._now = instant(self._read_time) if run.now is None else run.now
        self._set_aside = {f["path"] for f in audit.failures(run) if not f["error"].startswith(CONFLICT)}
        parts = parts_of(run.folder)
        _refuse_unsent_batches(run, parts, self._records)
        last = parts[-1]
        self._part = Part(
            f"residue/{len(parts):04d}", len(parts), last.first_row + plan_of(run.folder, last).rows
        )
        self._parts = parts
        self._writer: PlanWriter | _RowCounter = _RowCounter()
        if keeps:
            self._writer = PlanWriter(
                run.folder / self._part.name, run.options.rows_per_batch, run.target.address.request_limit
            )

    def at_the_scope(self) -> Finding:
        """Plan every step again, run its checks, and compare what was written."""
        finding = Finding()
        for step in self._run.migration.steps:
            planner = Planner(step, self._base, self._now, self._run.version)
            if step.is_script:
                self._look_at_script(planner, step, finding)
            else:
                self._look_at_documents(planner, step, finding)
        self._look_at_others(finding)
        plan = self._writer.close(checksum=self._run.migration.checksum)
        finding.residue = plan.rows
        finding.reads = self._base.at.reads
        return finding

    def at_what_was_restored(self) -> Finding:
        """Compare every document that was taken back with its before-image."""
        finding = Finding()
        self._compare(committed_rows(self._run.folder, self._records), finding)
        finding.reads = self._base.at.reads
        return finding

    def residue_part(self) -> Part:
        """Make the residue a part of the run's plan, so that it is applied and taken back like the rest."""
        residue = [part for part in self._parts if part.is_residue]
        self._run.folder.write_json("residue.json", {"parts": [*residue, self._part]})
        return self._part

    def _look_at_script(self, planner: Planner, step: Step, finding: Finding) -> None:
        if step.idempotent:
            self._keep(planner.plan_script())
        finding.failed_checks += planner.check_script()

    def _look_at_documents(self, planner: Planner, step: Step, finding: Finding) -> None:
        if step.scope is None:
            return
        expected = _Expected(self._own_rows(step))
        run = self._run
        documents = (stored for stored in self._base.at.scan(step.scope) if run.is_selected(stored.path))
        began = course_of(run).read_time
        while chunk := list(islice(documents, _AT_ONCE)):
            looked_at = [stored for stored in chunk if stored.path not in self._set_aside]
            if step.idempotent:
                self._keep(planner.plan(looked_at))
            else:
                finding.born_since += sum(stored.create_time > began for stored in chunk)
            for stored in looked_at:
                finding.failed_checks += planner.check(stored)
            for stored in chunk:
                _count(expected.of(stored.path), stored, finding)
            self._compare(expected.take_missed(), finding)
        self._compare(expected.rest(), finding)

    def _keep(self, planned: Planned) -> None:
        if planned.failures:
            failure = planned.failures[0]
            raise VerifyFailed(
                f"{len(planned.failures)} documents of {self._run.version} cannot be looked at, the first of them "
                f"{failure.path} ({failure.error}).",
                "Mend the migration, then clear `verify`.",
            )
        for row in planned.rows:
            if row.path not in self._set_aside:
                self._writer.add(row)

    def _own_rows(self, step: Step) -> Iterator[Committed]:
        """What was last written to each document that the step was called with, in the order of names."""
        planned = [part for part in self._parts if not part.is_residue]
        residue = [[part] for part in self._parts if part.is_residue]
        rows = merge(
            *(self._own_rows_of(step, parts) for parts in (planned, *residue)),
            key=None if not residue else lambda item: name_key(item.row.path),
        )
        for _, written in groupby(rows, key=lambda item: item.row.path):
            *_, last = written
            yield last

    def _own_rows_of(self, step: Step, parts: list[Part]) -> Iterator[Committed]:
        for item in committed_rows(self._run.folder, self._records, parts):
            if item.row.step == step.name and item.row.path == item.row.source:
                yield item

    def _look_at_others(self, finding: Finding) -> None:
        """Compare what was written to documents that no step was called with."""
        rows = committed_rows(self._run.folder, self._records)
        others: Iterable[Committed] = (item for item in rows if item.row.path != item.row.source)
        if any(part.is_residue for part in self._parts):
            others = {item.row.path: item for item in others}.values()
        self._compare(others, finding)

    def _compare(self, rows: Iterable[Committed], finding: Finding) -> None:
        remaining = iter(rows)
        while chunk := list(islice(remaining, _AT_ONCE)):
            found = self._base.at.get(item.row.path for item in chunk)
            for item in chunk:
                _count(item, found[item.row.path], finding)


class _RowCounter:
    """Takes rows as a `PlanWriter` does, and keeps none."""

    def __init__(self) -> None:
        self._rows = 0

    def add(self, _row: Row) -> None:
        self._rows += 1

    def close(self, **facts: Any) -> Plan:
        return Plan(rows=self._rows, **facts)


class _Expected:
    """Rows in the order of names, asked for in that order."""

    def __init__(self, rows: Iterable[Committed]) -> None:
        self._rows = iter(rows)
        self._next = next(self._rows, None)
        self._missed: list[Committed] = []

    def of(self, path: str) -> Committed | None:
        """The row of a document, or None; rows of documents before it are kept as missed."""
        while self._next is not None and self._next.row.path != path:
            if name_key(self._next.row.path) > name_key(path):
                return None
            self._missed.append(self._next)
            self._next = next(self._rows, None)
        found, self._next = self._next, next(self._rows, None)
        return found

    def take_missed(self) -> list[Committed]:
        """The rows of documents that were passed over since this was asked before: they left the scope."""
        missed, self._missed = self._missed, []
        return missed

    def rest(self) -> Iterator[Committed]:
        """The rows of documents behind the last one that was asked for."""
        return chain(() if self._next is None else (self._next,), self._rows)


def _count(item: Committed | None, stored: Stored | None, finding: Finding) -> None:
    if item is None:
        return
    if _holds(item, stored):
        finding.held += 1
    else:
        finding.changed_since += 1


def _holds(item: Committed, stored: Stored | None) -> bool:
    """Whether a document is what was planned: by its update time, or by its contents."""
    if item.row.operation == "deleted":
        return stored is None
    if stored is None:
        return False
    if stored.update_time == item.commit_time:
        return True
    before = None if item.row.before is None else wire.Document.FromString(item.row.before)
    after = applied(before, wire.Write.FromString(item.row.write))
    return same_fields(after, wire.Document.FromString(stored.raw))


def _refuse_unsent_batches(run: Run, parts: list[Part], records: list[BatchRecord]) -> None:
    planned = [part for part in parts if not part.is_residue]
    batches = sum(plan_of(run.folder, part).batches for part in planned)
    committed = sum(record.shard < len(planned) for record in records)
    if committed < batches:
        raise VerifyFailed(
            f"{batches - committed} of {batches} batches of {run.version} are not committed.",
            "Clear `apply`: it goes on where it stopped.",
            missing=batches - committed,
        )


def _refuse_failed_checks(run: Run, finding: Finding) -> None:
    if not finding.failed_checks:
        return
    first = "; ".join(f"{f.path or 'script'}: {f.step} ({f.error})" for f in finding.failed_checks[:3])
    raise VerifyFailed(
        f"{len(finding.failed_checks)} checks of {run.version} do not hold: {first}.",
        f"All are in {run.folder}/verify.json. Mend the data or the check and clear `verify`, "
        f"or take it back with `firestore-migrations rollback {run.version}`.",
        failed=len(finding.failed_checks),
    )



"""A look at the data at one read time: what is left to change, which checks fail, what holds of what was written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby, islice
from typing import Any

from firestore_migrations.authoring.drafts import Base
from firestore_migrations.authoring.migration import Step
from firestore_migrations.errors import VerifyFailed
from firestore_migrations.firestore.codec import Codec
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.firestore.ordering import name_key
from firestore_migrations.firestore.point_in_time import PointInTime
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs.audit import Audit, BatchRecord, Failure
from firestore_migrations.runs.committed import Committed, Part, committed_rows, parts_of, plan_of
from firestore_migrations.runs.expected import Expected, holds
from firestore_migrations.runs.plan import Plan, PlanWriter, Row
from firestore_migrations.runs.planner import Planned, Planner
from firestore_migrations.runs.preflight import course_of
from firestore_migrations.runs.rollback import CONFLICT
from firestore_migrations.runs.run import Run, instant

_AT_ONCE = 500


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


class Look:
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
        self._part = Part(f"residue/{len(parts):04d}", len(parts), last.first_row + plan_of(run.folder, last).rows)
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
        expected = Expected(self._own_rows(step))
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
        calls = {row.source for row in planned.rows if row.source and row.path in self._set_aside}
        for row in planned.rows:
            if row.path not in self._set_aside and row.source not in calls:
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


def _count(item: Committed | None, stored: Stored | None, finding: Finding) -> None:
    if item is None:
        return
    if holds(item, stored):
        finding.held += 1
    else:
        finding.changed_since += 1


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

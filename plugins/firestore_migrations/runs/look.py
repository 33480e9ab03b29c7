"""A look at the data at one read time: what is left to change, which checks fail, what holds of what was written."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import chain
from typing import Any

from firestore_migrations.authoring.drafts import Base
from firestore_migrations.authoring.migration import Step
from firestore_migrations.errors import VerifyFailed
from firestore_migrations.firestore.codec import Codec
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.firestore.ordering import name_key
from firestore_migrations.firestore.point_in_time import PointInTime
from firestore_migrations.firestore.scan import KeyRange
from firestore_migrations.firestore.scope import Scope
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs import redrive
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.batch_record import BatchRecord
from firestore_migrations.runs.committed import RESIDUE, Committed, Part, committed_rows, parts_of, plan_of
from firestore_migrations.runs.expected import Expected, Written, by_source, holds
from firestore_migrations.runs.expiry import Expiry
from firestore_migrations.runs.failure import Failure
from firestore_migrations.runs.finding import Finding
from firestore_migrations.runs.plan import Plan, Row
from firestore_migrations.runs.plan_writer import PlanWriter
from firestore_migrations.runs.planned import Planned
from firestore_migrations.runs.planner import Planner
from firestore_migrations.runs.preflight import Shard, course_of
from firestore_migrations.runs.proved import Proved
from firestore_migrations.runs.run import Run, instant, microseconds
from firestore_migrations.runs.snapshot import portions
from firestore_migrations.runs.turns import by_turns

_Item = tuple[Stored, "Written | None"]
"""A document, and what the run has written for it."""


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
        self._audit = audit
        self._records = audit.batches(run.version, run.id)
        self._read_time = reader.get(["_migrations/_lease"])[1]
        self._base = Base(PointInTime(reader, self._read_time), Codec(reader))
        self._now = instant(self._read_time) if run.now is None else run.now
        self._failures = audit.failures(run)
        self._set_aside = {f.call for f in self._failures if f.is_refused_by_the_server}
        self._keeps = keeps
        self._began = course_of(run).read_time
        self._redriven = redrive.failed_before(run, audit) if run.options.redrive else {}
        self._parts = parts_of(run.folder, self._records)
        self._records_of: dict[tuple[str, int], list[BatchRecord]] = {}
        for record in self._records:
            self._records_of.setdefault((record.plan, record.shard), []).append(record)
        self._planned = [part for part in self._parts if not part.is_residue]
        self._residue = [part for part in self._parts if part.is_residue]
        self._plans = [plan_of(run.folder, part) for part in self._planned]
        self._rewritten = {item.row.path: part for part in self._residue for item in self._committed(part)}
        _refuse_unsent_batches(run, self._plans, self._records)
        self._expiry = Expiry(run.version, course_of(run).ttl.known if keeps else (), self._read_time)
        self._folder = f"{RESIDUE}{self._read_time}-{uuid.uuid4().hex[:8]}"
        self._writer: PlanWriter | _RowCounter = _RowCounter()
        if keeps:
            self._writer = PlanWriter(
                run.folder / self._folder, run.options.rows_per_batch, run.target.address.request_limit
            )

    def at_the_scope(self) -> Finding:
        """Plan every step again, run its checks, and compare what was written.

        Raises:
            DataWouldExpire: a time-to-live policy would delete a document that is residue.
        """
        finding = Finding()
        for step in self._run.migration.steps:
            planner = Planner(step, self._base, self._now, self._run.version)
            if step.is_script:
                self._look_at_script(planner, step, finding)
            else:
                self._look_at_documents(planner, step, finding)
        self._writer.finish_call()
        finding.failures += self._writer.failures
        plan = self._writer.close(checksum=self._run.migration.checksum)
        finding.residue = plan.rows
        finding.reads += self._base.at.reads
        return finding

    def at_what_was_restored(self) -> Finding:
        """Compare every document that was taken back with its before-image."""
        finding = Finding()
        self._run.pulse.follow(lambda: self._base.at.reads)
        self._compare(committed_rows(self._run.folder, self._records), finding)
        finding.reads = self._base.at.reads
        return finding

    def residue_part(self) -> Part:
        """Make the residue a part of the run's plan, so that it is applied and taken back like the rest."""
        behind = self._planned[-1].first_row + self._plans[-1].rows
        rows = plan_of(self._run.folder, Part(self._folder, 0, 0)).rows
        return Part(self._folder, len(self._planned), self._audit.add_residue(self._run, self._folder, behind, rows))

    def _look_at_script(self, planner: Planner, step: Step, finding: Finding) -> None:
        if step.idempotent:
            self._keep(planner.plan_script(), finding)
        finding.add_failed_checks(planner.check_script())
        self._compare(self._rows_of(step, self._parts), finding)

    def _look_at_documents(self, planner: Planner, step: Step, finding: Finding) -> None:
        run = self._run
        scope = run.scope_of(step)
        if scope is None:
            return
        proved = self._proved(step, scope)
        shards = [shard for shard in course_of(run).shards if shard.step == step.name]
        lanes = (self._lane(step, scope, shard, finding, names_only=proved is not None) for shard in shards)
        items: Iterator[_Item] = chain.from_iterable(by_turns(lanes))
        if proved is not None:
            items = self._unproved(proved, items, finding)
        for chunk in portions(items, lambda item: len(item[0].raw)):
            self._look_at_whole(planner, step, chunk, finding)
        if scope.interval is not None:
            self._compare(self._rows_of(step, self._parts), finding)

    def _lane(
        self, step: Step, scope: Scope, shard: Shard, finding: Finding, *, names_only: bool
    ) -> Iterator[list[_Item]]:
        """The documents of a shard, each with what was written for it; what left the scope is compared here."""

        def compare(missed: list[Written]) -> None:
            self._compare((item for some in missed for item in some.items), finding)

        at = PointInTime(self._base.at.reader, self._read_time)
        expected = Expected(self._written(step, shard) if scope.interval is None else (), compare)
        documents = self._documents(step, scope, shard.keys, at, names_only=names_only)
        for chunk in portions(documents, lambda stored: len(stored.raw)):
            self._run.pulse.add(len(chunk))
            yield [(stored, expected.of(stored.path)) for stored in chunk]
        expected.finish()
        finding.reads += at.reads

    def _unproved(self, proved: Proved, items: Iterator[_Item], finding: Finding) -> Iterator[_Item]:
        """The documents whose names and times do not tell enough, read whole; what is told of the rest is counted."""
        for chunk in portions(self._untold(proved, items, finding)):
            whole = self._base.at.get(stored.path for stored, _ in chunk)
            for known, item in chunk:
                stored = whole[known.path]
                if stored is not None:
                    yield stored, item

    def _untold(self, proved: Proved, items: Iterator[_Item], finding: Finding) -> Iterator[_Item]:
        for chunk in portions(items):
            covered = [proved.covers(*item) for item in chunk]
            asked = [written for (_, written), is_covered in zip(chunk, covered, strict=True) if is_covered and written]
            others = self._base.at.get((item.row.path for some in asked for item in some.others), names_only=True)
            for (stored, written), is_covered in zip(chunk, covered, strict=True):
                if not is_covered or not proved.covers_others(written, others):
                    yield stored, written
                elif written is not None:
                    finding.held += len(written.items)

    def _proved(self, step: Step, scope: Scope) -> Proved | None:
        if not self._keeps:
            return None  # of a version that several runs may have applied
        shards = course_of(self._run).shards
        plans = [
            plan for part, plan in zip(self._planned, self._plans, strict=True) if shards[part.shard].step == step.name
        ]
        if self._residue and any(plan.others for plan in plans):
            return None  # what was written for one document may have been written again for another
        return Proved.of(self._run, step, scope, plans, self._failures, microseconds(self._now))

    def _look_at_whole(self, planner: Planner, step: Step, items: list[_Item], finding: Finding) -> None:
        """Plan documents again, run the checks on them, and compare them with what was written to them."""
        failed = {path for name, path in self._set_aside if name == step.name}
        if step.idempotent:
            planned = planner.plan([stored for stored, _ in items if stored.path not in failed])
            self._keep(planned, finding)
            failed.update(failure.path for failure in planned.failures)
        for stored, written in items:
            if stored.path not in failed:
                finding.add_failed_checks(planner.check(stored))
            if not step.idempotent and stored.create_time > self._began:
                finding.add_born(stored)
            if written is not None and written.own is not None:
                _count(written.own, stored, finding)
        self._compare((item for _, written in items if written is not None for item in written.others), finding)

    def _documents(
        self, step: Step, scope: Scope, keys: KeyRange, at: PointInTime, *, names_only: bool
    ) -> Iterator[Stored]:
        """The documents that the run was for, as they are now."""
        if self._run.options.redrive:
            return redrive.documents(step, self._redriven, at)
        found = at.scan(scope, keys, names_only=names_only)
        return (stored for stored in found if self._run.is_selected(stored.path))

    def _keep(self, planned: Planned, finding: Finding) -> None:
        finding.failures += planned.failures
        for row in planned.rows:
            if row.call not in self._set_aside and (row.step, row.path) not in self._set_aside:
                self._expiry.see(row)
                self._writer.add(row)

    def _written(self, step: Step, shard: Shard) -> Iterator[Written]:
        """What was written for each document of a shard that the step was called with, in the order of names.

        The residue of a look is in the order of its turns, and so that of one shard in the order of names.
        """
        rows = self._rows_of(step, [part for part in self._planned if part.shard == shard.index])
        if self._residue:
            residue = (
                (item for item in self._rows_of(step, [part]) if shard.keys.holds(item.row.source))
                for part in self._residue
            )
            rows = merge(rows, *residue, key=lambda item: name_key(item.row.source))
        return by_source(rows)

    def _rows_of(self, step: Step, parts: list[Part]) -> Iterator[Committed]:
        """What was written of some parts, but for what residue has written once more since."""
        for part in parts:
            for item in self._committed(part):
                if item.row.step == step.name and self._rewritten.get(item.row.path, part) == part:
                    yield item

    def _committed(self, part: Part) -> Iterator[Committed]:
        return committed_rows(self._run.folder, self._records_of.get(part.signed, ()), [part])

    def _compare(self, rows: Iterable[Committed], finding: Finding) -> None:
        for chunk in portions(rows):
            found = self._base.at.get(item.row.path for item in chunk)
            for item in chunk:
                _count(item, found[item.row.path], finding)


class _RowCounter:
    """Takes rows as a `PlanWriter` does, and keeps none."""

    def __init__(self) -> None:
        self._rows = 0
        self.failures: list[Failure] = []

    def add(self, _row: Row) -> None:
        self._rows += 1

    def finish_call(self) -> None:
        pass

    def close(self, **facts: Any) -> Plan:
        return Plan(rows=self._rows, **facts)


def _count(item: Committed, stored: Stored | None, finding: Finding) -> None:
    if holds(item, stored):
        finding.held += 1
    else:
        finding.changed_since += 1


def _refuse_unsent_batches(run: Run, plans: list[Plan], records: list[BatchRecord]) -> None:
    batches = sum(plan.batches for plan in plans)
    batches += sum(len(record.split) - 1 for record in records if record.split and not record.plan)
    committed = sum(not record.split and not record.plan for record in records)
    if committed < batches:
        raise VerifyFailed(
            f"{batches - committed} of {batches} batches of {run.version} are not committed.",
            "Clear `apply`: it goes on where it stopped.",
            missing=batches - committed,
        )

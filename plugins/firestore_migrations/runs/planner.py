"""The planner: runs a step on documents, and says what it would write.

It is the same for the dry run, for a document that moved while the plan was applied, and for the residue that verify
looks for. It holds a connection that cannot write.

A call of a step sees the database as it was at the read time, and its own writes, never those of another call: so the
plan does not depend on how the scope was cut into shards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple

from firestore_migrations.authoring.database import Database, Skipped
from firestore_migrations.authoring.drafts import Base, Drafts
from firestore_migrations.authoring.migration import Step
from firestore_migrations.errors import (
    InvalidValue,
    NotIdempotent,
    PlanError,
    Unavailable,
    WriteRefused,
    WrittenTwice,
)
from firestore_migrations.firestore import filters, wire
from firestore_migrations.firestore.change import CREATED, Change
from firestore_migrations.firestore.ordering import name_key
from firestore_migrations.firestore.size import COUNTED_FROM, refuse_too_large
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs.failure import Failure
from firestore_migrations.runs.plan import Row, row_of
from firestore_migrations.runs.planned import Planned
from firestore_migrations.runs.raised import RAISED, described, hold

LATER = timedelta(days=1, seconds=1)


class _Call(NamedTuple):
    """One call of a step that did not fail: the document it was called with, and its drafts."""

    stored: Stored
    drafts: Drafts


class Planner:
    """Plans one step.

    Args:
        step: whose transform is run.
        base: the database at the read time.
        now: what `db.now` gives.
        version: the step's; automatic ids are made from it, so that no two versions give the same.
    """

    def __init__(self, step: Step, base: Base, now: datetime, version: str) -> None:
        self._step = step
        self._version = version
        self._salt = f"{version}/{step.name}"
        self._base = base
        self._now = now
        self._stamp = wire.Value(timestamp_value=now).timestamp_value
        self._conditions = filters.conditions(step.scope.where) if step.scope else ()
        self._planned_elsewhere: dict[int, int] = {}  # hashes: of the path, of what is left there
        self._knowing: dict[str, Drafts] = {}  # what calls know of other documents, until it is noted

    def plan(self, documents: Sequence[Stored]) -> Planned:
        """Run the step on each document and collect what it would write.

        Raises:
            WriteRefused: the step tried to write by itself.
            WrittenTwice: two documents of the step write the same third one, differently.
        """
        planned = Planned()
        waiting: list[_Call] = []
        for stored in documents:
            call = self._call(stored, planned)
            if call is None:
                continue
            if waiting or call.drafts.waiting:
                waiting.append(call)  # what others would write is read for all of them at once; rows stay in order
            else:
                self._add_rows(call, planned)
        self._base.fetch(path for call in waiting for path in call.drafts.waiting)
        for call in waiting:
            self._add_rows(call, planned)
        others = [row for row in planned.rows if row.path != row.source]
        self._planned_elsewhere.update({hash(row.path): _hash_of(row, planned.after[row.path]) for row in others})
        planned.note(self._taken())
        return planned

    def matches(self, stored: Stored) -> bool:
        """Whether a document passes the filters of the step's scope."""
        if not self._conditions:
            return True
        fields = wire.Document.FromString(stored.raw).fields
        return all(filters.matches(condition, fields) for condition in self._conditions)

    def prove(self, documents: Sequence[Stored], planned: Planned) -> None:
        """Run the step again on what it would leave, a day later: it must change nothing more.

        Raises:
            NotIdempotent: naming step, document and fields.
        """
        if not self._step.idempotent:
            return
        base = self._base.over({**planned.elsewhere, **planned.after})
        second = Planner(self._step, base, self._now + LATER, self._version)
        left = list(self._left(documents, planned))
        born = list(filter(self.matches, self._born_into_the_scope(documents, planned)))
        kept = list(filter(self.matches, left))
        planned.left, planned.born = len(left) - len(kept), len(born)
        again = Planned()
        for stored in chain(kept, born):
            changes = second._changes(stored, again)
            if changes:
                path, _, change = changes[0]
                raise _not_idempotent(self._step, path, change.fields)
            if again.failures:
                raise NotIdempotent(
                    f"Step {self._step.name!r} fails on the document that it has itself written: {stored.path} "
                    f"({again.failures[0].error}).",
                    "Guard it, so that a document in the new shape is left alone.",
                    step=self._step.name,
                    path=stored.path,
                )
        planned.note(second._taken())

    def plan_script(self) -> Planned:
        """Run a script once, and once more on what it would leave.

        Raises:
            PlanError: the script raised.
            NotIdempotent: the second time changes something.
        """
        drafts = self._drafts(self._base)
        self._run_script(drafts, self._base, self._now)
        planned = Planned()
        for path, stored, change in sorted(drafts.changes(), key=lambda item: name_key(item[0])):
            try:
                _refuse_impossible(change)
            except InvalidValue as error:
                planned.failures.append(self._failure(path, error))
                continue
            planned.rows.append(row_of("", self._step.name, path, stored, change))
            planned.after[path] = change.after
        planned.unchanged = len(drafts.paths) - len(planned.rows) - len(planned.failures)
        if self._step.idempotent:
            over = self._base.over(planned.after)
            again = self._drafts(over)
            self._run_script(again, over, self._now + LATER)
            failed = {failure.path for failure in planned.failures}
            for path, _, change in again.changes():
                if path not in failed:
                    raise _not_idempotent(self._step, path, change.fields)
        return planned

    def check(self, stored: Stored) -> Iterator[Failure]:
        """Run the author's checks on a document; yield those that it does not pass."""
        for check in self._step.checks:
            drafts = self._drafts(self._base)
            document = drafts.own(stored)
            try:
                hold(check(document, Database(drafts, self._base, self._now)))
            except Skipped:
                continue
            except RAISED as error:
                yield Failure(stored.path, check.__name__, described(error))

    def check_script(self) -> Iterator[Failure]:
        """Run a script's checks, which get `db` alone."""
        for check in self._step.checks:
            try:
                hold(check(Database(self._drafts(self._base), self._base, self._now)))
            except Skipped:
                continue
            except RAISED as error:
                yield Failure("", check.__name__, described(error))

    def _drafts(self, base: Base) -> Drafts:
        return Drafts(base, self._stamp, self._salt)

    @staticmethod
    def _left(documents: Sequence[Stored], planned: Planned) -> Iterator[Stored]:
        """The documents as the plan would leave them; those that failed are left out, and those that it deletes."""
        failed = {failure.path for failure in planned.failures}
        for stored in documents:
            after = planned.after.get(stored.path, stored.raw)
            if after is not None and stored.path not in failed:
                yield Stored(stored.path, stored.create_time, stored.update_time, after)

    def _born_into_the_scope(self, documents: Sequence[Stored], planned: Planned) -> Iterator[Stored]:
        """Documents that the step itself adds to its own scope: it would be called with them the next time."""
        own = {stored.path for stored in documents}
        scope = self._step.scope
        for path, after in planned.after.items():
            if path not in own and after is not None and scope is not None and scope.contains(path):
                yield Stored(path, 0, 0, after)

    def _call(self, stored: Stored, planned: Planned) -> _Call | None:
        """Call the transform; note a failure or an unchanged document, or return what it recorded."""
        drafts = self._drafts(self._base)
        own = drafts.own(stored)
        try:
            self._step.transform(own, Database(drafts, self._base, self._now))
            drafts.settle()
        except Skipped:
            planned.unchanged += 1
        except RAISED as error:
            self._raise_if_not_the_documents(error)
            planned.failures.append(self._failure(stored.path, error))
        else:
            return _Call(stored, drafts)
        finally:
            if drafts.knows_others:
                self._knowing[stored.path] = drafts
        return None

    def _taken(self) -> dict[str, Drafts]:
        knowing, self._knowing = self._knowing, {}
        return knowing

    def _add_rows(self, call: _Call, planned: Planned) -> None:
        """Add the rows of a call, or that it led to nothing."""
        changes = self._settled(call, planned)
        if changes is None:
            return
        is_unchanged = True
        for path, stored, change in changes:
            row = self._row(call, path, stored, change, planned)
            if row is not None:
                planned.rows.append(row)
                is_unchanged = False
        planned.unchanged += is_unchanged

    def _settled(self, call: _Call, planned: Planned) -> list[tuple[str, Any, Change]] | None:
        """What a call comes to; None where one of its writes is impossible, which is noted."""
        try:
            changes = call.drafts.changes()
            for _, _, change in changes:
                _refuse_impossible(change)
        except Exception as error:  # noqa: BLE001 -- a Mapping of the author's may raise anything when it is read
            self._raise_if_not_the_documents(error)
            planned.failures.append(self._failure(call.stored.path, error))
            return None
        return changes

    def _changes(self, stored: Stored, planned: Planned) -> list[tuple[str, Any, Change]]:
        """What one call of the transform on a document comes to; failures are noted."""
        call = self._call(stored, planned)
        return [] if call is None else self._settled(call, planned) or []

    def _row(self, call: _Call, path: str, stored: Any, change: Change, planned: Planned) -> Row | None:
        """The row of a change; None where another document's row already does the same."""
        if path != call.stored.path:
            if_missing = call.drafts.is_only_created(path)
            if hash(path) in self._planned_elsewhere or path in planned.after:
                elsewhere = self._planned_elsewhere.get(hash(path))
                same = _hash_of(change, planned.after[path]) if path in planned.after else elsewhere
                if if_missing or same == _hash_of(change, change.after):
                    planned.elsewhere[path] = change.after
                    return None
                raise WrittenTwice(
                    f"Step {self._step.name!r} writes {path} for two documents, the second of them {call.stored.path}.",
                    "Use db.create for what only has to be there, or a @script that sees all documents at once.",
                    step=self._step.name,
                    path=path,
                )
        planned.after[path] = change.after
        source = call.stored
        time = source.update_time
        if path == source.path:
            return Row(0, path, path, self._step.name, change.operation, time, source.raw, change.write, time)
        return row_of(source.path, self._step.name, path, stored, change, source_time=time)

    def _run_script(self, drafts: Drafts, base: Base, now: datetime) -> None:
        try:
            self._step.transform(Database(drafts, base, now))
        except Skipped:
            return
        except RAISED as error:
            self._raise_if_not_the_documents(error)
            raise PlanError(
                f"Script {self._step.name!r} failed: {described(error)}.",
                "Nothing was written. Mend the script and clear `dry_run`.",
                step=self._step.name,
            ) from None  # its message may quote a value

    def _failure(self, path: str, error: BaseException) -> Failure:
        return Failure(path, self._step.name, described(error))

    @staticmethod
    def _raise_if_not_the_documents(error: BaseException) -> None:
        """A refused write and a dead server are no document's failure."""
        if isinstance(error, (WriteRefused, Unavailable)):
            raise error


def _hash_of(what: Row | Change, after: bytes | None) -> int:
    """A hash of what a document is afterwards, to compare writes of the same stored document.

    They either all create it, and their bytes are canonical, or none does.
    """
    if after is None or what.operation == CREATED:
        return hash(after)
    return hash(wire.Document.FromString(after).SerializeToString(deterministic=True))


def _refuse_impossible(change: Change) -> None:
    """Refuse a change that Firestore would refuse for the size of what it leaves."""
    if change.after is not None and len(change.after) >= COUNTED_FROM:
        refuse_too_large(wire.Document.FromString(change.after))


def _not_idempotent(step: Step, path: str, fields: Sequence[str]) -> NotIdempotent:
    what = f"fields {', '.join(fields)}" if fields else "the whole document"
    declare = "; or declare idempotent=False, and each document is changed exactly once a run"
    return NotIdempotent(
        f"Step {step.name!r} is not idempotent: run again on its own result, it would change {path} again ({what}).",
        f"Guard the write, so that a document in the new shape is left alone{'' if step.is_script else declare}.",
        step=step.name,
        path=path,
        fields=tuple(fields),
    )

"""preflight: may this run begin, from which instant does it read, and into which shards is it cut?"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from firestore_migrations.errors import (
    AuditAltered,
    ConfigurationError,
    FirestoreMigrationsError,
    NothingToRollBack,
    Refused,
    StorageError,
)
from firestore_migrations.firestore.connection import Reader, Writer
from firestore_migrations.firestore.scan import ALL, KeyRange, split
from firestore_migrations.runs import redrive, status
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.expiry import NO_POLICIES, TtlPolicies, TtlPolicy, policies_of
from firestore_migrations.runs.gates import check_gates, refuse_over_older, refuse_taken_back
from firestore_migrations.runs.lease import Lease
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.options import APPLY, MOST_SHARDS
from firestore_migrations.runs.rehearsal import record_rehearsal
from firestore_migrations.runs.run import Run, instant, microseconds
from firestore_migrations.runs.seal import seal_the_unfinished
from firestore_migrations.runs.standing import standing
from firestore_migrations.runs.storage import Folder

_BEFORE_WRITING = frozenset({status.PENDING, status.PLANNED, status.FAILED, status.REJECTED})


@dataclass(frozen=True)
class Shard:
    """A contiguous range of document names of one step's scope; a script is one shard.

    Attributes:
        index: its number in the run, from 0.
        step: the step's name; empty when a run is taken back.
        start: the first name of the range, or None.
        end: the first name behind it, or None.
    """

    index: int
    step: str
    start: str | None = None
    end: str | None = None

    @property
    def keys(self) -> KeyRange:
        """The range of names."""
        return KeyRange(self.start, self.end)


@dataclass(frozen=True)
class Course:
    """What preflight fixed for the whole run, however often its tasks are run again.

    Attributes:
        read_time: microseconds since 1970; the snapshot's time.
        now: microseconds since 1970; what `db.now` gives.
        shards: in order.
        undoes: the runs that a run `down` takes back, newest first.
        ttl: the time-to-live policies of the target.
    """

    read_time: int
    now: int
    shards: tuple[Shard, ...]
    undoes: tuple[str, ...] = ()
    ttl: TtlPolicies = NO_POLICIES


def preflight(run: Run) -> list[dict[str, Any]]:
    """Pass the gates, take the lease, fix read time and shards. Safe to run again: what was fixed stays.

    A run that ended as failed or rejected before it wrote anything begins anew where it is cleared.

    Returns:
        The shards, as plain data.

    Raises:
        Refused: a gate says no; the target's data is untouched.
    """
    with Writer(run.target.address) as writer:
        ledger = Ledger(writer)
        audit = Audit(ledger)
        lease = Lease(ledger, run.holder, run.path)
        try:
            check_gates(run, audit)
            lease.acquire(anew=True, waits=run.waits)  # a task cleared while it worked must not write from an old plan
            check_gates(run, audit)  # what another run did until it gave the lease back counts too
            course = find_course(run.folder)
            begins_anew = course is not None and _begins_anew(run, audit)
            is_new = course is None or begins_anew
            if course is None or is_new:
                if run.options.mode == APPLY:
                    seal_the_unfinished(run, audit, ledger)
                course = replace(_new_course(run, audit, writer), ttl=policies_of(run.target))
                run.folder.write_json("run.json", asdict(course))
        except (Refused, AuditAltered, StorageError) as error:
            _give_back(run, audit, lease, error)
            raise
        audit.begin(run, course.read_time)
        record_rehearsal(run, audit)
        if run.options.redrive and is_new:
            audit.record(run, "preflight", redrive.described(run, audit, redrive.failed_before(run, audit)))
        if run.is_down:
            _record_what_is_taken_back(run, audit, course.undoes)
        known = audit.run(run) or {}
        facts: dict[str, Any] = {"read_time": instant(course.read_time), "error": None, **run.asked}
        if known.get("read_time") is None:
            audit.record(run, "preflight", "passed the gates", **facts)
        elif begins_anew:
            is_rejected = known["state"] == status.REJECTED
            facts |= {"rejected_by": None} if is_rejected else {}
            state = status.PENDING if is_rejected else None
            audit.record(run, "preflight", "begins anew, for it has written nothing", state, **facts)
    return [asdict(shard) for shard in course.shards]


def _begins_anew(run: Run, audit: Audit) -> bool:
    """Whether the run looks at the data anew: it has written nothing, and it failed or is to do something else now.

    A backfill that does an interval again gives the same run other parameters, such as the mode apply after a dry run.

    Raises:
        Refused: it was taken back, or is to do something else than what it has done or somebody is to approve.
    """
    data = audit.run(run)
    if data is None:
        return False
    if not run.is_down:
        refuse_taken_back(run, audit.runs(run.version))
    changed = [name for name, value in run.asked.items() if data[name] != value]
    is_open = data["state"] in _BEFORE_WRITING and not audit.has_batches(run)
    if changed and not is_open:
        raise Refused(
            f"Run {run.id} of {run.version} is {data['state']}; its {' and '.join(changed)} cannot change any more.",
            "Trigger a new run with the parameters that you want, or this one again with those that it had.",
            run=run.id,
        )
    has_ended = data["state"] in (status.FAILED, status.REJECTED)
    return is_open and (bool(changed) or (has_ended and not run.keeps_course))


def _give_back(run: Run, audit: Audit, lease: Lease, error: FirestoreMigrationsError) -> None:
    """Release the lease of a run that does not begin, and record a gate's refusal: `finish` is not performed then."""
    begun = audit.run(run)
    if begun is None or begun["state"] not in status.WRITING:
        lease.release()
    if begun is None and isinstance(error, Refused) and "free_in" not in error.facts:
        audit.begin(run, None)
        audit.record(run, "preflight", f"refused: {error}", status.FAILED, error=str(error))


def course_of(run: Run) -> Course:
    """What preflight fixed.

    Raises:
        ConfigurationError: it has not run.
    """
    course = find_course(run.folder)
    if course is None:
        raise ConfigurationError(f"Run {run.id} has not passed preflight.", "Clear the task `preflight`.")
    return course


def find_course(folder: Folder) -> Course | None:
    """What preflight fixed, by the run's folder; None where it has not."""
    if not folder.has("run.json"):
        return None
    data = folder.read_json("run.json")
    shards = tuple(Shard(**shard) for shard in data["shards"])
    known, fault = data.get("ttl", NO_POLICIES)  # a course of an older release has none
    ttl = TtlPolicies(tuple(TtlPolicy(*policy) for policy in known), fault)
    return Course(data["read_time"], data["now"], shards, tuple(data["undoes"]), ttl)


def _new_course(run: Run, audit: Audit, writer: Writer) -> Course:
    _, read_time = writer.get(["_migrations/_lease"])
    now = read_time if run.now is None else microseconds(run.now)
    if run.is_down:
        return Course(read_time, now, (Shard(0, ""),), _to_take_back(run, audit))
    if run.options.redrive:
        steps = redrive.steps_of(run, redrive.failed_before(run, audit))
        return Course(read_time, now, tuple(Shard(index, step.name) for index, step in enumerate(steps)))
    shards: list[Shard] = []
    most = _most_shards_of_a_step(run)
    with Reader(run.target.address) as reader:
        for step in run.migration.steps:
            scope = run.scope_of(step)
            ranges = [ALL] if scope is None else split(reader, scope, most, read_time)
            shards += [Shard(len(shards) + i, step.name, keys.start, keys.end) for i, keys in enumerate(ranges)]
    return Course(read_time, now, tuple(shards))


def _most_shards_of_a_step(run: Run) -> int:
    """What the run asks for, or less where several steps would together become more tasks than Airflow maps."""
    scripts = sum(step.scope is None for step in run.migration.steps)
    others = len(run.migration.steps) - scripts
    return max(1, min(run.options.shards, (MOST_SHARDS - scripts) // max(1, others)))


def _to_take_back(run: Run, audit: Audit) -> tuple[str, ...]:
    """The run that `undo` names, or all runs up that stand, newest first: of a version that wrote nothing, none."""
    there = standing(run.version, audit, but=run.id)
    if run.options.undo:
        undoes = there.named(run.options.undo)
        if there.is_down(run.options.undo):
            refuse_over_older(run, audit.versions())
        return undoes
    version = audit.versions().get(run.version, {"state": status.PENDING})
    if not there.ups and version["state"] not in status.DONE:
        raise NothingToRollBack(
            f"{run.version} has written nothing to {run.target.name} that was not taken back already.",
            f"Look with `firestore-migrations history {run.version}`.",
            version=run.version,
        )
    return there.ups


def _record_what_is_taken_back(run: Run, audit: Audit, undoes: tuple[str, ...]) -> None:
    """Record which runs a rollback takes back, and what the version is then; once."""
    if "undoes" not in (audit.run(run) or {}):
        left = standing(run.version, audit, but=run.id).left_by(undoes)
        message = f"takes back {', '.join(undoes) or 'nothing'}"
        audit.record(run, "preflight", message, undoes=list(undoes), leaves=left)

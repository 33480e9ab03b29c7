"""preflight: may this run begin, from which instant does it read, and into which shards is it cut?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from firestore_migrations.errors import (
    ChecksumChanged,
    ConfigurationError,
    NothingToRollBack,
    OutOfOrder,
    Refused,
)
from firestore_migrations.firestore.connection import Reader, Writer
from firestore_migrations.firestore.scan import ALL, KeyRange, split
from firestore_migrations.runs import status
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.lease import Lease
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.run import APPLY, Run, instant, microseconds

_UNDOING = frozenset({status.ROLLING_BACK, status.ROLLED_BACK})


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
    """

    read_time: int
    now: int
    shards: tuple[Shard, ...]
    undoes: tuple[str, ...] = ()


def preflight(run: Run) -> list[dict[str, Any]]:
    """Pass the gates, take the lease, fix read time and shards. Safe to run again: what was fixed stays.

    Returns:
        The shards, as plain data.

    Raises:
        Refused: a gate says no; the target's data is untouched.
    """
    with Writer(run.target.address) as writer:
        ledger = Ledger(writer)
        audit = Audit(ledger)
        try:
            check_gates(run, audit)
            Lease(ledger, run.holder).acquire()
            course = find_course(run)
            if course is None:
                course = _new_course(run, audit, writer)
                run.folder.write_json("run.json", asdict(course))
        except Refused as error:
            if audit.run(run) is None:
                audit.begin(run, None)
                audit.record(run, "preflight", f"refused: {error}", status.FAILED, error=str(error))
            raise
        audit.begin(run, course.read_time)
        if (audit.run(run) or {}).get("read_time") is None:
            audit.record(run, "preflight", "passed the gates", read_time=instant(course.read_time), error=None)
    return [asdict(shard) for shard in course.shards]


def course_of(run: Run) -> Course:
    """What preflight fixed.

    Raises:
        ConfigurationError: it has not run.
    """
    course = find_course(run)
    if course is None:
        raise ConfigurationError(f"Run {run.id} has not passed preflight.", "Clear the task `preflight`.")
    return course


def find_course(run: Run) -> Course | None:
    """What preflight fixed, or None."""
    if not run.folder.has("run.json"):
        return None
    data = run.folder.read_json("run.json")
    shards = tuple(Shard(**shard) for shard in data["shards"])
    return Course(data["read_time"], data["now"], shards, tuple(data["undoes"]))


def check_gates(run: Run, audit: Audit) -> None:
    """Order, checksum and repetition.

    Raises:
        Refused: with the next command.
    """
    if run.options.rollout_percent < 100 and any(step.is_script for step in run.migration.steps):
        raise Refused(
            f"{run.version} has a script, which cannot be rolled out to {run.options.rollout_percent:g} %.",
            "Run it at 100 %, or write it with @each_document.",
        )
    versions = audit.versions()
    states = {name: version["state"] for name, version in versions.items()}
    later = [name for name in states if _number(name) > _number(run.version)]
    if run.is_down:
        applied = [name for name in later if states[name] in status.TOUCHED]
        last = max(applied, key=_number, default="")
        _refuse_if(
            OutOfOrder,
            applied,
            f"{run.version} cannot be rolled back before the later",
            f"Roll back with `firestore-migrations rollback {last}` first.",
        )
        return
    if run.options.mode != APPLY:
        return
    state = states.get(run.version, status.PENDING)
    older = [version for version in run.known if _number(version) < _number(run.version)]
    _refuse_if(
        OutOfOrder,
        [name for name in older if states.get(name) not in status.DONE],
        f"{run.version} comes after versions that are not applied here:",
        "Run `firestore-migrations run {}` first.",
    )
    if state not in status.TOUCHED:
        _refuse_if(
            OutOfOrder,
            [name for name in later if states[name] in status.TOUCHED],
            f"{run.version} is pending behind versions that are applied:",
            "Roll those back, or give this migration the next free version.",
        )
    _refuse_later(run, versions, f"{run.version} cannot run again behind the later")
    _refuse_a_second_time(run, audit)
    if state in status.DONE and versions[run.version]["checksum"] != run.migration.checksum:
        raise ChecksumChanged(
            f"{run.migration.path.name} was edited after {run.version} was applied to {run.target.name}.",
            "Take the edit back and write a new version with `firestore-migrations new`.",
            version=run.version,
        )


def _refuse_a_second_time(run: Run, audit: Audit) -> None:
    """A step that is not idempotent changes each document once: no second run, and no part of the scope first."""
    if run.migration.is_idempotent:
        return
    if run.options.rollout_percent < 100:
        raise Refused(
            f"{run.version} declares idempotent=False, so it cannot be rolled out in parts: the rest would come to "
            "documents that were changed before.",
            "Run it at 100 %, or guard its writes and drop idempotent=False.",
            version=run.version,
        )
    others = [run_id for run_id in committed_runs(run, audit) if run_id != run.id]
    if others:
        raise Refused(
            f"{run.version} declares idempotent=False, and its run {others[0]} has written to {run.target.name}: "
            "it would apply twice.",
            f"Go on with that run by clearing its failed task, or take it back with "
            f"`firestore-migrations rollback {run.version}`.",
            version=run.version,
            run=others[0],
        )


def refuse_what_is_overtaken(run: Run, audit: Audit) -> None:
    """What a run may still write, it may write only while nothing has gone on from it.

    Raises:
        ChecksumChanged: the file was edited after the run's plan was reviewed.
        OutOfOrder: a later version is applied.
        Refused: a newer run has taken this version back.
    """
    if run.is_down:
        return
    runs = audit.runs(run.version)
    if run.id in runs and runs[run.id]["checksum"] != run.migration.checksum:
        raise ChecksumChanged(
            f"{run.migration.path.name} was edited after the plan of run {run.id} was reviewed.",
            "Take the edit back, or trigger a new run. Where nothing is written yet, clear `dry_run` instead.",
            version=run.version,
        )
    newer = list(runs)[list(runs).index(run.id) + 1 :] if run.id in runs else []
    undone = [name for name in newer if runs[name]["direction"] == "down" and runs[name]["state"] in _UNDOING]
    if undone:
        raise Refused(
            f"Run {run.id} of {run.version} was taken back by {undone[0]}; it writes nothing more.",
            f"Trigger a new run: `firestore-migrations run {run.version}`.",
            run=undone[0],
        )
    _refuse_later(run, audit.versions(), f"Run {run.id} of {run.version} cannot go on behind the later")


def committed_runs(run: Run, audit: Audit) -> tuple[str, ...]:
    """The runs of this version that have committed batches and were not taken back, newest first."""
    found: list[str] = []
    for run_id, data in reversed(audit.runs(run.version).items()):
        if data["direction"] == "down" and data["state"] == status.ROLLED_BACK and run_id != run.id:
            break
        if data["direction"] == "up" and audit.batches(run.version, run_id):
            found.append(run_id)
    return tuple(found)


def _new_course(run: Run, audit: Audit, writer: Writer) -> Course:
    _, read_time = writer.get(["_migrations/_lease"])
    now = read_time if run.now is None else microseconds(run.now)
    if run.is_down:
        undoes = committed_runs(run, audit)
        version = audit.versions().get(run.version, {"state": status.PENDING})
        if (
            not undoes and version["state"] not in status.DONE
        ):  # one that is applied and wrote nothing has an empty way back
            raise NothingToRollBack(
                f"{run.version} has written nothing to {run.target.name} that was not taken back already.",
                f"Look with `firestore-migrations history {run.version}`.",
                version=run.version,
            )
        return Course(read_time, now, (Shard(0, ""),), undoes)
    shards: list[Shard] = []
    with Reader(run.target.address) as reader:
        for step in run.migration.steps:
            ranges = [ALL] if step.scope is None else split(reader, step.scope, run.options.shards, read_time)
            shards += [Shard(len(shards) + i, step.name, keys.start, keys.end) for i, keys in enumerate(ranges)]
    return Course(read_time, now, tuple(shards))


def _refuse_later(run: Run, versions: dict[str, dict[str, Any]], what: str) -> None:
    """Refuse to write beneath a later version: it was made for the shape that this one leaves."""
    later = [name for name in versions if _number(name) > _number(run.version)]
    touched = [name for name in later if versions[name]["state"] in status.TOUCHED]
    _refuse_if(OutOfOrder, touched, what, "Roll back with `firestore-migrations rollback {}` first.")


def _refuse_if(refusal: type[Refused], versions: Iterable[str], what: str, next_step: str) -> None:
    named = sorted(versions, key=_number)
    if named:
        raise refusal(f"{what} {', '.join(named)}.", next_step.format(named[0]), versions=tuple(named))


def _number(version: str) -> int:
    return int(version[1:])

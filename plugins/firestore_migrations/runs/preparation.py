"""Preparation: how far a run is with backup and dry run, by its storage and by what their tasks tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from firestore_migrations.authoring.migration import Migration
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.firestore.scan import count
from firestore_migrations.runs.options import DOWN
from firestore_migrations.runs.plan import find_plan
from firestore_migrations.runs.preflight import Course, find_course
from firestore_migrations.runs.price import Prices, Usage
from firestore_migrations.runs.progress import DONE, PHASES, WAITING, WORKING, Phase, Progress, eta_of
from firestore_migrations.runs.pulse import Beat, Listener, alive, rate_of, reason_of
from firestore_migrations.runs.run import microseconds
from firestore_migrations.runs.snapshot import find_snapshot
from firestore_migrations.runs.storage import Folder

_COUNT_SECONDS = 5.0
_KINDS = (("backup", "snapshot"), ("dry_run", "plan"))


class _Finished(NamedTuple):
    """What a shard came to that is through with a phase: its documents, and how many were read for them."""

    documents: int
    reads: int


class Preparation:
    """Looks at a run before its review, again and again. What a shard has finished is read once.

    Args:
        folder: the run's.
        reader: a connection to its target.
        listener: to its tasks.
        prices: for what it has cost.
        migration: the file that it runs, for how many documents `backup` will read; None where it is gone.
    """

    def __init__(
        self, folder: Folder, reader: Reader, listener: Listener, prices: Prices, migration: Migration | None
    ) -> None:
        self._folder = folder
        self._reader = reader
        self._listener = listener
        self._prices = prices
        self._migration = migration
        self._course: Course | None = None
        self._finished: dict[str, list[_Finished]] = {"snapshot": [], "plan": []}
        self._to_read: int | None = None

    def look(self, data: Mapping[str, Any], now: int, *, is_over: bool) -> Progress:
        """How far it is.

        Args:
            data: the run's audit document.
            now: by the server's clock, in microseconds.
            is_over: whether the run has ended, without a review.
        """
        course = find_course(self._folder)
        if course is None:
            return Progress(data["state"], task="finish" if is_over else "preflight", has_ended=is_over)
        if course != self._course:  # the first one, or it begins anew
            self._course, self._finished = course, {"snapshot": [], "plan": []}
            self._to_read = self._count(course, data)
        phases: list[Phase] = []
        at_work: list[Beat] = []
        reads, total = 0, self._to_read
        for name, kind in _KINDS:
            is_due = all(phase.state == DONE for phase in phases)  # a plan of before the run began anew is none
            finished = self._finish(kind, course) if is_due else []
            done = sum(shard.documents for shard in finished)
            reads += sum(shard.reads for shard in finished)
            if len(finished) == len(course.shards):
                phases.append(Phase(name, DONE, done, done))
                total = done
                continue
            if name == "backup":  # it is through with what it has read, also with what a rollout leaves out
                done = reads
            is_next = not is_over and is_due
            if is_next:
                told = [beat for beat in self._listener.beats(name) if beat.at >= course.read_time]
                told = [beat for beat in told if beat.shard >= len(finished)]
                done += sum(beat.done for beat in told)
                at_work = alive(told, now)
            known = None if total is None else max(done, total)
            phases.append(Phase(name, WORKING if is_next else WAITING, done, known))
        phases += map(Phase, PHASES[len(phases) :])
        working = next((phase.name for phase in phases if phase.state == WORKING), "review")
        rate = rate_of(at_work)
        return Progress(
            data["state"],
            "finish" if is_over else working,
            tuple(phases),
            rate=rate,
            eta=eta_of(phases, rate),
            waiting=reason_of(at_work),
            price=data["price"] if is_over else self._prices.of(Usage(reads=max(reads, phases[0].done))),
            has_ended=is_over,
        )

    def _finish(self, kind: str, course: Course) -> list[_Finished]:
        """The documents of each shard that is through with a phase, in order, up to the first that is not."""
        finished = self._finished[kind]
        while len(finished) < len(course.shards):
            folder = self._folder / kind / f"{len(finished):04d}"
            found: Any = find_snapshot(folder) if kind == "snapshot" else find_plan(folder)
            if found is None or (kind == "snapshot" and found.read_time not in (0, course.read_time)):
                break
            finished.append(_Finished(found.documents if kind == "snapshot" else found.scanned, found.reads))
        return finished

    def _count(self, course: Course, data: Mapping[str, Any]) -> int | None:
        """How many documents backup will read, if the server tells soon."""
        if self._migration is None or data["direction"] == DOWN or not data.get("rollout_percent"):
            return None
        window = data.get("window")
        interval = None if window is None else (microseconds(window["from"]), microseconds(window["to"]))
        scopes = [step.scope for step in self._migration.steps if step.scope is not None]
        found = [
            count(self._reader, replace(scope, interval=interval), course.read_time, _COUNT_SECONDS) for scope in scopes
        ]
        return None if None in found else sum(number or 0 for number in found)

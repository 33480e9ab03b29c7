"""What runs left behind: their counts, samples and events from the target, their seconds from Airflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from firestore_migrations.authoring.migration import Migration
from firestore_migrations.runs.run import VALUES, Target

_CHOICE = 50
PHASES = ("preflight", "backup", "dry_run", "review", "apply", "verify", "finish")


@dataclass(frozen=True)
class Outcome:
    """One finished run.

    Attributes:
        audit: the run's document in `_migrations`.
        samples: a few documents that it changed, field by field.
        seconds: of each phase, as Airflow's tasks took them.
    """

    audit: dict[str, Any]
    samples: list[Any]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Trail:
    """The audit trail of one version: its document, its runs oldest first, the events and batches of each run."""

    version: dict[str, Any]
    runs: dict[str, dict[str, Any]]
    events: dict[str, list[dict[str, Any]]]
    batches: dict[str, int]


def outcome(target: Target, migration: Migration, run_id: str, count: int) -> Outcome:
    """Read what a run left, with at most `count` samples, as unlike each other as there are."""
    from firestore_migrations.runs.committed import parts_of
    from firestore_migrations.runs.sample import samples

    folder = target.folder / migration.version / run_id
    with _audit(target) as audit:
        found = audit.runs(migration.version)[run_id]
    shown = samples(folder, parts_of(folder), count * _CHOICE, VALUES)
    return Outcome(found, _most_various(shown, count), _seconds(migration.dag_id, run_id))


def trails(target: Target) -> dict[str, Trail]:
    """The audit trail of every version that has one."""
    with _audit(target) as audit:
        return {name: _trail(audit, name, version) for name, version in audit.versions().items()}


def _most_various(samples: list[Any], count: int) -> list[Any]:
    """The first sample of each kind of change, up to `count`; where there are few kinds, three samples."""
    seen: Counter[Any] = Counter()
    ranked = []
    for number, sample in enumerate(samples):
        ranked.append((seen[sample.differences], number))
        seen[sample.differences] += 1
    chosen = sorted(ranked)[: max(3, min(count, len(seen)))]
    return [samples[number] for _, number in sorted(chosen, key=lambda rank: rank[1])]


def _trail(audit: Any, name: str, version: dict[str, Any]) -> Trail:
    runs = audit.runs(name)
    return Trail(
        version,
        runs,
        {run_id: audit.events(name, run_id) for run_id in runs},
        {run_id: len(audit.batches(name, run_id)) for run_id in runs},
    )


@contextmanager
def _audit(target: Target) -> Iterator[Any]:
    from firestore_migrations.firestore.connection import Reader
    from firestore_migrations.runs.audit import Audit
    from firestore_migrations.runs.ledger import Ledger

    with Reader(target.address) as reader:
        yield Audit(Ledger(reader))


def _seconds(dag_id: str, run_id: str) -> dict[str, float]:
    """The seconds that each phase took; those of a phase's shards are added up."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    chosen = select(TaskInstance.task_id, func.sum(TaskInstance.duration)).where(
        TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id
    )
    with create_session() as session:
        found = {task_id: seconds or 0.0 for task_id, seconds in session.execute(chosen.group_by(TaskInstance.task_id))}
    return {phase: found[phase] for phase in PHASES if phase in found}

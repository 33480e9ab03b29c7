"""One run: how far it is, what it would change, and what failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firestore_migrations.errors import UnknownVersion
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.runs import status
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.audit import NO_COUNTS, OPEN
from firestore_migrations.runs.committed import Part
from firestore_migrations.runs.control import PAUSABLE, UNFINISHED
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.options import APPLY, UP
from firestore_migrations.runs.plan import collections_of, find_plan
from firestore_migrations.runs.progress import Progress
from firestore_migrations.runs.run import NONE, Target
from firestore_migrations.runs.sample import Sample, sample
from firestore_migrations.runs.search import Found, search
from firestore_migrations.runs.storage import Folder
from firestore_migrations.web import files
from firestore_migrations.web.airflow import DagRunState, find_dag_run
from firestore_migrations.web.places import PLACES
from firestore_migrations.web.watches import WATCHES

_ROWS = 10
_FAILURES = 100
_ABSENT: dict[str, Any] = {
    **dict.fromkeys(("approved_by", "cancelled_by", "checksum", "error", "finished_at", "plan_digest", "window")),
    "direction": UP,
    "mode": APPLY,
    "price": 0.0,
    "rollout_percent": 100,
    "triggered_by": "",
    "warnings": (),
}


@dataclass(frozen=True)
class Which:
    """Which run an address means."""

    target: str
    version: str
    run_id: str

    @property
    def name(self) -> RunName:
        """As the audit of the target names it."""
        return RunName(self.version, self.run_id)


@dataclass(frozen=True)
class Search:
    """What is searched for; an empty field wants all.

    Attributes:
        q: a part of a path; of failures also of the reason or the step.
        operation: exactly this one.
        state: exactly this one.
        from_row: the number of the first row of a page of the plan.
    """

    q: str = ""
    operation: str = ""
    state: str = ""
    from_row: int = 0


@dataclass(frozen=True)
class RunPage:
    """All that the page of a run shows.

    Attributes:
        target: where.
        version: of the migration.
        name: of the migration.
        run_id: the run's.
        data: its audit document; None before it has begun there.
        progress: how far it is.
        dag_run: what Airflow knows of it; None where it does not know it.
        dag_id: the DAG that runs it.
    """

    target: Target
    version: str
    name: str
    run_id: str
    data: Mapping[str, Any] | None
    progress: Progress
    dag_run: DagRunState | None
    dag_id: str

    @property
    def state(self) -> str:
        """The run's state, by the audit."""
        return str(self.data["state"]) if self.data is not None else status.PENDING

    @property
    def is_over(self) -> bool:
        """Whether it has ended, so that nothing of it changes any more unless somebody acts."""
        return self.progress.has_ended

    @property
    def waiting(self) -> str:
        """Why it does not go on: by the audit, else by Airflow."""
        return self.progress.waiting or ("" if self.is_over else _airflow_holds_it(self.dag_run))

    @property
    def verbs(self) -> dict[str, str]:
        """What can be told to the run, by verb, each with why it cannot be, or an empty text."""
        is_cancelled = bool((self.data or {}).get("cancelled_by"))
        state = self.state if self.data is not None else ""
        gone = "the run has not begun in the audit yet" if self.data is None else f"the run is {state}"
        can_go_on = state == status.PAUSED or (state == status.FAILED and not is_cancelled)
        can_end = state in UNFINISHED | {status.FAILED} and not is_cancelled and not self._has_planned_only
        if is_cancelled:
            gone = f"it was cancelled by {(self.data or {})['cancelled_by']}"
        return {
            "pause": "" if state in PAUSABLE and not self.is_over else gone,
            "resume": "" if can_go_on else gone,
            "cancel": "" if can_end else gone,
        }

    @property
    def _has_planned_only(self) -> bool:
        return self.is_over and self.state == status.PLANNED


@dataclass(frozen=True)
class PlanPage:
    """What a run would change, or has changed.

    Attributes:
        review: what the review found: digest, counts, price, warnings.
        collections: rows by collection and operation.
        found: the rows that the search found.
        shown: the same as people read them, by the target's policy, each with its number.
        policy: what the target lets be seen: `values`, `shapes` or `none`.
    """

    review: Mapping[str, Any]
    collections: Mapping[str, Mapping[str, int]]
    found: Found
    shown: tuple[tuple[int, Sample], ...]
    policy: str


def run_page(which: Which) -> RunPage:
    """Look at a run.

    Raises:
        UnknownVersion: neither the audit nor Airflow knows it.
    """
    migration = files.migration_of(which.version)

    def look(target: Target, reader: Reader) -> tuple[Any, ...]:
        ledger = Ledger(reader)
        found, _ = ledger.get(which.name.path, which.name.version_path)
        data, of_version = (None if entry is None else entry.data for entry in found)
        data = None if data is None else whole(data)
        progress = WATCHES.look(target, reader, *which.name, migration)
        return target, data, of_version or {}, progress

    target, data, of_version, progress = PLACES.ask(which.target, look)
    name = migration.name if migration else str(of_version.get("name", ""))
    dag_id = str((data or {}).get("dag_id") or files.dag_id_of(which.version, name))
    dag_run = find_dag_run(dag_id, which.run_id)
    if data is None and dag_run is None:
        raise UnknownVersion(
            f"There is no run {which.run_id} of {which.version} on {which.target}.",
            f"Look with `firestore-migrations history {which.version} --target {which.target}`.",
        )
    return RunPage(target, which.version, name, which.run_id, data, progress, dag_run, dag_id)


def plan_page(which: Which, wanted: Search) -> PlanPage | None:
    """What a run would change; None before it was reviewed."""

    def look(target: Target, _reader: Reader) -> PlanPage | None:
        folder = target.folder / which.version / which.run_id
        if not folder.has("review.json"):
            return None
        review = folder.read_json("review.json")
        parts = [Part(*part) for part in review["parts"]]
        first = max(0, wanted.from_row)
        found = search(folder, parts, wanted.q.strip(), wanted.operation, from_row=first, most=_ROWS)
        return PlanPage(
            review=review,
            collections=review.get("collections") or _collections(folder, parts),
            found=found,
            shown=tuple((number, _shown(row, target)) for number, row in found.rows),
            policy=target.samples,
        )

    return PLACES.ask(which.target, look)


def failures_of(which: Which, wanted: Search) -> tuple[list[dict[str, Any]], int]:
    """The failures and conflicts of a run, those that are open first, and how many more there are."""

    def look(_target: Target, reader: Reader) -> list[dict[str, Any]]:
        return [entry.data for _, entry in Ledger(reader).entries(f"{which.name.path}/failures")]

    text = wanted.q.strip().lower()
    found = [
        failure
        for failure in PLACES.ask(which.target, look)
        if wanted.state in ("", failure["state"])
        and text in f"{failure['path']} {failure['error']} {failure['step']}".lower()
    ]
    found.sort(key=lambda failure: (failure["state"] != OPEN, failure["path"]))
    return found[:_FAILURES], max(0, len(found) - _FAILURES)


def whole(data: Mapping[str, Any]) -> dict[str, Any]:
    """A run's document with every field that pages show: one of a baseline, or of an older release, has fewer."""
    return {**_ABSENT, **data, "counts": {**NO_COUNTS, **(data.get("counts") or {})}}


def _shown(row: Any, target: Target) -> Sample:
    return Sample(row.path, row.operation, ()) if target.samples == NONE else sample(row, target.samples)


def _collections(folder: Folder, parts: list[Part]) -> dict[str, dict[str, int]]:
    plans = (find_plan(folder / part.name) for part in parts)
    return collections_of(plan for plan in plans if plan is not None)


def _airflow_holds_it(dag_run: DagRunState | None) -> str:
    """Why Airflow does not let it go on; empty where it does, or cannot tell."""
    if dag_run is None:
        return ""
    if dag_run.is_dag_paused:
        return "the DAG is paused in Airflow, which begins no task of it; unpause it there"
    if dag_run.state == "queued":
        return "Airflow has queued the run and has not begun it"
    for task, states in dag_run.tasks.items():
        for state, why in _AIRFLOWS_REASONS.items():
            if state in states:
                return f"task {task} {why}"
    return ""


_AIRFLOWS_REASONS = {
    "up_for_retry": "has failed and waits to be tried again",
    "up_for_reschedule": "waits for its turn",
    "queued": "waits for a worker of Airflow",
    "scheduled": "waits for a slot of Airflow",
}

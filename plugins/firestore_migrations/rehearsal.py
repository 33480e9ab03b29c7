"""The DAG firestore_rehearsal: every pending version up and down again on a copy of the data, nightly and by hand."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param

from firestore_migrations import configuration
from firestore_migrations.operators.failing import RETRYING
from firestore_migrations.operators.rehearsal import FirestoreRehearsalOperator

DAG_ID = "firestore_rehearsal"
_DOCUMENTATION = """\
Rehearses every pending migration on a copy of the data, and takes it back.

1. `refresh` overwrites the rehearsal database with what its source holds now; the source is only read.
2. `before` takes a fingerprint of every document.
3. `vNNN_up`, in order: each version's own DAG runs against the copy. Once one has failed, later ones are not begun.
4. `vNNN_down`, in reverse: whatever was written is taken back.
5. `compare` takes the fingerprint again: every document must be what it was.
6. `report` keeps a verdict for each version by the checksum of its file, which production targets ask for.
"""


def make_rehearsal_dag() -> DAG:
    """The DAG, with two tasks for each migration that can be used. Parsing touches neither Firestore nor Google."""
    migrations = configuration.migrations()
    with DAG(
        dag_id=DAG_ID,
        description="Rehearse every pending migration on a copy of the data.",
        doc_md=_DOCUMENTATION,
        schedule=_schedule(),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        tags=["firestore-migrations", "rehearsal"],
        params=make_params([migration.version for migration in migrations]),
        default_args=RETRYING,
    ) as dag:
        refresh = FirestoreRehearsalOperator(task_id="refresh", phase="refresh")
        last = FirestoreRehearsalOperator(task_id="before", phase="before")
        refresh >> last
        ups = [(migration, "up") for migration in migrations]
        for migration, phase in [*ups, *[(migration, "down") for migration in reversed(migrations)]]:
            task = FirestoreRehearsalOperator(
                task_id=f"{migration.version}_{phase}",
                phase=phase,
                version=migration.version,
                dag_id=migration.dag_id,
                trigger_rule="all_done",
            )
            last >> task
            last = task
        compare = FirestoreRehearsalOperator(task_id="compare", phase="compare", trigger_rule="all_done")
        report = FirestoreRehearsalOperator(task_id="report", phase="report", trigger_rule="all_done")
        last >> compare >> report
    return dag


def _schedule() -> CronTriggerTimetable | None:
    """When it runs by the clock; never at once because it was just installed, for it overwrites a database."""
    cron = configuration.rehearsal_schedule()
    return None if cron is None else CronTriggerTimetable(cron, timezone="UTC", run_immediately=timedelta(0))


def make_params(versions: list[str]) -> dict[str, Param]:
    """The parameters of a rehearsal, as the trigger form shows them."""
    target = configuration.rehearsal_target()
    default = (target,) if target else ()
    return {
        "target": Param(
            *default,
            type="string",
            minLength=1,
            title="Rehearsal database",
            description="Connection whose extra has `rehearsal_of`. The database is overwritten.",
        ),
        "versions": Param(
            [],
            type=["array", "null"],
            items={"type": "string", "enum": versions} if versions else {"type": "string"},
            examples=versions,
            title="Versions",
            description="Those to rehearse, each behind the pending ones before it. Empty: every pending one.",
        ),
    }

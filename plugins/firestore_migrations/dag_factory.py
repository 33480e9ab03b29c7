"""The DAG of each migration. Parsing touches neither Firestore nor a Google library."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, get_parsing_context

from firestore_migrations import configuration
from firestore_migrations.assets import WRITTEN
from firestore_migrations.authoring.discovery import Discovered, discover
from firestore_migrations.authoring.migration import Migration, Step
from firestore_migrations.errors import AuthoringError
from firestore_migrations.notifications import notify_of_refusal
from firestore_migrations.operators.approval import FirestoreApprovalOperator
from firestore_migrations.operators.failing import RETRYING
from firestore_migrations.operators.migration import FirestoreMigrationOperator
from firestore_migrations.params import make_params

_MOST_RUNS = 16
"""The lease lets one run write to a target; a run that awaits approval on one must not hold up another target."""

_MOST_LOST_ANSWERS = 10


def make_dags() -> dict[str, DAG]:
    """One DAG for every migration that can be used, by DAG id.

    In a worker, which asks for one DAG, only that one is made.

    Raises:
        ConfigurationError: there is no folder of migrations.
    """
    wanted = get_parsing_context().dag_id
    migrations = _discover().migrations
    return {
        migration.dag_id: make_dag(migration)
        for migration in migrations
        if wanted is None or wanted == migration.dag_id
    }


def refuse_broken_files() -> None:
    """Raise if a file of the folder cannot be used; one error names them all.

    It is silent where there is no folder: `make_dags` has said so, and one import error is enough.

    Raises:
        AuthoringError: each file, what is wrong with it, and the remedy.
    """
    if not configuration.migrations_folder().is_dir():
        return
    errors = _discover().errors
    if len(errors) == 1:
        raise errors[0]
    if errors:
        lines = "\n".join(f"  {type(error).__name__}: {error}" for error in errors)
        raise AuthoringError(f"{len(errors)} files of {configuration.migrations_folder()} cannot be used:\n", lines)


def make_dag(migration: Migration) -> DAG:
    """The DAG of one migration: preflight, backup, dry_run, review, approve, apply, verify, finish."""
    with DAG(
        dag_id=migration.dag_id,
        description=migration.description.splitlines()[0],
        doc_md=_documentation(migration),
        schedule=_schedule(migration),
        catchup=False,
        max_active_runs=_MOST_RUNS,
        is_paused_upon_creation=False,  # nothing runs by the clock; paused, it would only queue what people trigger
        tags=["firestore-migrations", migration.version],
        params=make_params(),
        default_args=RETRYING,
    ) as dag:

        def task(phase: str, **kwargs: Any) -> FirestoreMigrationOperator:
            return FirestoreMigrationOperator(task_id=phase, version=migration.version, phase=phase, **kwargs)

        def by_shard(phase: str) -> Any:
            partial = FirestoreMigrationOperator.partial(
                task_id=phase,
                version=migration.version,
                phase=phase,
                map_index_template="{{ task.shard['step'] or 'all' }} {{ task.shard['index'] }}",
            )
            return partial.expand(shard=preflight.output)

        preflight = task("preflight", on_failure_callback=notify_of_refusal)
        backup, dry_run = by_shard("backup"), by_shard("dry_run")
        review = task("review")
        # Airflow may lose an answer that comes at once, more than once; each time costs a try.
        approve = FirestoreApprovalOperator(task_id="approve", version=migration.version, retries=_MOST_LOST_ANSWERS)
        apply = by_shard("apply")
        verify = task("verify")
        finish = task("finish", outlets=[WRITTEN])
        preflight >> backup >> dry_run >> review >> approve >> apply >> verify >> finish
        # As the teardown of preflight it runs whatever happens, after a failure and after a run that was marked failed.
        finish.as_teardown(setups=preflight, on_failure_fail_dagrun=True)
    return dag


def _discover() -> Discovered:
    return discover(configuration.migrations_folder())


def _schedule(migration: Migration) -> Any:
    """None, or of a migration with windows the intervals that a backfill may ask for; nothing runs by the clock."""
    if not migration.has_windows:
        return None
    from firestore_migrations.timetable import WindowTimetable

    return WindowTimetable(configuration.window_interval(), timezone="UTC")


def _documentation(migration: Migration) -> str:
    """What the DAG's page says: the description, the steps, and the source, which Airflow's Code tab does not show."""
    steps = "\n".join(f"- `{step.name}`: {_scope_of(step)}" for step in migration.steps)
    return (
        f"{migration.description}\n\n"
        f"**Steps**\n\n{steps}\n\n"
        f"**Checksum** `{migration.checksum}`\n\n"
        f"**Source** `{migration.path.name}`\n\n```python\n{migration.source.rstrip()}\n```\n"
    )


def _scope_of(step: Step) -> str:
    if step.scope is None:
        return "script"
    kind = "each document of the collection group" if step.scope.group else "each document of"
    filtered = f", filtered by {len(step.scope.where)} conditions" if step.scope.where else ""
    filtered += f", windows by `{step.scope.window}`" if step.scope.window else ""
    checks = f"; checks: {', '.join(f'`{check.__name__}`' for check in step.checks)}" if step.checks else ""
    return f"{kind} `{step.scope.collection}`{filtered}{checks}"

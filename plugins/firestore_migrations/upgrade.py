"""The DAG firestore_upgrade: every pending version in order, up to a chosen one."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from firestore_migrations import configuration
from firestore_migrations.operators.failing import RETRYING
from firestore_migrations.operators.upgrade import FirestoreUpgradeOperator
from firestore_migrations.params import make_params

DAG_ID = "firestore_upgrade"
_PASSED_THROUGH = (
    "shards",
    "batch_size",
    "max_writes_per_second",
    "max_failures",
    "budget",
    "sample",
    "without_rehearsal",
)
_DOCUMENTATION = """\
Runs every pending migration in order, up to a chosen one, each by its own DAG.

`check` refuses, before anything is written, a version that is pending behind an applied one, and edited files.
Versions that are done are skipped. The first one that fails stops the upgrade; the audit says which, and why.
Clear the failed task, or trigger the upgrade again, and it goes on from there.
"""


def make_upgrade_dag() -> DAG:
    """The DAG, with one task for each migration that can be used. Parsing touches neither Firestore nor Google."""
    migrations = configuration.migrations()
    with DAG(
        dag_id=DAG_ID,
        description="Run every pending migration in order, up to a chosen one.",
        doc_md=_DOCUMENTATION,
        schedule=None,
        catchup=False,
        is_paused_upon_creation=False,
        tags=["firestore-migrations", "upgrade"],
        params=_params([migration.version for migration in migrations]),
        default_args=RETRYING,
    ) as dag:
        last = FirestoreUpgradeOperator(task_id="check")
        for migration in migrations:
            task = FirestoreUpgradeOperator(
                task_id=migration.version,
                version=migration.version,
                dag_id=migration.dag_id,
                trigger_rule="none_failed",
            )
            last >> task
            last = task
    return dag


def _params(versions: list[str]) -> dict[str, Param]:
    of_run = make_params()
    to = Param(
        None,
        type=["null", "string"],
        enum=[None, "", *versions],
        title="Up to",
        description="The last version to run. Empty: all that are pending.",
    )
    return {
        "target": of_run["target"],
        "to": to,
        "mode": of_run["mode"],
        **{name: of_run[name] for name in _PASSED_THROUGH},
    }

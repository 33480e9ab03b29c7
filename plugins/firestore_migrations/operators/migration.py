"""The one operator: performs one phase of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from firestore_migrations import configuration
from firestore_migrations.errors import FirestoreMigrationsError, StorageError, Unavailable

if TYPE_CHECKING:
    from airflow.sdk import Context

    from firestore_migrations.runs.run import Run

WORTH_A_RETRY = (Unavailable, StorageError)
_AFTER_THE_PLAN = frozenset({"apply", "verify"})


class FirestoreMigrationOperator(BaseOperator):
    """Perform one phase of a migration's run: preflight, backup, dry_run, review, apply, verify or finish.

    The phase itself is a function of the engine; its result goes to XCom, small, without a document. The options of the
    run come from the DAG run's parameters. Safe to retry and to clear at any time.

    Args:
        version: the migration's version, like `v001`.
        phase: which.
        target: the id of a connection of type `firestore`.
        shard: what `preflight` gave for this shard, for the phases that work by shard.

    Raises:
        AirflowSkipException: the run is a dry run, and this phase comes after the plan.
        AirflowFailException: trying again cannot help; the message says what to do.
    """

    template_fields: Sequence[str] = ("version", "target")
    ui_color = "#ffe9b8"

    def __init__(
        self,
        *,
        version: str,
        phase: str,
        target: str = "{{ params.target }}",
        shard: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.version = version
        self.phase = phase
        self.target = target
        self.shard = shard

    def execute(self, context: Context) -> Any:
        """Perform the phase.

        Returns:
            Its result, plain data.
        """
        from firestore_migrations.runs.phases import perform
        from firestore_migrations.runs.run import DRY_RUN

        if self.phase in _AFTER_THE_PLAN and context["params"].get("mode") == DRY_RUN:
            raise AirflowSkipException("A dry run ends with the plan.")
        try:
            run = self._run(context)
            return perform(run, self.phase, None if self.shard is None else self.shard["index"])
        except WORTH_A_RETRY:
            raise
        except FirestoreMigrationsError as error:
            raise AirflowFailException(f"{type(error).__name__}: {error}") from None

    def _run(self, context: Context) -> Run:
        from firestore_migrations.hooks.firestore import FirestoreHook
        from firestore_migrations.runs.run import Options, Run

        dag_run = context["dag_run"]
        migration, known = configuration.migration(self.version)
        return Run(
            id=dag_run.run_id,
            migration=migration,
            target=FirestoreHook(self.target).target(),
            options=Options.of(context["params"]),
            known=known,
            dag_id=context["dag"].dag_id,
            triggered_by=dag_run.triggering_user_name or dag_run.run_type,
            prices=configuration.prices(),
        )

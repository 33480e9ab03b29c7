"""The one operator: performs one phase of a run."""

from __future__ import annotations

import getpass
import threading
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException, AirflowSkipException

from firestore_migrations import configuration
from firestore_migrations.errors import (
    ConfigurationError,
    FirestoreMigrationsError,
    RunPaused,
    StorageError,
    Unavailable,
)

if TYPE_CHECKING:
    from airflow.sdk import DAG, Context

    from firestore_migrations.runs.run import Run

WORTH_A_RETRY = (Unavailable, StorageError)
_AFTER_THE_PLAN = frozenset({"apply", "verify"})
_PAUSED_SECONDS = 30
_LEAST_SECONDS = 10  # Airflow takes a task for killed that it queues before the end of its last process is known
_INTERRUPTED = "Interrupted with Ctrl-C."
interrupted = threading.Event()
"""Set by Ctrl-C where the DAG runs in a person's own process: no phase begins any more but `finish`."""


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
        AirflowRescheduleException: the run is paused, or the target was taken away from another run a moment ago.
        AirflowFailException: trying again cannot help; the message says what to do. `finish` raises it too, when all
            is recorded, if the run ended as failed: the DAG run then ends as the audit does.
        FirestoreMigrationsError: trying again may help. No error says what is in a document.
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
        from firestore_migrations.firestore.reach import refuse_unreachable
        from firestore_migrations.runs.options import DRY_RUN
        from firestore_migrations.runs.phases import perform
        from firestore_migrations.runs.status import FAILED, PAUSED

        if self.phase in _AFTER_THE_PLAN and context["params"].get("mode") == DRY_RUN:
            raise AirflowSkipException("A dry run ends with the plan.")
        if interrupted.is_set() and self.phase != "finish":
            raise AirflowFailException(_INTERRUPTED)
        try:
            run = self._run(context)
            if self.phase == "preflight":
                refuse_unreachable(run.target.address)
            result = perform(run, self.phase, None if self.shard is None else self.shard["index"])
        except WORTH_A_RETRY as error:
            raise error from None
        except FirestoreMigrationsError as error:
            self._wait_if_that_helps(error)
            raise AirflowFailException(f"{type(error).__name__}: {error}") from None
        except KeyboardInterrupt:
            raise AirflowFailException(_INTERRUPTED) from None  # Airflow would try again
        except Exception as error:  # noqa: BLE001 -- whatever it is, it may quote a document
            raise self._without_values(error) from None
        if self.phase == "finish" and result["state"] in (FAILED, PAUSED):
            # Airflow takes the DAG run's state from its last task, and would call this run a success.
            raise AirflowFailException(
                f"{self.version} ended as {result['state']}; its lease is given back. The task that failed says why, "
                f"and so does `firestore-migrations history {self.version}`."
            )
        return result

    def _wait_if_that_helps(self, error: FirestoreMigrationsError) -> None:
        """Leave the worker, and come back in a while: a paused run may be resumed, and a target become free.

        This is no try of the task, so it does not count as one, however long it takes.
        """
        seconds = _PAUSED_SECONDS if isinstance(error, RunPaused) else error.facts.get("free_in")
        if seconds is not None and self.phase != "finish":
            self.log.info("%s Looking again in %d s.", error, seconds)
            until = datetime.now(timezone.utc) + timedelta(seconds=max(_LEAST_SECONDS, seconds))
            raise AirflowRescheduleException(until) from None

    def _without_values(self, error: Exception) -> FirestoreMigrationsError:
        """A foreign error as one of ours: where it was raised, and not what it says, which may quote a document."""
        frames = traceback.extract_tb(error.__traceback__)
        self.log.error("%s came up here:\n%s", type(error).__name__, "".join(traceback.format_list(frames)))
        return FirestoreMigrationsError(
            f"{type(error).__name__} in {self.phase} of {self.version}, at {frames[-1].filename}:{frames[-1].lineno}.",
            "It is tried again. If it stays, it is a defect; please report it with the lines above.",
            version=self.version,
            phase=self.phase,
        )

    def _run(self, context: Context) -> Run:
        dag_run = context["dag_run"]
        _refuse_unknown(dag_run.conf or {}, context["dag"])
        return run_of(
            self.version,
            self.target,
            context["params"],
            run_id=dag_run.run_id,
            dag_id=context["dag"].dag_id,
            triggered_by=_who(dag_run.triggering_user_name) or dag_run.run_type,
        )


def run_of(  # noqa: PLR0913 -- what a DAG run consists of
    version: str, target: str, params: Mapping[str, Any], *, run_id: str, dag_id: str, triggered_by: str = ""
) -> Run:
    """The run of a version against a connection, with a DAG run's parameters.

    Raises:
        FirestoreMigrationsError: there is no such version or connection, or its description is wrong.
    """
    from firestore_migrations.hooks.firestore import FirestoreHook
    from firestore_migrations.runs.options import Options
    from firestore_migrations.runs.run import Run

    migration, discovered = configuration.migration(version)
    return Run(
        id=run_id,
        migration=migration,
        target=FirestoreHook(target).target(),
        options=Options.of(params),
        known=discovered.versions,
        checksums={found.version: found.checksum for found in discovered.migrations},
        dag_id=dag_id,
        triggered_by=triggered_by,
        prices=configuration.prices(),
    )


def _refuse_unknown(conf: Mapping[str, Any], dag: DAG) -> None:
    """Refuse a parameter that the DAG does not have: Airflow takes any, and a misspelt limit would be no limit."""
    for name in conf:
        if name not in dag.params:
            raise ConfigurationError(
                f"{dag.dag_id} has no parameter {name!r}.",
                f"Trigger the run again without it; there are {', '.join(dag.params)}.",
                param=name,
            )


def _who(user: str | None) -> str | None:
    """Who triggered a run. `DAG.test` names itself; then it is whoever runs this process."""
    return getpass.getuser() if user == "dag_test" else user

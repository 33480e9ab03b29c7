"""The one operator: performs one phase of a run."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from firestore_migrations import assets, configuration, metrics, notifications
from firestore_migrations.errors import ConfigurationError
from firestore_migrations.operators.failing import INTERRUPTED, failing

if TYPE_CHECKING:
    from airflow.sdk import DAG, Context

    from firestore_migrations.runs.run import Run

_AFTER_THE_PLAN = frozenset({"apply", "verify"})
_BACKFILL = "backfill"
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

        if self.phase in _AFTER_THE_PLAN and context["params"].get("mode") == DRY_RUN:
            raise AirflowSkipException("A dry run ends with the plan.")
        if interrupted.is_set() and self.phase != "finish":
            raise AirflowFailException(INTERRUPTED)
        with failing(self.log, self.phase, self.version, None if self.phase == "finish" else self._tell_of_waiting):
            run = run_in(context, self.version, self.target)
            if self.phase == "preflight":
                run = replace(run, keeps_course=_has_snapshot(context))
                notifications.notifications()  # a wrong one is said before anything is done
                refuse_unreachable(run.target.address)
            with metrics.timed(self.version, self.target, self.phase):
                result = perform(run, self.phase, None if self.shard is None else self.shard["index"])
            metrics.count(self.version, self.target, self.phase, result)
        if self.phase == "finish":
            self._end(context, run, result)
        return result

    def _end(self, context: Context, run: Run, result: dict[str, Any]) -> None:
        """Tell whoever wants to know how the run ended, and let the DAG run end as the audit does."""
        from firestore_migrations.runs.status import FAILED, PAUSED, REJECTED

        notifications.notify(context, run, result["state"], _told(result))
        failed = _failed_tasks(context)
        if failed or result["state"] in (FAILED, PAUSED, REJECTED):
            # Airflow takes the DAG run's state from its last task, and would call this run a success.
            raise AirflowFailException(
                f"{self.version} ended as {result['state']}; its lease is given back. "
                f"{'Task ' + ', '.join(failed) if failed else 'The task'} that failed says why, "
                f"and so does `firestore-migrations history {self.version}`."
            )
        assets.emit(context, run, result)

    def _tell_of_waiting(self) -> None:
        metrics.waiting(self.version, self.target, self.phase)


def _failed_tasks(context: Context) -> list[str]:
    """The tasks of this DAG run that failed: where it was cleared, its audit may say that it ended well before."""
    return sorted(task for task, state in _states(context).items() if state == "failed")


def _states(context: Context) -> dict[str, Any]:
    """The states of the tasks of this DAG run; of a mapped one, each index by itself."""
    ti: Any = context.get("ti")
    if ti is None:
        return {}  # the operator is executed by itself
    states: dict[str, Any] = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    return states


def _has_snapshot(context: Context) -> bool:
    """Whether `backup` of this DAG run is done, and not cleared with the task that somebody cleared."""
    return any(task.startswith("backup") and state == "success" for task, state in _states(context).items())


def run_in(context: Context, version: str, target: str) -> Run:
    """The run that a task works for.

    Raises:
        FirestoreMigrationsError: a parameter, the connection or the migration's file is wrong.
    """
    dag_run = context["dag_run"]
    refuse_unknown(dag_run.conf or {}, context["dag"])
    return run_of(
        version,
        target,
        _with_window(context["params"], dag_run),
        run_id=dag_run.run_id,
        dag_id=context["dag"].dag_id,
        triggered_by=_who(dag_run.triggering_user_name) or dag_run.run_type,
        waits=dag_run.run_type == _BACKFILL,
    )


def _told(result: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run's end people are told."""
    return {"counts": result["counts"], "price": result["price"], "digest": result.get("plan_digest")}


def run_of(  # noqa: PLR0913 -- what a DAG run consists of
    version: str,
    target: str,
    params: Mapping[str, Any],
    *,
    run_id: str,
    dag_id: str,
    triggered_by: str = "",
    waits: bool = False,
) -> Run:
    """The run of a version against a connection, with a DAG run's parameters.

    Raises:
        FirestoreMigrationsError: there is no such version or connection, or its description is wrong.
    """
    from firestore_migrations.hooks.firestore import FirestoreHook
    from firestore_migrations.runs.options import Options
    from firestore_migrations.runs.run import Run

    migration, discovered = configuration.migration(version)
    described = FirestoreHook(target).target()
    return Run(
        id=run_id,
        migration=migration,
        target=described,
        options=Options.of(params, described.policy.defaults),
        known=discovered.versions,
        checksums={found.version: found.checksum for found in discovered.migrations},
        dag_id=dag_id,
        triggered_by=triggered_by,
        prices=configuration.prices(),
        rehearsals=configuration.rehearsals(),
        waits=waits,
    )


def _with_window(params: Mapping[str, Any], dag_run: Any) -> Mapping[str, Any]:
    """The parameters of a run; those of a backfill have its data interval as their window.

    Raises:
        ConfigurationError: the parameter `window` names another one.
    """
    from firestore_migrations.runs.windows import Window

    if dag_run.run_type != _BACKFILL or dag_run.data_interval_start is None:
        return params
    ends = (dag_run.data_interval_start, dag_run.data_interval_end)
    interval = Window(*(end.astimezone(timezone.utc) for end in ends))
    asked = params.get("window")
    if asked and Window.of(str(asked)) != interval:
        raise ConfigurationError(
            f"The backfill's run is of {interval}, and its parameter window says {asked}.",
            "Leave window out of --dag-run-conf: each run of a backfill has its own interval.",
            param="window",
        )
    return {**params, "window": str(interval)}


def refuse_unknown(conf: Mapping[str, Any], dag: DAG) -> None:
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

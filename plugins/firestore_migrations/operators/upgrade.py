"""The operator of the DAG firestore_upgrade: looks whether the versions may run, or runs one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from firestore_migrations import configuration
from firestore_migrations.authoring.discovery import discover
from firestore_migrations.operators.child_run import has_begun, run_child
from firestore_migrations.operators.failing import failing
from firestore_migrations.operators.migration import refuse_unknown

if TYPE_CHECKING:
    from airflow.sdk import Context

    from firestore_migrations.runs.run import Target

_OWN = frozenset({"to", "target", "mode"})


class FirestoreUpgradeOperator(BaseOperator):
    """Run one version of an upgrade by its own DAG and wait; without a version, fix which ones there are to run.

    Whether a run went well, the audit says. Safe to retry and to clear: a version that is done is skipped, and a run
    that is still going on is waited for.

    Args:
        version: to run; empty to look.
        dag_id: of that version.
        target: the id of a connection of type `firestore`.

    Raises:
        AirflowSkipException: the version is done, or beyond the one to upgrade to.
        AirflowFailException: the order is wrong, or the version failed; it says why.
    """

    template_fields: Sequence[str] = ("target",)
    ui_color = "#e3f5d6"

    def __init__(
        self, *, version: str = "", dag_id: str = "", target: str = "{{ params.target }}", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.version = version
        self.child_dag_id = dag_id
        self.target = target

    def execute(self, context: Context) -> Any:
        """Look, or run the version to its end.

        Returns:
            The versions to run; or what the run came to.
        """
        from firestore_migrations.hooks.firestore import FirestoreHook
        from firestore_migrations.runs.upgrade import versions_to_run

        with failing(self.log, "upgrade", self.version):
            target = FirestoreHook(self.target).target()
            refuse_unknown(context["dag_run"].conf or {}, context["dag"])
            if self.version:
                return self._run(target, context)
            discovered = discover(configuration.migrations_folder())
            return list(versions_to_run(target, discovered, context["params"]["to"] or ""))

    def _run(self, target: Target, context: Context) -> dict[str, Any]:
        from firestore_migrations.runs.upgrade import is_done, refuse_bad_end

        to, mode = context["params"]["to"], context["params"]["mode"]
        if to and int(self.version[1:]) > int(to[1:]):
            raise AirflowSkipException(f"{self.version} is beyond {to}.")
        dag_run = context["dag_run"]
        name = f"upgrade__{dag_run.run_id}_{self.version}"
        if not has_begun(context, self.child_dag_id, name) and is_done(target, self.version):
            raise AirflowSkipException(f"{self.version} is done on {target.name}.")
        asked = {name: value for name, value in (dag_run.conf or {}).items() if name not in _OWN}
        conf = {**asked, "target": self.target, "mode": mode, "direction": "up"}
        run_id = run_child(context, self.child_dag_id, name, conf)
        return refuse_bad_end(target, self.version, run_id, mode)

"""The operator of the DAG firestore_rehearsal: performs one step of a rehearsal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from firestore_migrations import configuration
from firestore_migrations.authoring.discovery import discover
from firestore_migrations.errors import Refused
from firestore_migrations.operators.child_run import has_begun, run_child
from firestore_migrations.operators.failing import failing

if TYPE_CHECKING:
    from airflow.sdk import Context

    from firestore_migrations.runs.rehearse import Rehearsing


class FirestoreRehearsalOperator(BaseOperator):
    """Perform one step of a rehearsal: refresh, before, up, down, compare or report.

    `up` and `down` trigger the version's own DAG against the rehearsal database and wait; whether it went well, the
    audit of that database says. Safe to retry and to clear at any time. XCom holds no document.

    Args:
        phase: which.
        version: whose run, for `up` and `down`.
        dag_id: of that version.
        target: the id of the rehearsal database's connection.

    Raises:
        AirflowSkipException: there is nothing to do for this version; it says why.
        AirflowFailException: the version failed, or the rehearsal; it says why.
    """

    template_fields: Sequence[str] = ("target",)
    ui_color = "#d7e8ff"

    def __init__(
        self,
        *,
        phase: str,
        version: str = "",
        dag_id: str = "",
        target: str = "{{ params.target }}",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.phase = phase
        self.version = version
        self.child_dag_id = dag_id
        self.target = target

    def execute(self, context: Context) -> Any:
        """Perform the step.

        Returns:
            Its result, plain data.
        """
        with failing(self.log, self.phase, self.version):
            rehearsal = rehearsing(self.target, context["dag_run"].run_id)
            if self.phase in ("up", "down"):
                return self._run(rehearsal, context)
            if self.phase == "refresh":
                migrations = discover(configuration.migrations_folder()).migrations
                return rehearsal.refresh(migrations, context["params"]["versions"] or ())
            if self.phase == "report":
                return report(rehearsal)
            return compared(rehearsal) if self.phase == "compare" else rehearsal.before()

    def _run(self, rehearsal: Rehearsing, context: Context) -> dict[str, Any]:
        name = rehearsal.name_of(self.version, self.phase)
        # While its own run goes on, the version may look as if there were nothing to do any more.
        if not has_begun(context, self.child_dag_id, name) and (
            reason := rehearsal.reason_to_skip(self.version, self.phase)
        ):
            raise AirflowSkipException(reason)
        conf = {"target": self.target, "mode": "apply", "direction": self.phase}
        run_child(
            context,
            self.child_dag_id,
            name,
            conf,
            lambda run_id: rehearsal.begin(self.version, self.phase, run_id),
        )
        return rehearsal.refuse_bad_end(self.version, self.phase)


def rehearsing(target: str, rehearsal_id: str) -> Rehearsing:
    """The rehearsal of an id against a rehearsal database, whose connection names its source.

    Raises:
        Refused: the target is no rehearsal database.
        ConfigurationError: there is no such connection, or its description is wrong.
    """
    from firestore_migrations.hooks.firestore import FirestoreHook
    from firestore_migrations.runs.refresh import refuse_to_overwrite
    from firestore_migrations.runs.rehearse import Rehearsing

    copy = FirestoreHook(target).target()
    source = FirestoreHook(copy.policy.rehearsal_of).target() if copy.policy.rehearsal_of else copy
    refuse_to_overwrite(source, copy)
    return Rehearsing(rehearsal_id, source, copy, configuration.rehearsals())


def compared(rehearsal: Rehearsing) -> dict[str, Any]:
    """Compare the data with what it was before.

    Raises:
        Refused: it is not that; naming the collections.
    """
    result = rehearsal.compare()
    if result["differing"]:
        raise Refused(
            f"Taken back, the data of {rehearsal.target.name} is not what it was before, in "
            f"{', '.join(result['differing'])}.",
            "See in the histories what was left, and let nothing else write to the rehearsal database.",
        )
    return result


def report(rehearsal: Rehearsing) -> dict[str, Any]:
    """Judge and keep every version's rehearsal.

    Returns:
        The versions by verdict.

    Raises:
        Refused: one has not passed, or its file cannot be used; naming each and why.
    """
    found = rehearsal.report()
    faults = [f"{one.version} {one.verdict}: {one.reason.rstrip('.')}" for one in found if not one.is_passed]
    broken = discover(configuration.migrations_folder()).errors
    faults += [f"{type(error).__name__}: {str(error).rstrip('.')}" for error in broken]
    if faults:
        passed = ", ".join(one.version for one in found if one.is_passed) or "none"
        raise Refused(
            f"The rehearsal failed. {'; '.join(faults)}. Passed: {passed}.",
            f"The verdicts are in {rehearsal.results}.",
        )
    return {one.version: one.verdict for one in found}

"""The operator that lets a person approve a run's plan on Airflow's own page."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.exceptions import HITLRejectException, HITLTimeoutError
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.definitions.param import Param, ParamsDict
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskAwaitingInput

from firestore_migrations import notifications
from firestore_migrations.operators.failing import INTERRUPTED, failing
from firestore_migrations.operators.migration import interrupted, run_in

if TYPE_CHECKING:
    from airflow.sdk import Context

    from firestore_migrations.runs.allowance import Allowance
    from firestore_migrations.runs.run import Run
    from firestore_migrations.runs.windows import Window

Answerer = Callable[[str, str], "bool | None"]
"""Shows a report to whoever types, and gives their answer to a question; None where nobody is there to be asked."""

_ON_PAGE = "on_page"
"""In the store of the task's state: the plan that the question on Airflow's page is about."""
_FROM, _TO, _WRITES, _PRICE = "others_from", "others_to", "others_most_writes", "others_most_price"
_in_terminal: ContextVar[Answerer | None] = ContextVar("in_terminal", default=None)


@contextmanager
def asked_in_terminal(answerer: Answerer) -> Iterator[None]:
    """Let questions of DAGs that run in this process be asked by this function: there is no page to answer them on."""
    token = _in_terminal.set(answerer)
    try:
        yield
    finally:
        _in_terminal.reset(token)


class FirestoreApprovalOperator(ApprovalOperator):
    """Let a person approve the reviewed plan before it is applied, where the run's target asks for that.

    The page shows the report. Whoever approves is recorded in the audit with the plan's digest; a reject and a
    time-out end the run as `rejected`, and nothing is written. While the task waits it takes no worker, and the run
    does not hold the target. On the page of a window's run, other windows can be approved with it, within limits.

    Args:
        version: the migration's version, like `v001`.
        target: the id of a connection of type `firestore`; it says who may approve, and how long that may take.

    Raises:
        AirflowSkipException: the run is a dry run.
        AirflowFailException: it was not approved; the message says why, and what to do.
    """

    template_fields: Sequence[str] = ("version", "target")
    ui_color = "#ffe9b8"

    def __init__(self, *, version: str, target: str = "{{ params.target }}", **kwargs: Any) -> None:
        super().__init__(subject="", fail_on_reject=True, **kwargs)
        self.version = version
        self.target = target

    def execute(self, context: Context) -> Any:
        """Ask, unless the plan needs no approval or has one.

        Returns:
            digest, approved_by, and approved_under where it was approved with other windows.
        """
        from firestore_migrations.runs.approval import report_of
        from firestore_migrations.runs.options import DRY_RUN
        from firestore_migrations.runs.phases import perform

        if context["params"].get("mode") == DRY_RUN:
            raise AirflowSkipException("A dry run ends with the plan.")
        if interrupted.is_set():
            raise AirflowFailException(INTERRUPTED)
        with self._failing():
            run = run_in(context, self.version, self.target)
            question = perform(run, "approve")
            if not question.pop("is_open"):
                return question
            report = report_of(run)
        answerer = _in_terminal.get()
        if answerer is not None:
            notifications.notify_of_question(context, run, question["digest"])
            return self._ask_in_terminal(run, report, question["digest"], answerer)
        if question["is_new"] or context["task_state_store"].get(_ON_PAGE, default=None) != question["digest"]:
            self._put_on_page(context, run, report, question["digest"])
        raise _waiting(run, question["digest"])

    def execute_complete(self, context: Context, event: dict[str, Any], digest: str = "") -> Any:
        """Record the answer, or that there was none in time."""
        try:
            return self._record(context, event, digest)
        except AirflowFailException:
            context["task_state_store"].delete(_ON_PAGE)  # it will not do; cleared, the task asks for another answer
            raise

    def _record(self, context: Context, event: dict[str, Any], digest: str) -> dict[str, Any]:
        from firestore_migrations.runs.approval import NOBODY, approve, reject
        from firestore_migrations.runs.words import age

        with self._failing():
            run = run_in(context, self.version, self.target)
            self.params = about_others(run.window)
            user = (event.get("responded_by_user") or {}).get("id") or NOBODY
            try:
                answer = super().execute_complete(context, event)
                others = allowed_to_others(answer["params_input"] or {})
            except HITLRejectException:
                why = f"rejected by {user}"
                reject(run, user, why)
            except HITLTimeoutError:
                why = f"nobody approved within {age(run.target.policy.approval_timeout)}"
                reject(run, NOBODY, why)
            except ValueError:
                raise AirflowFailException(
                    "The answer's fields hold what they cannot mean, so it is none. Nothing was written. "
                    "Clear the task `approve`, and answer again."
                ) from None
            else:
                done = approve(run, digest, user, others)
                return {name: value for name, value in done.items() if name != "is_open"}
        raise self._rejected(run, why)

    def _put_on_page(self, context: Context, run: Run, report: str, digest: str) -> None:
        """Put the question on Airflow's page, in place of any answer to an earlier one.

        Airflow keeps what a task asked first, also when the task is cleared and asks something else (apache/airflow
        pull request 73235 changes that), and answers with what the page shows. Where that is the question of an earlier
        plan the run ends: nobody approves what they do not see.
        """
        from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
        from airflow.sdk.execution_time.context import NEVER_EXPIRE
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        from firestore_migrations.runs.approval import NOBODY, reject

        verb = "Take back" if run.is_down else "Apply"
        subject = f"{verb} {run.version} {run.migration.name} on {run.target.name}? Plan {digest[:16]}"
        self.params = about_others(run.window)
        shown: Any = SUPERVISOR_COMMS.send(
            CreateHITLDetailPayload(
                ti_id=context["ti"].id,
                options=self.options,
                subject=subject,
                body=report,
                params=self.serialized_params,
                assigned_users=[{"id": user, "name": user} for user in run.target.policy.approvers],
            )
        )
        if shown.subject != subject:
            why = f"Airflow's page cannot show plan {digest[:16]}: it keeps the question about an earlier plan"
            with self._failing():
                reject(run, NOBODY, why)
            raise self._rejected(run, why)
        context["task_state_store"].set(_ON_PAGE, digest, retention=NEVER_EXPIRE)
        notifications.notify_of_question(context, run, digest)

    def _ask_in_terminal(self, run: Run, report: str, digest: str, answerer: Answerer) -> dict[str, Any]:
        from firestore_migrations.runs.approval import NOBODY, approve, reject

        user, approvers = _operating_system_user(), run.target.policy.approvers
        with self._failing():
            if approvers and user not in approvers:
                why = f"{user} is none of those who may approve on {run.target.name}: {', '.join(approvers)}"
                reject(run, NOBODY, why)
                raise self._rejected(run, why)
            answer = answerer(report, f"Write plan {digest[:16]} to {run.target.name} ({run.target.environment})?")
            if answer:
                done = approve(run, digest, user)
                return {name: value for name, value in done.items() if name != "is_open"}
            why = f"rejected by {user}" if answer is False else "nobody could be asked: there is no terminal"
            reject(run, user if answer is False else NOBODY, why)
        raise self._rejected(run, why)

    def _rejected(self, run: Run, why: str) -> AirflowFailException:
        return AirflowFailException(
            f"{run.version} is not applied to {run.target.name}: {why}. Nothing was written. "
            f"To ask again, trigger a new run: `{run.again}`, or on Airflow's page."
        )

    def _failing(self) -> AbstractContextManager[None]:
        return failing(self.log, "approve", self.version)


def _operating_system_user() -> str:
    """Who runs this process; unlike `getpass.getuser`, it does not believe the environment."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a number that has no name
        return str(os.getuid())


def _waiting(run: Run, digest: str) -> TaskAwaitingInput:
    """What the task raises to wait for the answer; it is about what was shown, whatever the plan is then.

    Airflow loses an answer that comes before its scheduler has seen that the task waits: it takes the task for killed,
    and tries it again. The answer is on the page then, and Airflow finds it where the task just waits again; to put the
    question there again would remove it.
    """
    timeout = run.target.policy.approval_timeout
    return TaskAwaitingInput(method_name="execute_complete", timeout=timeout, kwargs={"digest": digest})


def about_others(window: Window | None) -> ParamsDict:
    """The fields of the question about a window's run, about other windows; as they stand, they allow nothing."""
    if window is None:
        return ParamsDict({})
    start, end = (at.isoformat() for at in (window.start, window.end))
    interval = {"type": "string", "format": "date-time", "section": "Other windows of this version"}
    limit = {"minimum": 0, "section": "Other windows of this version"}
    return ParamsDict(
        {
            _FROM: Param(start, title="From", description="Approve the windows from this instant on too.", **interval),
            _TO: Param(end, title="To", description="And up to this one.", **interval),
            _WRITES: Param(
                0,
                type="integer",
                title="Documents",
                description="The most that they may write altogether. 0: only this window is approved.",
                **limit,
            ),
            _PRICE: Param(
                0,
                type="number",
                title="US dollars",
                description="The most that they may cost altogether; a window that does not fit asks.",
                **limit,
            ),
        }
    )


def allowed_to_others(fields: Mapping[str, Any]) -> Allowance | None:
    """What the answer allows other windows; None where it is about this one alone.

    Raises:
        ConfigurationError: the interval is none.
    """
    from firestore_migrations.runs.allowance import Allowance
    from firestore_migrations.runs.windows import Window

    if not fields.get(_WRITES):
        return None
    return Allowance(Window.of(f"{fields[_FROM]}/{fields[_TO]}"), int(fields[_WRITES]), float(fields[_PRICE]))

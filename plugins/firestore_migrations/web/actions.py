"""What people tell.

A run is begun, approved and cleared by Airflow's API in their own name. It is paused, resumed, cancelled and unlocked
by the run's audit, as the commands do it, where Airflow lets them change its runs.

Each is sent by POST, and sent twice does what it does once: a run's id is in the form that begins it, Airflow takes one
answer to a question, and the audit's states allow each step once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import FormData

from firestore_migrations import clearing
from firestore_migrations.errors import ConfigurationError, Refused
from firestore_migrations.firestore.connection import Reader, Writer
from firestore_migrations.operators.approval import allowed_to_others
from firestore_migrations.runs import budget, control, unlock
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.holder import holder
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.run import Target
from firestore_migrations.web import files, pages
from firestore_migrations.web.access import Visitor, VisitorDep, refuse_other_sites
from firestore_migrations.web.airflow import ApiRefusal, ask_airflow
from firestore_migrations.web.forms import conf_of, number_of
from firestore_migrations.web.places import PLACES
from firestore_migrations.web.rendering import in_path, root_of
from firestore_migrations.web.run import Which

router = APIRouter(dependencies=[Depends(refuse_other_sites)])
_SECONDS = 10.0


@router.post("/trigger/{dag_id}")
async def trigger(request: Request, dag_id: str, visitor: VisitorDep) -> Response:
    """Begin a run of a migration, of the rehearsal, or a rollback: whatever the form says."""
    form = await request.form()
    params = await run_in_threadpool(pages.params_of, dag_id)
    conf, run_id = conf_of(params, form), str(form.get("run_id", ""))
    body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
    try:
        await ask_airflow(request, visitor, "POST", f"/dags/{dag_id}/dagRuns", body)
    except ApiRefusal as refusal:
        if refusal.status != status.HTTP_409_CONFLICT:
            filled = pages.Filled(conf, run_id, refusal)
            return await run_in_threadpool(pages.form_of, request, visitor, dag_id, filled)
    migration = files.migration_of_dag(dag_id)
    if migration is None:
        return _to(request, "dags", dag_id, "runs", run_id)
    return _to(request, "runs", str(conf.get("target", "")), migration.version, run_id)


@router.post("/approve/{target}/{version}/{run_id:path}")
async def approve(request: Request, which: pages.WhichDep, visitor: VisitorDep) -> Response:
    """Answer Airflow's question about a plan: of the plan that the form showed, and of no other."""
    form = await request.form()
    dag_id = await run_in_threadpool(_dag_id, which)
    path = f"/dags/{dag_id}/dagRuns/{in_path(which.run_id)}/taskInstances/approve/-1/hitlDetails"
    digest = str(form.get("digest", ""))[:16]
    choice = "Approve" if form.get("answer") == "approve" else "Reject"
    try:
        asked = await ask_airflow(request, visitor, "GET", path)
        if not digest or not str(asked["subject"]).endswith(f"Plan {digest}"):
            raise Refused(
                f"The plan of run {which.run_id} is not the one that you saw, so your answer was not sent.",
                "Load the page again, and look at the new plan.",
            )
        fields = _answered_fields(asked.get("params") or {}, form)
        allowed_to_others(fields)  # what means nothing is refused here, and not by a task that fails
        await ask_airflow(request, visitor, "PATCH", path, {"chosen_options": [choice], "params_input": fields})
    except ApiRefusal as refusal:
        if refusal.status == status.HTTP_409_CONFLICT:
            return _to(request, "runs", which.target, *which.name, said="answered")
        raise HTTPException(refusal.status, f"The answer was not taken: {refusal.why}.") from refusal
    return _to(request, "runs", which.target, *which.name, said="approved" if choice == "Approve" else "rejected")


@router.post("/{verb}/{target}/{version}/{run_id:path}")
async def tell(request: Request, verb: str, which: pages.WhichDep, visitor: VisitorDep) -> Response:
    """Pause, resume or cancel a run."""
    form = await request.form()
    verbs: dict[str, Callable[[Ledger, RunName, str], control.Controlled]] = {
        "pause": control.pause,
        "resume": lambda ledger, name, by: _resumed(ledger, name, by, str(form.get("budget", "")).strip()),
        "cancel": control.cancel,
    }
    if verb not in verbs:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such page.")
    dag_id = await run_in_threadpool(_dag_id, which)
    await run_in_threadpool(visitor.refuse_telling, dag_id)
    done = await run_in_threadpool(_write, which.target, lambda ledger: verbs[verb](ledger, which.name, visitor.name))
    if verb == "resume":
        await _let_go_on(request, visitor, done)
    return _to(request, "runs", which.target, *which.name, said=f"{verb}d".replace("canceld", "cancelled"))


@router.post("/unlock/{target}")
async def take_target(request: Request, target: str, visitor: VisitorDep) -> Response:
    """Take the target from the run that the form named."""
    form = await request.form()
    named = str(form.get("holder", ""))
    held = await run_in_threadpool(PLACES.ask, target, lambda _, reader: holder(Ledger(reader)))
    if held is None or held.run != named:
        return _to(request, "", said="free")
    loser = RunName.of(named)
    dag_id = await run_in_threadpool(_dag_id, Which(target, *loser))
    await run_in_threadpool(visitor.refuse_telling, dag_id)
    surely = form.get("surely") == "on"
    await run_in_threadpool(_write, target, lambda ledger: unlock.unlock(ledger, visitor.name, surely=surely))
    return _to(request, "", said="unlocked")


def _resumed(ledger: Ledger, name: RunName, by: str, money: str) -> control.Controlled:
    """Let a run go on: a paused one by the audit; of one that failed, Airflow clears the tasks."""
    if money:
        return control.resume(ledger, name, by, budget.checked(money))
    (entry,), _ = ledger.get(name.path)
    if entry is not None and entry.data["state"] == "failed" and not entry.data.get("cancelled_by"):
        return control.Controlled(*name, "failed", "failed", entry.data["dag_id"], has_ended=True)
    return control.resume(ledger, name, by)


async def _let_go_on(request: Request, visitor: Visitor, done: control.Controlled) -> None:
    """Wake the tasks of a run that wait; clear those that ended, by Airflow's API."""
    tasks = await run_in_threadpool(clearing.to_clear, done.dag_id, done.run, has_ended=done.has_ended)
    if not tasks:
        return
    body = {"dry_run": False, "dag_run_id": done.run, "task_ids": tasks, "only_failed": False, "reset_dag_runs": True}
    try:
        await ask_airflow(request, visitor, "POST", f"/dags/{done.dag_id}/clearTaskInstances", body)
    except ApiRefusal as refusal:
        raise HTTPException(refusal.status, f"Airflow did not clear the run's tasks: {refusal.why}.") from refusal


def _write(target_name: str, act: Callable[[Ledger], Any]) -> Any:
    """Change the audit of a target, over a connection that is closed afterwards."""

    def question(target: Target, _reader: Reader) -> Any:
        with Writer(target.address) as writer:
            return act(Ledger(writer))

    PLACES.ask(target_name, lambda _, reader: holder(Ledger(reader)))  # whether it answers at all is known soon
    return PLACES.ask(target_name, question, _SECONDS)


def _dag_id(which: Which) -> str:
    """The DAG that a run says it is of."""
    (entry,), _ = PLACES.ask(which.target, lambda _, reader: Ledger(reader).get(which.name.path))
    return files.dag_id_of(which.version) if entry is None else str(entry.data["dag_id"])


def _answered_fields(params: Mapping[str, Any], form: FormData) -> dict[str, Any]:
    """The fields of Airflow's question: as the form has them, else as they stand, which allows nothing."""
    answered: dict[str, Any] = {}
    for name, param in params.items():
        value = param.get("value") if isinstance(param, dict) else param
        text = str(form.get(name, "")).strip()
        is_number = isinstance(value, int | float)
        answered[name] = value if not text else number_of(text) if is_number else text
        if is_number and not isinstance(answered[name], int | float):
            raise ConfigurationError(f"{name} is no number: {text!r}.", "Go back and mend it.")
    return answered


def _to(request: Request, *parts: str, said: str = "") -> RedirectResponse:
    """The page to look at afterwards."""
    query = f"?said={said}" if said else ""
    return RedirectResponse(f"{root_of(request)}/{in_path(*parts)}{query}", status.HTTP_303_SEE_OTHER)

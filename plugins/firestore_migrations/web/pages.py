"""The pages that people read. None of them changes anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from airflow.sdk import Param
from fastapi import APIRouter, Depends, HTTPException, Request, status
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from firestore_migrations import configuration, params, rehearsal
from firestore_migrations.errors import UnknownVersion
from firestore_migrations.firestore.change import CREATED, DELETED, UPDATED
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.operators.approval import about_others
from firestore_migrations.runs.advice import ROLLBACK
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.holder import holder
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.price import Usage
from firestore_migrations.runs.rehearsal import of_checksum
from firestore_migrations.runs.run import Target
from firestore_migrations.runs.standing import Standing, standing
from firestore_migrations.runs.status import AWAITING_APPROVAL
from firestore_migrations.runs.windows import Window
from firestore_migrations.web import audit as events
from firestore_migrations.web import files, forms
from firestore_migrations.web.access import Visitor, VisitorDep
from firestore_migrations.web.airflow import ApiRefusal, find_dag_run
from firestore_migrations.web.chart import points_of
from firestore_migrations.web.overview import table
from firestore_migrations.web.places import PLACES
from firestore_migrations.web.rendering import render
from firestore_migrations.web.run import RunPage, Search, Which, failures_of, plan_page, run_page, whole
from firestore_migrations.web.version import OnTarget, on_target, version_page

router = APIRouter()
WhichDep = Annotated[Which, Depends()]
SearchDep = Annotated[Search, Depends()]
FilterDep = Annotated[events.Filter, Depends()]
_SAID = {
    "paused": "The run is paused: it stops after the batches that are on their way.",
    "resumed": "The run goes on.",
    "cancelled": "The run is cancelled: it writes nothing more. What it has written stays.",
    "approved": "You approved the plan. Airflow goes on with it in a moment.",
    "rejected": "You rejected the plan. Nothing is written.",
    "answered": "The plan was answered before; that answer counts.",
    "unlocked": "The target was taken from its run, which writes nothing more; it is free in half a minute.",
    "free": "That run does not hold the target any more, so nothing was changed.",
}


@router.get("/")
def overview_page(request: Request, visitor: VisitorDep, state: str = "", said: str = "") -> HTMLResponse:
    """The versions on every target."""
    values = {"table": table(visitor, state), "state": state, "said": _SAID.get(said, "")}
    return render(request, "overview.html", {**values, **_may(visitor)})


@router.get("/overview")
def overview_table(request: Request, visitor: VisitorDep, state: str = "") -> HTMLResponse:
    """The table alone, for a page that is open."""
    return render(request, "_overview.html", {"table": table(visitor, state), "state": state, **_may(visitor)})


@router.get("/versions/{version}")
def one_version(request: Request, version: str, visitor: VisitorDep) -> HTMLResponse:
    """One version on every target."""
    page = version_page(version)
    is_known = page.migration is not None or any(on.runs or on.error for on in page.targets)
    if not is_known:
        raise UnknownVersion(f"There is no version {version}.", "Look at the table of all versions.")
    visitor.refuse_reading(page.dag_id)
    return render(request, "version.html", {"page": page, **_may(visitor, page.dag_id)})


@router.get("/runs/{target}/{version}/{run_id:path}")
def one_run(request: Request, which: WhichDep, visitor: VisitorDep, said: str = "") -> HTMLResponse:
    """One run, live."""
    return _run(request, visitor, which, "run.html", _SAID.get(said, ""))


@router.get("/live/{target}/{version}/{run_id:path}")
def live(request: Request, which: WhichDep, visitor: VisitorDep) -> HTMLResponse:
    """How far a run is, for a page that is open."""
    return _run(request, visitor, which, "_live.html")


@router.get("/plan/{target}/{version}/{run_id:path}")
def one_plan(request: Request, which: WhichDep, visitor: VisitorDep, wanted: SearchDep) -> HTMLResponse:
    """What a run would change."""
    page = _seen(visitor, which)
    values = {"page": page, "plan": plan_page(which, wanted), "wanted": wanted, "fields": _asked_besides(page)}
    return render(request, "plan.html", {**values, **_may(visitor, page.dag_id)})


@router.get("/failures/{target}/{version}/{run_id:path}")
def failures(request: Request, which: WhichDep, visitor: VisitorDep, wanted: SearchDep) -> HTMLResponse:
    """What failed in a run, and what was left alone."""
    page = _seen(visitor, which)
    found, more = failures_of(which, wanted)
    values = {"page": page, "failures": found, "more": more, "wanted": wanted}
    return render(request, "failures.html", {**values, **_may(visitor, page.dag_id)})


@router.get("/audit/{target}")
def audit_page(request: Request, target: str, visitor: VisitorDep, wanted: FilterDep, form: str = "") -> Response:
    """Who did what when; as a file where `form` is csv or json."""
    found = events.events(target, visitor, wanted)
    headers = {"Content-Disposition": f'attachment; filename="audit.{form}"'}
    if form == "csv":
        return StreamingResponse(events.as_csv(found), media_type="text/csv; charset=utf-8", headers=headers)
    if form == "json":
        return Response(events.as_json(found), media_type="application/json", headers=headers)
    return render(request, "audit.html", {"target": target, "wanted": wanted, "events": found, **_may(visitor)})


@router.get("/trigger/{dag_id}")
def trigger_form(request: Request, dag_id: str, visitor: VisitorDep) -> HTMLResponse:
    """The form that begins a run; the address may fill it."""
    asked = request.query_params
    values: dict[str, Any] = {name: asked[name] for name in params_of(dag_id) if name in asked}
    if "versions" in values:
        values["versions"] = asked.getlist("versions")
    if "redrive" in values:
        values["redrive"] = values["redrive"] == "true"
    return form_of(request, visitor, dag_id, Filled(values, forms.new_run_id()))


@router.get("/rollback/{target}/{version}")
def rollback_form(request: Request, target: str, version: str, visitor: VisitorDep) -> HTMLResponse:
    """What a rollback would take back, before it is begun."""

    def look(described: Target, reader: Reader) -> tuple[Standing, OnTarget]:
        return standing(version, Audit(Ledger(reader))), on_target(version)(described, reader)

    stands, on = PLACES.ask(target, look)
    name = "" if on.status is None else on.status.name
    dag_id = files.dag_id_of(version, name)
    visitor.refuse_reading(dag_id)
    runs = [(run_id, whole(stands.runs[run_id])) for run_id in stands.ups]
    total = {kind: sum(run["counts"][kind] for _, run in runs) for kind in (CREATED, UPDATED, DELETED)}
    documents = sum(total.values())
    usage = Usage(2 * documents, writes=total[UPDATED] + total[DELETED], deletes=total[CREATED])
    values = {
        "target": target,
        "version": version,
        "name": name,
        "dag_id": dag_id,
        "migration": files.migration_of(version),
        "refusal": next((action.refusal for action in on.actions if action.verb == ROLLBACK), ""),
        "runs": runs,
        "left": stands.left_by(stands.ups),
        "documents": documents,
        "price": configuration.prices().of(usage),
        "run_id": forms.new_run_id(),
    }
    return render(request, "rollback.html", {**values, **_may(visitor, dag_id)})


@router.get("/unlock/{target}")
def unlock_form(request: Request, target: str, visitor: VisitorDep) -> HTMLResponse:
    """Who holds a target, before it is taken away."""
    held = PLACES.ask(target, lambda _, reader: holder(Ledger(reader)))
    loser = RunName.of(held.run) if held is not None and held.run else None
    dag_id = "" if loser is None else files.dag_id_of(loser.version)
    if dag_id:
        visitor.refuse_reading(dag_id)
    values = {"target": target, "held": held, "loser": loser}
    return render(request, "unlock.html", {**values, **_may(visitor, dag_id)})


@router.get("/dags/{dag_id}/runs/{run_id:path}")
def of_dag_run(request: Request, dag_id: str, run_id: str, visitor: VisitorDep) -> HTMLResponse:
    """The tab of a DAG run: the run itself, or what there is to say of one that is no migration's."""
    visitor.refuse_reading(dag_id)
    migration = files.migration_of_dag(dag_id)
    found = find_dag_run(dag_id, run_id)
    if migration is None or found is None:
        return _of_another_dag(request, visitor, dag_id, run_id)
    target = str(found.conf.get("target") or PLACES.names()[0])
    return _run(request, visitor, Which(target, migration.version, run_id), "run.html")


@router.get("/dags/{dag_id}")
def of_dag(request: Request, dag_id: str, visitor: VisitorDep) -> HTMLResponse:
    """The tab of a DAG: its version, or what there is to say of one that is no migration's."""
    visitor.refuse_reading(dag_id)
    migration = files.migration_of_dag(dag_id)
    if migration is None:
        return _of_another_dag(request, visitor, dag_id, "")
    return one_version(request, migration.version, visitor)


@dataclass(frozen=True)
class Filled:
    """A form as it is to be shown.

    Attributes:
        values: of parameters; the others have their defaults.
        run_id: of the run that it begins.
        refusal: why Airflow did not take it; None where it was not sent yet.
    """

    values: Mapping[str, Any]
    run_id: str
    refusal: ApiRefusal | None = None


def params_of(dag_id: str) -> Mapping[str, Param]:
    """The parameters of a DAG that can be begun here."""
    if dag_id == rehearsal.DAG_ID:
        return rehearsal.make_params([migration.version for migration in files.discovered().migrations])
    if files.migration_of_dag(dag_id) is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"{dag_id} is no DAG of a migration.")
    return params.make_params()


def form_of(request: Request, visitor: Visitor, dag_id: str, filled: Filled) -> HTMLResponse:
    """The form that begins a run of a DAG; one that Airflow refused as it was sent, with the reason."""
    visitor.refuse_reading(dag_id)
    sections: dict[str, list[forms.Field]] = {}
    for field in forms.fields_of(params_of(dag_id), filled.values):
        sections.setdefault(field.section, []).append(field)
    values = {"dag_id": dag_id, "migration": files.migration_of_dag(dag_id), "sections": sections, "filled": filled}
    code = status.HTTP_200_OK if filled.refusal is None else filled.refusal.status
    return render(request, "trigger.html", {**values, **_may(visitor, dag_id)}, code)


def _seen(visitor: Visitor, which: Which) -> RunPage:
    """A run, if the visitor may see it."""
    page = run_page(which)
    visitor.refuse_reading(page.dag_id)
    return page


def _run(request: Request, visitor: Visitor, which: Which, template: str, said: str = "") -> HTMLResponse:
    page = _seen(visitor, which)
    points = points_of(page.progress.series)
    values = {"page": page, "points": points, "said": said, "fields": _asked_besides(page)}
    return render(request, template, {**values, **_may(visitor, page.dag_id)})


def _asked_besides(page: RunPage) -> list[forms.Field]:
    """The fields of the question about a window's plan, about other windows; none of any other."""
    window = (page.data or {}).get("window")
    if page.state != AWAITING_APPROVAL or window is None:
        return []
    return forms.fields_of(about_others(Window.recorded(window)), {})


def _of_another_dag(request: Request, visitor: Visitor, dag_id: str, run_id: str) -> HTMLResponse:
    """What there is to say of a DAG that is no migration's: of the rehearsal its results, else nothing."""
    found = []
    if dag_id == rehearsal.DAG_ID:
        results = configuration.rehearsals()
        migrations = files.discovered().migrations
        found = [(one, result) for one in migrations for result in of_checksum(results, one.checksum)]
        found = [pair for pair in found if run_id in ("", pair[1].id)]
        found.sort(key=lambda pair: pair[1].finished_at, reverse=True)
    values = {"dag_id": dag_id, "is_rehearsal": dag_id == rehearsal.DAG_ID, "rehearsals": found}
    return render(request, "other.html", {**values, **_may(visitor)})


def _may(visitor: Visitor, dag_id: str = "") -> dict[str, Any]:
    """Who looks, and what they may do with the runs of a DAG; without one, nothing."""
    may_trigger, may_tell = (visitor.may_trigger(dag_id), visitor.may_tell(dag_id)) if dag_id else (False, False)
    return {"visitor": visitor, "may_trigger": may_trigger, "may_tell": may_tell}

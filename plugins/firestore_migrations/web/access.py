"""Who looks at the page, and what they may do: by Airflow's login and Airflow's rules alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Request, status

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod


@dataclass(frozen=True)
class Visitor:
    """Somebody who is logged in to Airflow.

    Attributes:
        name: as Airflow knows them; it is what the audit keeps.
        user: Airflow's own object.
        credentials: headers that make a request to Airflow's API theirs.
    """

    name: str
    user: Any
    credentials: Mapping[str, str]

    def may_read(self, dag_id: str) -> bool:
        """Whether they may see the runs of a DAG."""
        return self._may("GET", dag_id)

    def may_trigger(self, dag_id: str) -> bool:
        """Whether they may begin a run of a DAG."""
        return self._may("POST", dag_id)

    def may_tell(self, dag_id: str) -> bool:
        """Whether they may change a run of a DAG: pause, resume or cancel it."""
        return self._may("PUT", dag_id)

    def readable(self, dag_ids: Iterable[str]) -> frozenset[str]:
        """Of these DAGs, those whose runs they may see."""
        return frozenset(dag_id for dag_id in dag_ids if self.may_read(dag_id))

    def refuse_reading(self, dag_id: str) -> None:
        """Answer 403 where they may not see the runs of a DAG."""
        if not self.may_read(dag_id):
            raise HTTPException(status.HTTP_403_FORBIDDEN, f"Your role may not see the runs of {dag_id}.")

    def refuse_telling(self, dag_id: str) -> None:
        """Answer 403 where they may not change a run of a DAG."""
        if not self.may_tell(dag_id):
            raise HTTPException(status.HTTP_403_FORBIDDEN, f"Your role may not change the runs of {dag_id}.")

    def _may(self, method: ResourceMethod, dag_id: str) -> bool:
        details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
        return bool(
            get_auth_manager().is_authorized_dag(
                method=method, access_entity=DagAccessEntity.RUN, details=details, user=self.user
            )
        )


def visitor(request: Request, user: GetUserDep) -> Visitor:
    """Who sends a request; without a login it is answered with 401."""
    credentials = {}
    if "authorization" in request.headers:
        credentials["Authorization"] = request.headers["authorization"]
    elif token := request.cookies.get(COOKIE_NAME_JWT_TOKEN):
        credentials["Authorization"] = f"Bearer {token}"
    return Visitor(str(user.get_name()), user, credentials)


VisitorDep = Annotated[Visitor, Depends(visitor)]


def refuse_other_sites(request: Request) -> None:
    """Answer 403 to a form that another site has sent with the visitor's cookie.

    Browsers say where a form comes from. A program that sends a token of its own, and no cookie, need not.
    """
    if "authorization" in request.headers:
        return
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    is_own = site == "same-origin" if site is not None else _is_own(origin, request.headers.get("host", ""))
    if not is_own:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This form was not sent from this page, so nothing was done.")


def _is_own(origin: str | None, host: str) -> bool:
    base = urlsplit(conf.get("api", "base_url", fallback="")).netloc
    return bool(origin) and urlsplit(str(origin)).netloc in {host, base} - {""}

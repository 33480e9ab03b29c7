"""A few requests to Airflow's REST API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from typing_extensions import Self

_HEALTHY = ("metadatabase", "scheduler", "dag_processor", "triggerer")


class AirflowApi:
    """Airflow's API as one user sees it; leaving its `with` block closes the connection.

    Nothing is sent before the first request.

    Args:
        url: like http://127.0.0.1:8080.
        user: who asks.
        password: of the user.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self._login = {"username": user, "password": password}
        self._client = httpx.Client(base_url=url, timeout=20, trust_env=False)  # never through a proxy

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def is_healthy(self) -> bool:
        """Whether every process of Airflow says that it works; False while nobody answers."""
        try:
            answer = self._client.get("/api/v2/monitor/health")
        except httpx.TransportError:
            return False
        if answer.status_code != httpx.codes.OK:
            return False
        health = answer.json()
        return all(health.get(name, {}).get("status") == "healthy" for name in _HEALTHY)

    def dags(self) -> set[str]:
        """The ids of our DAGs that Airflow knows by now."""
        found = self.request("GET", "/dags", params={"tags": "firestore-migrations"})
        return {dag["dag_id"] for dag in found["dags"]}

    def set_connection(self, name: str, kind: str, extra: Mapping[str, object]) -> None:
        """Add a connection."""
        self.request(
            "POST", "/connections", json={"connection_id": name, "conn_type": kind, "extra": json.dumps(extra)}
        )

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """One request, as the user.

        Raises:
            httpx.HTTPStatusError: it was refused.
        """
        if "Authorization" not in self._client.headers:
            token = self._client.post("/auth/token", json=self._login).raise_for_status().json()["access_token"]
            self._client.headers["Authorization"] = f"Bearer {token}"
        return self._client.request(method, f"/api/v2{path}", **arguments).raise_for_status().json()

"""Peers in Python: what teams write today with the official client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from google.cloud.firestore import SERVER_TIMESTAMP, Client

from benchmarks.contender import Contender
from benchmarks.workload import COLLECTION, CREATED_IN, Workload
from firestore_migrations.firestore.connection import Address

_PAGE = 500


def run(contender: Contender, workload: Workload, address: Address, way: str) -> None:
    """Migrate in one of the ways, as one phase."""
    os.environ["FIRESTORE_EMULATOR_HOST"] = str(address.emulator_host)
    client = Client(project=address.project)
    contender.timed("pass", lambda: {"loop": _loop, "pages": _pages}[way](client, workload))


def _loop(client: Client, workload: Workload) -> None:
    """One update after the other."""
    for snapshot in client.collection(COLLECTION).stream():
        reference, data = _change(client, workload, snapshot)
        reference.create(data) if workload.creates else reference.update(data)


def _pages(client: Client, workload: Workload) -> None:
    """Pages of 500, each written as one batch."""
    for page in _pages_of(client):
        batch = client.batch()
        for snapshot in page:
            reference, data = _change(client, workload, snapshot)
            batch.create(reference, data) if workload.creates else batch.update(reference, data)
        batch.commit()


def _pages_of(client: Client) -> Iterator[list[Any]]:
    query = client.collection(COLLECTION).order_by("__name__").limit(_PAGE)
    page = list(query.stream())
    while page:
        yield page
        page = list(query.start_after(page[-1]).stream())


def _change(client: Client, workload: Workload, snapshot: Any) -> tuple[Any, dict[str, Any]]:
    if workload.creates:
        zeros = {"totalInvoices": 0, "totalRevenue": 0.0, "averagePaymentTime": 0.0, "createdAt": SERVER_TIMESTAMP}
        return client.collection(CREATED_IN).document(snapshot.id), zeros
    snapshot.to_dict()
    return snapshot.reference, {"tier": "growth", "visits": 0}

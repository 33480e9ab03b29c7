"""Assets: each collection that a run has written becomes an event that other DAGs can follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias

from firestore_migrations.runs.run import Run

if TYPE_CHECKING:
    from airflow.sdk import Context

WRITTEN = AssetAlias("firestore_migrations")
"""The outlet of every version's task `finish`; its assets are known when the run has ended."""


def uri_of(run: Run, collection: str) -> str:
    """`firestore://project/database/collection`; ids of documents on the way to a deeper collection are `*`."""
    return f"firestore://{run.target.address.project}/{run.target.address.database}/{collection}"


def emit(context: Context, run: Run, result: dict[str, Any]) -> None:
    """Add an event for each collection that the run has written; the extra holds counts, never a document."""
    events = context["outlet_events"][WRITTEN]
    extra = {
        "version": run.version,
        "run": run.id,
        "direction": run.options.direction,
        "state": result["state"],
        "counts": result["counts"],
        "plan_digest": result["plan_digest"],
    }
    for collection in result["collections"]:
        uri = uri_of(run, collection)
        events.add(Asset(name=uri, uri=uri), extra=extra)

"""Outside: the documents of a scope that no window takes, for their field is missing or no timestamp."""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from google.cloud.firestore_v1.types import query as query_types

from firestore_migrations.errors import ConfigurationError
from firestore_migrations.firestore import filters
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.firestore.point_in_time import PointInTime
from firestore_migrations.firestore.scan import scope_query
from firestore_migrations.firestore.scope import Scope
from firestore_migrations.firestore.window import timestamps_of
from firestore_migrations.runs.run import Run
from firestore_migrations.runs.storage import Folder

_FILE = "outside.json"
_AUDIT_IDS = frozenset({"approvals", "runs", "batches", "failures", "events"})
_Aggregation = query_types.StructuredAggregationQuery.pb()


def count_outside(run: Run) -> int | None:
    """Count the documents that no window takes, of all steps together. Two aggregations a step, no document is read.

    Returns:
        None for a run without a window, or where the server's counts do not tell: of a collection under many parents,
        and of a scope whose filters the reader applies.
    """
    scopes = [step.scope for step in run.migration.steps if step.scope is not None]
    if run.window is None or not all(map(_is_countable, scopes)):
        return None
    with Reader(run.target.address) as reader, suppress(ConfigurationError):  # it may want an index of its own
        at = PointInTime(reader, reader.get(["_migrations/_lease"])[1])
        count = sum(_count(at, scope, []) - _count(at, scope, list(timestamps_of(scope))) for scope in scopes)
        run.folder.write_json(_FILE, {"documents": count, "reads": at.reads})
        return count
    return None


def reads_of_counting(folder: Folder) -> int:
    """What the count has cost, by the run's folder."""
    return int(folder.read_json(_FILE)["reads"]) if folder.has(_FILE) else 0


def described(run: Run, count: int | None) -> str:
    """What becomes of the documents that no window takes, for people."""
    fields = ", ".join(sorted({f"`{step.scope.window}`" for step in run.migration.steps if step.scope is not None}))
    sweep = f"A final run without a window, `firestore-migrations run {run.version}`, takes everything that is left."
    if count is None:
        return f"Documents without a timestamp in {fields} are in no window; they are not counted here. {sweep}"
    have = "document has" if count == 1 else "documents have"
    return f"**{count:,}** {have} no timestamp in {fields}, so no window takes them. {sweep}"


def _is_countable(scope: Scope) -> bool:
    is_exact = not scope.has_wildcard and not (scope.group and scope.collection in _AUDIT_IDS)
    return is_exact and all(condition.is_equality for condition in filters.conditions(scope.where))


def _count(at: PointInTime, scope: Scope, conditions: list[filters.Condition]) -> int:
    whole = replace(scope, interval=None)
    query = scope_query(whole, [*filters.conditions(scope.where), *conditions])
    query.ClearField("order_by")
    aggregation: Any = _Aggregation(structured_query=query)
    aggregation.aggregations.add(alias="count").count.SetInParent()
    return int(at.aggregate(scope.parent, aggregation)["count"].integer_value)

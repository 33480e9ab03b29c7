"""The policy of a target: what its connection asks of every run before it may write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any


@dataclass(frozen=True)
class Policy:
    """What a target asks for, and what it tells of itself that its data does not.

    Attributes:
        approval: whether a person approves each plan before it is applied.
        approvers: user ids of those who may; empty for everyone who may respond in Airflow.
        approval_timeout: how long a run waits for the answer; then it is rejected.
        approval_max_age: how long an approval holds until `apply` begins.
        rehearsal_max_age: a version is applied only with a passed rehearsal of the same checksum that is younger; None
            asks for none.
        rehearsal_of: the connection whose copy this database is; a rehearsal overwrites it. Empty: it holds data of
            its own, and no rehearsal touches it.
        refresh: how a rehearsal makes it that copy: `copy` (document by document) or `clone` (by Google's Admin API).
            Empty: a clone where there is an Admin API, else a copy.
        triggers: collections that functions are triggered by, as scopes name them.
        ttl_fields: `collection.field` of time-to-live policies, besides those that the Admin API tells.
        export_to: `gs://bucket/prefix` of a managed export before each run up; empty for none.
        defaults: options of a run that was triggered without them, by name.
    """

    approval: bool = False
    approvers: tuple[str, ...] = ()
    approval_timeout: timedelta = timedelta(days=1)
    approval_max_age: timedelta = timedelta(days=1)
    rehearsal_max_age: timedelta | None = None
    rehearsal_of: str = ""
    refresh: str = ""
    triggers: tuple[str, ...] = ()
    ttl_fields: tuple[str, ...] = ()
    export_to: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)

"""A record: what a document of the audit must hold to be understood. One that people altered is refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from firestore_migrations.errors import AuditAltered
from firestore_migrations.runs import status

Check = Callable[[Any], bool]
_STATES = status.DONE | status.TOUCHED | status.WRITING
_STATES |= {status.PENDING, status.PLANNED, status.AWAITING_APPROVAL, status.REJECTED, status.ROLLED_BACK}
_VERSION = re.compile("v[0-9]+")


def _is(*kinds: type) -> Check:
    return lambda value: isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds)


def _is_counts(value: Any) -> bool:
    return isinstance(value, dict) and {"scanned", "unchanged"} <= value.keys() and all(map(_is(int), value.values()))


_NONE = type(None)
_TEXT, _WHOLE, _NUMBER, _TIME = _is(str), _is(int), _is(int, float), _is(datetime)
_STATE: Check = _STATES.__contains__
_FIELDS: dict[str, dict[str, Check]] = {
    "lease": {"holder": _TEXT, "fence": _WHOLE, "expires_at": _TIME},
    "version": {"state": _STATE, "checksum": _TEXT, "rollout_percent": _NUMBER, "windows": _is(list)},
    "runs": {
        "state": _STATE,
        "direction": {"up", "down"}.__contains__,
        "mode": _TEXT,
        "checksum": _TEXT,
        "triggered_by": _TEXT,
        "plan_digest": _is(str, _NONE),
        "snapshot_uri": _is(str, _NONE),
        "plan_uri": _is(str, _NONE),
        "started_at": _TIME,
        "finished_at": _is(datetime, _NONE),
        "counts": _is_counts,
        "price": _NUMBER,
        "error": _is(str, _NONE),
    },
    "batches": {"shard": _WHOLE, "writes": _WHOLE, "drifted": _WHOLE},
    "failures": {"path": _TEXT, "step": _TEXT, "error": _TEXT, "state": {"open", "redriven"}.__contains__},
    "approvals": {
        "user": _TEXT,
        "target": _TEXT,
        "direction": _TEXT,
        "checksum": _TEXT,
        "from": _TIME,
        "to": _TIME,
        "most_writes": _WHOLE,
        "most_price": _NUMBER,
        "used_writes": _WHOLE,
        "used_price": _NUMBER,
        "given_at": _TIME,
        "expires_at": _TIME,
    },
    "events": {"at": _TIME, "task": _TEXT, "state": _STATE, "message": _TEXT},
}
"""By kind of document, the fields that something depends on; others may be there, and come with later versions."""


def refuse_altered(path: str, data: Mapping[str, Any]) -> None:
    """Refuse a document of the audit that lacks what something depends on, or has it in another type.

    Args:
        path: the document's.
        data: its fields.

    Raises:
        AuditAltered: naming document and field.
    """
    segments = path.split("/")
    if len(segments) == 2 and segments[1] == "_lease":
        kind = "lease"
    elif not _VERSION.fullmatch(segments[1]):
        raise AuditAltered(
            f"{path} is not of the audit: {segments[1]!r} is no version.", "Delete it, or move it away.", path=path
        )
    else:
        kind = "version" if len(segments) == 2 else segments[-2]
    for name, is_right in _FIELDS.get(kind, {}).items():
        if name not in data or not _holds(is_right, data[name]):
            fault = "is not what it was" if name in data else "is missing"
            raise AuditAltered(
                f"{path} was altered: its field {name} {fault}.",
                "Nothing was done. Put the field back as it was; the run's `events` tell what happened.",
                path=path,
                field=name,
            )


def _holds(is_right: Check, value: Any) -> bool:
    try:
        return is_right(value)
    except TypeError:  # a map or a list is no member of a set
        return False

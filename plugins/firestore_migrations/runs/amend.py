"""amend: changes a run's audit from outside of the run, with an event that says who did it and why.

Whoever amends need not have the migration's file: only states and facts of the run change, and the version's state
with them, never its name or checksum.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from firestore_migrations.firestore.scope import AUDIT_COLLECTION
from firestore_migrations.runs import status
from firestore_migrations.runs.ledger import Entry, Ledger
from firestore_migrations.runs.options import APPLY
from firestore_migrations.runs.run import instant
from firestore_migrations.runs.windows import marked

_HAS_WRITTEN = status.WRITING | {status.APPLIED, status.VERIFIED, status.ROLLED_BACK}
_PLANNING = frozenset({status.PLANNED, status.AWAITING_APPROVAL})


class RunName(NamedTuple):
    """Which run is meant."""

    version: str
    run_id: str

    @classmethod
    def of(cls, holder: str) -> RunName:
        """The run that a lease names, like `v001/manual__2026-01-01`."""
        version, _, run_id = holder.partition("/")
        return cls(version, run_id)

    @property
    def holder(self) -> str:
        """The run's name in the lease."""
        return f"{self.version}/{self.run_id}"

    @property
    def version_path(self) -> str:
        """The path of the version's audit document."""
        return f"{AUDIT_COLLECTION}/{self.version}"

    @property
    def path(self) -> str:
        """The path of the run's audit document."""
        return f"{self.version_path}/runs/{self.run_id}"


class Seen(NamedTuple):
    """A run as it was read. What is based on it fails where the run or its version was changed meanwhile.

    Attributes:
        name: the run.
        run: its audit document.
        version: its version's; None where there is none yet.
        at: the server's time, in microseconds.
    """

    name: RunName
    run: Entry
    version: Entry | None
    at: int


class Event(NamedTuple):
    """Why something changes: what is reported, by which verb, and by whom."""

    task: str
    message: str
    by: str


def event_path(run_path: str, at: int) -> str:
    """A new path for an event of a run."""
    return f"{run_path}/events/{at:016d}-{uuid.uuid4().hex[:8]}"


def event_write(  # noqa: PLR0913 -- what an event consists of
    ledger: Ledger, path: str, at: int, state: str, event: Event, facts: Mapping[str, Any] | None = None
) -> bytes:
    """The write that adds an event."""
    return ledger.create(path, {"at": instant(at), "state": state, **event._asdict(), **(facts or {})})


def look(ledger: Ledger, name: RunName) -> Seen | None:
    """Read a run and its version; None where there is no such run."""
    (run, version), at = ledger.get(name.path, name.version_path)
    return None if run is None else Seen(name, run, version, at)


def amendment(
    ledger: Ledger, seen: Seen, event: Event, state: str | None = None, changes: Mapping[str, Any] | None = None
) -> tuple[list[bytes], str]:
    """The writes that amend a run, and the path of the event among them, whose existence proves that they arrived.

    Args:
        ledger: of the target.
        seen: what they are based on.
        event: why.
        state: the run's new state; None leaves it.
        changes: other fields of the run's document.

    Raises:
        IllegalTransition: the state may not follow the present one.
    """
    name, before = seen.name, seen.run.data["state"]
    after = state or before
    status.check_transition(name.run_id, before, after)
    proof = event_path(name.path, seen.at)
    writes = [event_write(ledger, proof, seen.at, after, event)]
    if changes or after != before:
        writes.append(ledger.change(name.path, {**(changes or {}), "state": after}, seen.run))
    version_state = _version_state(seen, before, after)
    fields: dict[str, Any] = {}
    if seen.version is not None:
        fields = _windows(seen, after)
        if version_state != seen.version.data["state"]:
            fields |= {"state": version_state, "run": name.run_id}
    if fields:
        fields |= {"updated_at": instant(seen.at)}
        writes.append(ledger.change(name.version_path, fields, seen.version))
    return writes, proof


def _windows(seen: Seen, after: str) -> dict[str, Any]:
    """The version's windows, if the run's new state changes them."""
    windows = [] if seen.version is None else seen.version.data["windows"]
    data = seen.run.data
    if data["state"] == after or data["mode"] != APPLY or not data.get("rollout_percent"):
        return {}
    after_it = marked(windows, seen.name.run_id, data.get("window"), after)
    return {} if after_it == windows else {"windows": after_it}


def _version_state(seen: Seen, before: str, after: str) -> str:
    """What a step of the run means for its version: nothing, until the run has written."""
    version = {"state": status.PENDING, "run": ""} if seen.version is None else seen.version.data
    old = str(version["state"])
    if after == before:
        return old
    if after in status.WRITING or (after == status.FAILED and before in _HAS_WRITTEN):
        return after
    is_its_plan = version["run"] == seen.name.run_id and old in _PLANNING
    if is_its_plan and after in _PLANNING:
        return after
    return status.PENDING if is_its_plan and after in (status.FAILED, status.REJECTED) else old

"""Advice: what can be done with a version on a target now, the next safe thing first, each refusal with its reason.

The reasons are those of the gates themselves, asked as a run would ask them. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firestore_migrations.authoring.discovery import Discovered
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.errors import AuditAltered, NotRehearsed, Refused, StorageError
from firestore_migrations.runs import status
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.control import PAUSABLE, UNFINISHED
from firestore_migrations.runs.gates import check_gates
from firestore_migrations.runs.holder import holder
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.options import APPLY, DOWN, DRY_RUN, Options
from firestore_migrations.runs.overview import VersionStatus, overview
from firestore_migrations.runs.redrive import failed_before
from firestore_migrations.runs.run import Run, Target
from firestore_migrations.runs.standing import standing
from firestore_migrations.runs.storage import Folder

REHEARSE, PLAN, APPROVE, RUN, RESUME = "rehearse", "dry-run", "approve", "run", "resume"
REDRIVE, ROLLBACK, PAUSE, CANCEL = "redrive", "rollback", "pause", "cancel"
_MENDED = {
    status.CHANGED: "The file was edited after it was applied: take the edit back and write a new version for it, or "
    "accept it with `firestore-migrations repair {0}`.",
    status.MISSING: "It is applied, but its file is gone: restore it, or accept that with "
    "`firestore-migrations repair {0}`.",
    status.OUT_OF_ORDER: "It is pending behind a later version: roll that back, give this one the next free version, "
    "or, if its work is done, mark it with `firestore-migrations baseline {0}`.",
}


@dataclass(frozen=True)
class Action:
    """One thing that can be done.

    Attributes:
        verb: as on the command line.
        why: why it is the next thing to do; empty of every other.
        refusal: why it cannot be done now; empty where it can.
        run: the run that it is about; empty where it makes a new one.
    """

    verb: str
    why: str = ""
    refusal: str = ""
    run: str = ""

    def command(self, version: str) -> str:
        """What a person types to do it with a version, or where else they do it."""
        if self.verb == APPROVE:
            return f"run {self.run} is approved on the page of Airflow"
        return f"`firestore-migrations {self.verb} {version}`"


class Adviser:
    """Knows where every version stands on one target. It reads everything once: make a new one to look again.

    Args:
        target: which.
        ledger: of the target; it need not be able to write.
        discovered: the files.
        rehearsals: where the results of rehearsals are kept.

    Attributes:
        held: who holds the target; None where it is free.
        versions: where every version stands, in order.
    """

    def __init__(self, target: Target, ledger: Ledger, discovered: Discovered, rehearsals: Folder | None) -> None:
        self._target = target
        self._discovered = discovered
        self.held = holder(ledger)
        self._rehearsals = rehearsals
        self._audit = _Once(ledger)
        self.versions = overview(self._audit, discovered, self.held)
        names = {version.version: version.run for version in self.versions if version.run}
        entries, _ = ledger.get(*(RunName(*name).path for name in names.items())) if names else ([], 0)
        self._last = {name: entry.data for name, entry in zip(names, entries, strict=True) if entry is not None}

    def next(self, version: VersionStatus) -> Action | None:
        """The next safe thing to do with a version; None where there is nothing to do."""
        return next((action for action in self._wanted(version) if action.why), None)

    def obstacle(self, version: VersionStatus) -> str:
        """Why nothing can be done with a version that is not done; empty where something can, or need not."""
        if self.next(version) is not None:
            return ""
        if version.remark:
            return f"{version.remark[:1].upper()}{version.remark[1:]}."
        if version.state in _MENDED:
            return _MENDED[version.state].format(version.version)
        return next((action.refusal for action in self._wanted(version) if action.refusal), "")

    def actions(self, version: VersionStatus) -> tuple[Action, ...]:
        """Everything that can or cannot be done with a version now, the next safe thing first."""
        wanted = self._wanted(version)
        verbs = {action.verb for action in wanted}
        others = [
            Action(verb, refusal=self._refusal(version, verb))
            for verb in (REHEARSE, PLAN, RUN, REDRIVE, ROLLBACK)
            if verb not in verbs
        ]
        return tuple(sorted([*wanted, *others], key=lambda action: (not action.why, bool(action.refusal))))

    def _wanted(self, version: VersionStatus) -> list[Action]:
        """What a version's state asks for; the action with a `why` comes next."""
        state, run_id, data = version.state, version.run or "", self._last.get(version.version, {})
        if data.get("finished_at") is None and data.get("state") in UNFINISHED:
            return self._of_a_run_at_work(run_id, data)
        if state in (status.CHANGED, status.MISSING, status.OUT_OF_ORDER):
            return []
        if state == status.FAILED and not data.get("cancelled_by") and data.get("state") == status.FAILED:
            return [Action(RESUME, f"the run stopped: {data.get('error') or 'see its events'}", run=run_id)]
        if version.is_done:
            counts = data.get("counts", {})
            left = counts.get("failed", 0) + counts.get("conflicts", 0)
            refusal = self._refusal(version, REDRIVE) if left else ""
            return [Action(REDRIVE, f"{left:,} documents failed or were left alone")] if left and not refusal else []
        return self._of_what_is_pending(version, data)

    def _of_what_is_pending(self, version: VersionStatus, data: Mapping[str, Any]) -> list[Action]:
        refusal = self._refused(version, Options(mode=APPLY))
        if isinstance(refusal, NotRehearsed):
            return [Action(REHEARSE, refusal.what), Action(RUN, refusal=_said(refusal))]
        if refusal is not None:
            return [Action(RUN, refusal=_said(refusal))]
        if version.state == status.PARTIAL:
            return [Action(RUN, _how_far(version))]
        is_planned = data.get("mode") == DRY_RUN and data.get("state") == status.PLANNED
        if is_planned and data.get("checksum") == version.checksum:
            return [Action(RUN, f"run {version.run} has planned it: read its plan, then apply")]
        return [Action(PLAN, "nothing is written, and the plan says what would be")]

    def _of_a_run_at_work(self, run_id: str, data: Mapping[str, Any]) -> list[Action]:
        state = data["state"]
        cancel = Action(CANCEL, run=run_id)
        if state == status.PAUSED:
            return [Action(RESUME, "the run is paused", run=run_id), cancel]
        if state == status.AWAITING_APPROVAL:
            return [Action(APPROVE, "the run waits for a person to approve its plan", run=run_id), cancel]
        return [Action(PAUSE, run=run_id), cancel] if state in PAUSABLE else [cancel]

    def _refusal(self, version: VersionStatus, verb: str) -> str:
        """Why a verb would be refused; empty where it would not."""
        migration = self._migration(version)
        if migration is None:
            return f"the file of {version.version} is gone or cannot be used"
        if verb == REHEARSE:
            return "" if self._target.policy.rehearsal_max_age else f"{self._target.name} asks for no rehearsal"
        options = {
            PLAN: Options(mode=DRY_RUN),
            RUN: Options(mode=APPLY),
            REDRIVE: Options(redrive=True),
            ROLLBACK: Options(direction=DOWN),
        }
        refusal = self._refused(version, options[verb])
        return "" if refusal is None else _said(refusal)

    def _refused(self, version: VersionStatus, options: Options) -> Refused | AuditAltered | StorageError | None:
        migration = self._migration(version)
        if migration is None:
            return Refused(f"The file of {version.version} is gone or cannot be used.", "`firestore-migrations check`")
        run = Run(
            id="-",  # of no run that there is
            migration=migration,
            target=self._target,
            options=options,
            known=self._discovered.versions,
            checksums={found.version: found.checksum for found in self._discovered.migrations},
            rehearsals=self._rehearsals,
        )
        try:
            if options.redrive:
                failed_before(run, self._audit)
            check_gates(run, self._audit)
            if options.direction == DOWN and not standing(version.version, self._audit).ups:
                return Refused(
                    f"{version.version} has written nothing that could be taken back.",
                    f"`firestore-migrations history {version.version}` lists its runs.",
                )
            self._refuse_while_held()
        except (Refused, AuditAltered, StorageError) as refusal:
            return refusal
        return None

    def _refuse_while_held(self) -> None:
        if self.held is not None:
            raise Refused(
                f"Run {self.held.run} holds {self._target.name}." if self.held.run else f"{self.held.remark}.",
                "Wait for it, or end it.",
            )

    def _migration(self, version: VersionStatus) -> Migration | None:
        return next((found for found in self._discovered.migrations if found.version == version.version), None)


def _how_far(version: VersionStatus) -> str:
    """How much of a version that is partial is done: by its windows, where it has some."""
    if version.windows is None:
        return f"{version.rollout_percent:g} % of the documents are migrated"
    counts = {kind: len(windows) for kind, windows in version.windows.items()}
    gaps = f", {counts['missing']} missing between them" if counts["missing"] else ""
    return f"{counts['done']} windows are done{gaps}; a run without a window takes all that is left"


class _Once(Audit):
    """An audit that reads the versions, and the runs of each, once."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._versions: dict[str, dict[str, Any]] | None = None
        self._runs: dict[str, dict[str, dict[str, Any]]] = {}

    def versions(self, at: int | None = None) -> dict[str, dict[str, Any]]:
        if at is not None:
            return super().versions(at)
        if self._versions is None:
            self._versions = super().versions()
        return self._versions

    def runs(self, version: str) -> dict[str, dict[str, Any]]:
        if version not in self._runs:
            self._runs[version] = super().runs(version)
        return self._runs[version]


def _said(refusal: Refused | AuditAltered | StorageError) -> str:
    return f"{refusal.what} {refusal.next_step}".strip()

"""One version: what its file says, and everything that was done with it on every target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firestore_migrations import configuration
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.errors import FirestoreMigrationsError
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.runs.advice import Action, Adviser
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.holder import Holder
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.options import APPLY, UP
from firestore_migrations.runs.overview import VersionStatus
from firestore_migrations.runs.rehearsal import Rehearsal, of_checksum
from firestore_migrations.runs.run import Target
from firestore_migrations.web import files
from firestore_migrations.web.places import PLACES, Question
from firestore_migrations.web.run import whole


@dataclass(frozen=True)
class OnTarget:
    """A version on one target.

    Attributes:
        name: of the connection.
        target: None where it cannot be asked.
        error: why it cannot be asked.
        status: where the version stands; None where the target knows nothing of it.
        actions: what can and cannot be done, the next safe thing first.
        runs: their audit documents by id, the newest first.
        held: the run that holds the target.
    """

    name: str
    target: Target | None = None
    error: FirestoreMigrationsError | None = None
    status: VersionStatus | None = None
    actions: tuple[Action, ...] = ()
    runs: Mapping[str, Mapping[str, Any]] | None = None
    held: Holder | None = None


@dataclass(frozen=True)
class VersionPage:
    """All that the page of a version shows.

    Attributes:
        version: like `v001`.
        name: like `add_user_stats`.
        migration: None where its file is gone or cannot be used.
        targets: in the order of the configuration.
        checksums: every checksum that a run had: when it was seen first, and on how many runs.
        rehearsals: of these checksums, the newest first.
        rehearsal_error: why their results cannot be read; empty where they can.
    """

    version: str
    name: str
    migration: Migration | None
    targets: tuple[OnTarget, ...]
    checksums: Sequence[Mapping[str, Any]]
    rehearsals: Sequence[Rehearsal]
    rehearsal_error: str

    @property
    def dag_id(self) -> str:
        """Of the DAG that runs it."""
        return files.dag_id_of(self.version, self.name)

    @property
    def applied(self) -> list[tuple[str, str, Mapping[str, Any]]]:
        """Target, id and document of the runs up that were applied, to be compared with rehearsals."""
        return [
            (on.name, run_id, run)
            for on in self.targets
            for run_id, run in (on.runs or {}).items()
            if run["mode"] == APPLY and run["direction"] == UP and run["finished_at"]
        ]


def on_target(version: str) -> Question[OnTarget]:
    """What a target is asked about a version."""
    discovered = files.discovered()

    def look(target: Target, reader: Reader) -> OnTarget:
        ledger = Ledger(reader)
        adviser = Adviser(target, ledger, discovered, configuration.rehearsals())
        status = next((found for found in adviser.versions if found.version == version), None)
        runs = {run_id: whole(data) for run_id, data in reversed(Audit(ledger).runs(version).items())}
        actions = adviser.actions(status) if status else ()
        return OnTarget(target.name, target, status=status, actions=actions, runs=runs, held=adviser.held)

    return look


def version_page(version: str) -> VersionPage:
    """Ask every target about a version."""
    migration = files.migration_of(version)
    answers = PLACES.ask_all(PLACES.names(), on_target(version))
    targets = tuple(
        OnTarget(name, error=answer) if isinstance(answer, FirestoreMigrationsError) else answer
        for name, answer in answers.items()
    )
    names = [on.status.name for on in targets if on.status is not None]
    name = migration.name if migration else next(iter(names), "")
    checksums = _checksums(migration, targets)
    rehearsals, error = _rehearsals([found["checksum"] for found in checksums])
    return VersionPage(version, name, migration, targets, checksums, rehearsals, error)


def _checksums(migration: Migration | None, targets: Sequence[OnTarget]) -> list[dict[str, Any]]:
    """The checksums that the file has and had, the newest first."""
    found: dict[str, dict[str, Any]] = {}
    for on in targets:
        for run in (on.runs or {}).values():
            seen = found.setdefault(
                run["checksum"], {"checksum": run["checksum"], "first": run["started_at"], "runs": 0, "targets": set()}
            )
            seen["first"] = min(seen["first"], run["started_at"])
            seen["runs"] += 1
            seen["targets"].add(on.name)
    present = "" if migration is None else migration.checksum
    if present and present not in found:
        found[present] = {"checksum": present, "first": None, "runs": 0, "targets": set()}
    old = sorted((one for one in found.values() if one["first"]), key=lambda one: one["first"], reverse=True)
    return [*(one for one in found.values() if not one["first"]), *old]


def _rehearsals(checksums: Sequence[str]) -> tuple[list[Rehearsal], str]:
    try:
        results = configuration.rehearsals()
        found = [rehearsal for checksum in checksums for rehearsal in of_checksum(results, checksum)]
    except (FirestoreMigrationsError, ImportError, ValueError) as error:
        return [], str(error) if isinstance(error, FirestoreMigrationsError) else type(error).__name__
    return sorted(found, key=lambda rehearsal: rehearsal.finished_at, reverse=True), ""

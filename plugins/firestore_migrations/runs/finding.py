"""A finding: what one look at the data came to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs.failure import Failure

_MOST_LISTED = 1000


@dataclass
class Finding:
    """What one look at the data found.

    Attributes:
        residue: documents that the migration would still change.
        residue_applied: residue of earlier looks, which was applied.
        held: written documents that hold what was planned.
        changed_since: written documents that somebody changed afterwards.
        born_since: documents of a step that is not idempotent that are newer than the run; they are left alone.
        born: the paths of the first of them.
        checks: how many checks do not hold.
        failed_checks: the first of them.
        failures: documents that cannot be planned.
        reads: documents read.
    """

    residue: int = 0
    residue_applied: int = 0
    held: int = 0
    changed_since: int = 0
    born_since: int = 0
    born: list[str] = field(default_factory=list)
    checks: int = 0
    failed_checks: list[Failure] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    reads: int = 0

    def add_born(self, stored: Stored) -> None:
        """Count a document that is newer than the run, and name the first ones."""
        self.born_since += 1
        if len(self.born) < _MOST_LISTED:
            self.born.append(stored.path)

    def add_failed_checks(self, failed: Iterable[Failure]) -> None:
        """Count checks that do not hold, and name the first ones."""
        for failure in failed:
            self.checks += 1
            if len(self.failed_checks) < _MOST_LISTED:
                self.failed_checks.append(failure)

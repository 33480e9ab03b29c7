"""A rehearsal in a test: a source, a copy of it, and every version's run performed phase by phase in this process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from firestore_migrations.authoring.migration import Migration
from firestore_migrations.errors import FirestoreMigrationsError
from firestore_migrations.runs.policy import Policy
from firestore_migrations.runs.rehearsal import Rehearsal
from firestore_migrations.runs.rehearse import Rehearsing, rehearse
from firestore_migrations.runs.run import Target
from firestore_migrations.runs.storage import Folder
from tests.runs.world import World


class Stage:
    """Two databases of one project: what is rehearsed on, and its source."""

    def __init__(self, host: str, project: str, storage: Path) -> None:
        self.source = World(host, project, storage / "source")
        self.copy = World(host, project, storage / "copy", "rehearsal")
        self.results = Folder(storage / "rehearsals")
        self.production = Target(
            "production",
            self.source.address,
            storage / "source",
            environment="production",
            writes_per_second=0,
            policy=Policy(rehearsal_max_age=timedelta(days=7)),
        )
        self.target = Target(
            "rehearsal",
            self.copy.address,
            storage / "copy",
            writes_per_second=0,
            policy=Policy(rehearsal_of="production"),
        )

    def rehearse(
        self,
        *migrations: Migration,
        rehearsal_id: str = "night-1",
        meanwhile: Callable[[str, str], object] = lambda _version, _direction: None,
    ) -> dict[str, Rehearsal]:
        """Rehearse; `meanwhile` is called before each run of a version."""
        rehearsing = Rehearsing(rehearsal_id, self.production, self.target, self.results)

        def perform(version: str, direction: str, begins: Callable[[str], None]) -> None:
            migration = next(found for found in migrations if found.version == version)
            run_id = rehearsing.name_of(version, direction)
            begins(run_id)
            meanwhile(version, direction)
            life = self.copy.begin(
                migration,
                run_id=run_id,
                direction=direction,
                known=tuple(found.version for found in migrations),
            )
            life.run = replace(life.run, target=self.target)
            with suppress(FirestoreMigrationsError, ArithmeticError):
                life.perform("preflight", "finish")

        return {found.version: found for found in rehearse(rehearsing, migrations, perform)}

    def close(self) -> None:
        self.source.close()
        self.copy.close()

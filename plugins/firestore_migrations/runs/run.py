"""A run: one migration, one target, the options that it was triggered with, and where its files are."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from firestore_migrations.authoring.migration import Migration, Step
from firestore_migrations.firestore.scope import AUDIT_COLLECTION, Scope
from firestore_migrations.runs.options import DOWN, Options
from firestore_migrations.runs.policy import Policy
from firestore_migrations.runs.price import Prices
from firestore_migrations.runs.pulse import Pulse
from firestore_migrations.runs.storage import Folder
from firestore_migrations.runs.windows import Window

if TYPE_CHECKING:
    from firestore_migrations.firestore.connection import Address

VALUES, SHAPES, NONE = "values", "shapes", "none"


@dataclass(frozen=True)
class Target:
    """A Firestore database to migrate, as its Airflow connection describes it.

    Attributes:
        name: the connection's id.
        address: the database.
        storage: the root of snapshots and plans: a universal path.
        environment: `development`, `staging` or `production`.
        samples: what samples may show: `values`, `shapes` (types and lengths) or `none`.
        writes_per_second: a limit of the target's own; None for the 500/50/5 rule, 0 for no limit.
        policy: what it asks of every run.
    """

    name: str
    address: Address
    storage: Any
    environment: str = "development"
    samples: str = VALUES
    writes_per_second: float | None = None
    policy: Policy = field(default_factory=Policy)

    @property
    def _database(self) -> str:
        """The database id as a folder; no other id begins like the first one's."""
        return "_default" if self.address.database == "(default)" else self.address.database

    @property
    def folder(self) -> Folder:
        """The target's own folder of the storage."""
        return Folder(self.storage) / self.address.project / self._database


@dataclass(frozen=True)
class Run:
    """One run of one migration against one target.

    Attributes:
        id: the DAG run's id; also the audit document's.
        migration: what to run.
        target: where.
        options: how.
        known: every version of the folder, those of broken files too; the gates look at the neighbours.
        checksums: of the files that can be used, by version.
        dag_id: the DAG that runs it.
        triggered_by: who triggered it, as Airflow tells.
        prices: for the price.
        rehearsals: where the results of rehearsals are kept; None where nobody asks for them.
        waits: whether it waits for a target that another run holds, as the runs of a backfill do for each other.
        keeps_course: whether it goes on with the snapshot that it has: then `preflight`, which Airflow clears with
            whatever is cleared, must fix no other read time.
        now: what `db.now` gives; None for the run's read time, as it should be outside of tests.
        pulse: how far the task at work is, for whoever looks on.
    """

    id: str
    migration: Migration
    target: Target
    options: Options = field(default_factory=Options)
    known: tuple[str, ...] = ()
    checksums: Mapping[str, str] = field(default_factory=dict)
    dag_id: str = ""
    triggered_by: str = ""
    prices: Prices = field(default_factory=Prices)
    rehearsals: Folder | None = None
    waits: bool = False
    keeps_course: bool = False
    now: datetime | None = None
    pulse: Pulse = field(default_factory=Pulse, compare=False, repr=False)

    @property
    def version(self) -> str:
        """The migration's version."""
        return self.migration.version

    @property
    def is_down(self) -> bool:
        """Whether this run takes an earlier one back."""
        return self.options.direction == DOWN

    @property
    def path(self) -> str:
        """The path of the run's audit document."""
        return f"{AUDIT_COLLECTION}/{self.version}/runs/{self.id}"

    @property
    def holder(self) -> str:
        """The run's name in the lease."""
        return f"{self.version}/{self.id}"

    @property
    def writes_per_second(self) -> float | None:
        """The limit over all shards together; None for the 500/50/5 rule, 0 for none."""
        limit = self.options.max_writes_per_second
        return self.target.writes_per_second if limit is None else limit

    @property
    def folder(self) -> Folder:
        """The run's own folder of the storage."""
        return self.target.folder / self.version / self.id

    @property
    def asked(self) -> dict[str, Any]:
        """What the run is to do, as its audit document keeps it: other work is another run."""
        return {
            "direction": self.options.direction,
            "mode": self.options.mode,
            "rollout_percent": 0 if self.options.redrive else self.options.rollout_percent,
            "window": None if self.window is None else self.window.fields,
        }

    @property
    def again(self) -> str:
        """The command that makes a new run of the same documents."""
        window = "" if self.window is None else f" --set window={self.window}"
        return f"firestore-migrations run {self.version}{window}"

    @property
    def meant(self) -> str:
        """How `pause`, `resume` and `cancel` are told that it is meant: of windows there are several runs at once."""
        return self.version if self.window is None else f"{self.version} --run {self.id}"

    def of(self, run_id: str) -> Folder:
        """The folder of another run of the same version against the same target."""
        return self.target.folder / self.version / run_id

    def is_selected(self, path: str) -> bool:
        """Whether a document is within the rollout; the same documents stay within as the percentage grows."""
        return is_selected(path, self.options.rollout_percent)

    @property
    def window(self) -> Window | None:
        """The interval that it is for; None for the whole scope."""
        return Window.of(self.options.window) if self.options.window else None

    def scope_of(self, step: Step) -> Scope | None:
        """The documents of a step that this run is for; None of a script."""
        if step.scope is None or self.window is None:
            return step.scope
        return replace(step.scope, interval=(microseconds(self.window.start), microseconds(self.window.end)))

    def step(self, name: str) -> Step:
        """The migration's step of that name."""
        return self.migration.step(name)


def is_selected(path: str, percent: float) -> bool:
    """Whether a path is among the first `percent` of all paths in the order of their hashes."""
    if percent >= 100:
        return True
    digest = hashlib.blake2b(path.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < percent / 100 * 2**64


def is_spot_checked(path: str) -> bool:
    """Whether verify reads a document whole although its times tell that it is right: one in a hundred, by its path."""
    return zlib.crc32(path.encode()) % 100 == 0


def instant(microseconds: int) -> datetime:
    """The UTC time of microseconds since 1970."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, tz=timezone.utc).replace(microsecond=rest)


def microseconds(time: datetime) -> int:
    """Microseconds since 1970 of a time."""
    return (time - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)

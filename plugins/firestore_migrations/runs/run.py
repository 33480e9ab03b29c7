"""A run: one migration, one target, the options that it was triggered with, and where its files are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from firestore_migrations.authoring.migration import Migration, Step
from firestore_migrations.errors import ConfigurationError
from firestore_migrations.firestore.scope import AUDIT_COLLECTION
from firestore_migrations.runs.price import Prices
from firestore_migrations.runs.storage import Folder

if TYPE_CHECKING:
    from firestore_migrations.firestore.connection import Address

UP, DOWN = "up", "down"
DRY_RUN, APPLY = "dry_run", "apply"
VALUES, SHAPES, NONE = "values", "shapes", "none"
_MOST_DOCUMENTS = 10**15
_MOST_ROWS = 499  # and the audit record makes 500 writes, the most that a commit has always been allowed


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
    """

    name: str
    address: Address
    storage: Any
    environment: str = "development"
    samples: str = VALUES
    writes_per_second: float | None = None

    @property
    def _database(self) -> str:
        """The database id as a folder; no other id begins like the first one's."""
        return "_default" if self.address.database == "(default)" else self.address.database

    @property
    def folder(self) -> Folder:
        """The target's own folder of the storage."""
        return Folder(self.storage) / self.address.project / self._database


@dataclass(frozen=True)
class Options:
    """What a run was triggered with; every one has a default that is safe.

    Attributes:
        mode: `dry_run` ends after the plan; `apply` goes on.
        direction: `up`, or `down` to roll back.
        rollout_percent: how much of the scope, picked by a hash of the path.
        shards: into how many ranges of names a scope is cut, each a task of its own; 1 to 1,000.
        batch_size: documents in one atomic commit, at most; 1 to 500. The audit record is one write more, so a commit
            of 500 takes 499 documents.
        max_writes_per_second: over all shards together; None for the target's own limit.
        max_failures: failing documents that are tolerated: a count, or a share of the scanned ones like `1%`.
        budget: US dollars that the run may cost; None for any.
        sample: changed documents to show in the report.
        redrive: only the documents that failed in earlier runs of the version.
        undo: the one run that a run `down` takes back; empty for every run up that stands.
    """

    mode: str = APPLY
    direction: str = UP
    rollout_percent: float = 100
    shards: int = 1
    batch_size: int = 500
    max_writes_per_second: float | None = None
    max_failures: str | int = 0
    budget: float | None = None
    sample: int = 5
    redrive: bool = False
    undo: str = ""

    def __post_init__(self) -> None:
        for name in ("rollout_percent", "shards", "batch_size", "sample", "max_writes_per_second", "budget"):
            value = getattr(self, name)
            if not _is_number(value) and not (value is None and name in ("max_writes_per_second", "budget")):
                raise self._refusal(name, "is a number of 0 or more")
            if name in ("shards", "batch_size", "sample") and not isinstance(value, int):
                raise self._refusal(name, "is a whole number")
        problems = {
            "mode": self.mode not in (DRY_RUN, APPLY) and "is dry_run or apply",
            "direction": self.direction not in (UP, DOWN) and "is up or down",
            "rollout_percent": not 0 < self.rollout_percent <= 100 and "is above 0 and at most 100",
            "shards": not 1 <= self.shards <= 1000 and "is from 1 to 1000",
            "batch_size": not 1 <= self.batch_size <= 500 and "is from 1 to 500",
            "sample": not 0 <= self.sample <= 1000 and "is from 0 to 1000",
            "redrive": self._fault_of_redrive(),
            "undo": self._fault_of_undo(),
        }
        for name, problem in problems.items():
            if problem:
                raise self._refusal(name, problem)
        self.allowed_failures(0)

    def _fault_of_redrive(self) -> str:
        if not isinstance(self.redrive, bool):
            return "is true or false"
        return "is for a run up" if self.redrive and self.direction == DOWN else ""

    def _fault_of_undo(self) -> str:
        if not isinstance(self.undo, str):
            return "is the id of a run"
        return "names a run to take back, so direction is down" if self.undo and self.direction != DOWN else ""

    def _refusal(self, name: str, wanted: str) -> ConfigurationError:
        default = next(option.default for option in fields(self) if option.name == name)
        return ConfigurationError(
            f"Parameter {name} {wanted}, not {getattr(self, name)!r}.",
            f"Trigger the run again with a value that is, or without: then it is {default}.",
            param=name,
        )

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Options:
        """The options among a DAG run's parameters; the others are left to whoever they are for."""
        return cls(**{option.name: params[option.name] for option in fields(cls) if option.name in params})

    @property
    def rows_per_batch(self) -> int:
        """Rows of one commit."""
        return min(self.batch_size, _MOST_ROWS)

    def allowed_failures(self, scanned: int) -> int:
        """How many documents may fail among so many."""
        text = str(self.max_failures).strip()
        try:
            number = float(text.removesuffix("%"))
        except ValueError:
            number = -1
        if not 0 <= number <= (100 if text.endswith("%") else _MOST_DOCUMENTS):
            raise ConfigurationError(
                f"Parameter max_failures is a count or a percentage, not {self.max_failures!r}.",
                "Write it like 10 or 1%.",
                param="max_failures",
            )
        return int(scanned * number / 100) if text.endswith("%") else int(number)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


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
        now: what `db.now` gives; None for the run's read time, as it should be outside of tests.
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
    now: datetime | None = None

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

    def of(self, run_id: str) -> Folder:
        """The folder of another run of the same version against the same target."""
        return self.target.folder / self.version / run_id

    def is_selected(self, path: str) -> bool:
        """Whether a document is within the rollout; the same documents stay within as the percentage grows."""
        return is_selected(path, self.options.rollout_percent)

    def step(self, name: str) -> Step:
        """The migration's step of that name."""
        return self.migration.step(name)


def is_selected(path: str, percent: float) -> bool:
    """Whether a path is among the first `percent` of all paths in the order of their hashes."""
    if percent >= 100:
        return True
    digest = hashlib.blake2b(path.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < percent / 100 * 2**64


def instant(microseconds: int) -> datetime:
    """The UTC time of microseconds since 1970."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, tz=timezone.utc).replace(microsecond=rest)


def microseconds(time: datetime) -> int:
    """Microseconds since 1970 of a time."""
    return (time - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)

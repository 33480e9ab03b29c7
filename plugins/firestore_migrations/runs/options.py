"""The options of a run: what it was triggered with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from firestore_migrations.errors import ConfigurationError
from firestore_migrations.runs.windows import Window

UP, DOWN = "up", "down"
DRY_RUN, APPLY = "dry_run", "apply"
MAY_BE_EMPTY = frozenset(
    {
        "shards",
        "batch_size",
        "sample",
        "max_failures",
        "max_writes_per_second",
        "budget",
        "window",
        "undo",
        "without_rehearsal",
    }
)
"""Options that the trigger form can leave empty: only for these the target's defaults are asked."""
MOST_SHARDS = 1000
"""Of a run: Airflow maps a task 1,024 times at most, unless `[core] max_map_length` says otherwise."""
_MOST_DOCUMENTS = 10**15
_LEAST_REASON = 10
_MOST_ROWS = 499  # and the audit record makes 500 writes, the most that a commit has always been allowed


@dataclass(frozen=True)
class Options:
    """What a run was triggered with; every one has a default that is safe.

    Attributes:
        mode: `dry_run` ends after the plan; `apply` goes on.
        direction: `up`, or `down` to roll back.
        rollout_percent: how much of the scope, picked by a hash of the path.
        shards: into how many ranges of names a scope is cut, each a task of its own; 1 to 1,000. The scopes of several
            steps share the 1,000.
        batch_size: documents in one atomic commit, at most; 1 to 500. The audit record is one write more, so a commit
            of 500 takes 499 documents.
        max_writes_per_second: over all shards together; None for the target's own limit.
        max_failures: failing documents that are tolerated: a count, or a share of the scanned ones like `1%`.
        budget: US dollars that the run may cost; None for any.
        sample: changed documents to show in the report.
        redrive: only the documents that failed in earlier runs of the version.
        undo: the one run that a run `down` takes back; empty for every run up that stands.
        window: the interval of a run of a version whose steps have a window, like `2026-01-01/2026-02-01`: from the
            first instant on, up to but without the second; UTC where no zone is named. Empty for the whole scope.
        without_rehearsal: why this run is applied though its target asks for a rehearsal that there is not.
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
    window: str = ""
    without_rehearsal: str = ""

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
            "rollout_percent": self._fault_of_rollout(),
            "shards": not 1 <= self.shards <= MOST_SHARDS and "is from 1 to 1000",
            "batch_size": not 1 <= self.batch_size <= 500 and "is from 1 to 500",
            "sample": not 0 <= self.sample <= 1000 and "is from 0 to 1000",
            "redrive": self._fault_of_redrive(),
            "undo": self._fault_of_undo(),
            "without_rehearsal": self._fault_of_reason(),
            "window": self._fault_of_window(),
        }
        for name, problem in problems.items():
            if problem:
                raise self._refusal(name, problem)
        self.allowed_failures(0)

    def _fault_of_rollout(self) -> str:
        if not 0 < self.rollout_percent <= 100:
            return "is above 0 and at most 100"
        is_cut = self.window and self.rollout_percent < 100
        return "is 100 where there is a window, which a run takes whole" if is_cut else ""

    def _fault_of_redrive(self) -> str:
        if not isinstance(self.redrive, bool):
            return "is true or false"
        return "is for a run up" if self.redrive and self.direction == DOWN else ""

    def _fault_of_undo(self) -> str:
        if not isinstance(self.undo, str):
            return "is the id of a run"
        return "names a run to take back, so direction is down" if self.undo and self.direction != DOWN else ""

    def _fault_of_window(self) -> str:
        if not isinstance(self.window, str):
            return "is text like 2026-01-01/2026-02-01"
        if not self.window:
            return ""
        Window.of(self.window)
        return "is for a run up; take a window back by its run, with undo" if self.direction == DOWN else ""

    def _fault_of_reason(self) -> str:
        reason = self.without_rehearsal
        if not isinstance(reason, str) or 0 < len(reason.strip()) < _LEAST_REASON or (reason and not reason.strip()):
            return f"is a reason of at least {_LEAST_REASON} characters, or empty"
        return ""

    def _refusal(self, name: str, wanted: str) -> ConfigurationError:
        default = next(option.default for option in fields(self) if option.name == name)
        default = "empty" if default == "" else default
        return ConfigurationError(
            f"Parameter {name} {wanted}, not {getattr(self, name)!r}.",
            f"Trigger the run again with a value that is, or without: then it is {default}.",
            param=name,
        )

    @classmethod
    def of(cls, params: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Options:
        """The options among a DAG run's parameters; the others are left to whoever they are for.

        Args:
            params: of the DAG run; one that is None was left empty.
            defaults: the target's own, for those that were left empty.
        """
        given = {option.name: params[option.name] for option in fields(cls) if option.name in params}
        filled = {name: value for name, value in given.items() if value is not None or name not in MAY_BE_EMPTY}
        return cls(**{**(defaults or {}), **filled})

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

"""A failure: a document that could not be migrated, and why."""

from __future__ import annotations

from typing import NamedTuple

CONFLICT = "conflict"
INVALID = "InvalidArgument"
TOO_LARGE = "TooLarge"
"""How the errors begin that something depends on."""


class Failure(NamedTuple):
    """A document that could not be migrated.

    Attributes:
        path: the document that the step was called with; of a script, the one that it writes.
        step: the step's name.
        error: why, without values.
        row: in the plan; None where there is no row.
        task: that found it.
    """

    path: str
    step: str
    error: str
    row: int | None = None
    task: str = "dry_run"

    @property
    def call(self) -> tuple[str, str]:
        """The call of a step that failed: its name, and the document that it was called with."""
        return self.step, self.path

    @property
    def is_conflict(self) -> bool:
        """Whether somebody else's writes are the reason."""
        return self.error.startswith(CONFLICT)

    def joined_by(self, later: Failure) -> Failure:
        """The one record of what is wrong with a document, when there is more to say of it later."""
        if self.is_conflict and later.is_conflict and later.error not in self.error:
            return later._replace(task=self.task, error=f"{self.error}; {later.error}")
        return later._replace(task=self.task)

    @property
    def is_refused_by_the_server(self) -> bool:
        """Whether it could be planned, and not be written; to plan it again would change nothing."""
        return self.row is not None and self.error.startswith((INVALID, TOO_LARGE))

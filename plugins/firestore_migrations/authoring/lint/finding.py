"""A finding: what `check` has to say about one line of a migration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One place where a migration breaks a rule.

    Attributes:
        file: the migration.
        line: counted from 1; 1 where the whole file is meant.
        rule: its short name, as in `# noqa: clock - the date is a constant of the contract`.
        message: what is wrong there.
        remedy: what to write instead.
        level: `error` fails the check, `advice` does not.
    """

    file: Path
    line: int
    rule: str
    message: str
    remedy: str
    level: Literal["error", "advice"] = "error"

    @property
    def fails(self) -> bool:
        """Whether the check fails because of it."""
        return self.level == "error"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.message} {self.remedy}"

"""What came of planning some documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from firestore_migrations.authoring.drafts import Drafts
from firestore_migrations.runs.failure import Failure
from firestore_migrations.runs.plan import Row


@dataclass
class Planned:
    """What came of some documents: rows, failures, how many led to nothing, and what they are afterwards.

    Attributes:
        knows_others: whether a call has looked at, or written, another document than the one it was made with.
        depends_on_others: whether a call that has rows may depend on a document that it neither was made with nor
            writes.
        left: documents that pass the scope's filters no more afterwards.
        born: documents that the step adds to its own scope.
    """

    rows: list[Row] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    unchanged: int = 0
    after: dict[str, bytes | None] = field(default_factory=dict)
    knows_others: bool = False
    depends_on_others: bool = False
    left: int = 0
    born: int = 0

    def note(self, knowing: Mapping[str, Drafts]) -> None:
        """Note what calls of either pass know of other documents, by the documents they were made with."""
        if not knowing:
            return
        self.knows_others = True
        written: dict[str, list[str]] = {}
        for row in self.rows:
            written.setdefault(row.source, []).append(row.path)
        self.depends_on_others = self.depends_on_others or any(
            path in written and drafts.depends_on_others(written[path]) for path, drafts in knowing.items()
        )

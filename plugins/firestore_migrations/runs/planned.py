"""What came of planning some documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from firestore_migrations.authoring.drafts import Drafts
from firestore_migrations.runs.failure import Failure
from firestore_migrations.runs.plan import Row


@dataclass
class Facts:
    """What a plan tells of its calls besides the rows.

    Attributes:
        unchanged: documents that led to no write.
        left: documents that pass the scope's filters no more afterwards.
        born: documents that the step adds to its own scope.
        knows_others: whether a call has looked at, or written, another document than the one it was made with.
        depends_on_others: whether a call that has rows may depend on a document that it neither was made with nor
            writes.
    """

    unchanged: int = 0
    left: int = 0
    born: int = 0
    knows_others: bool = False
    depends_on_others: bool = False

    def add(self, other: Facts) -> None:
        """Hold for the calls of another one too."""
        self.unchanged += other.unchanged
        self.left += other.left
        self.born += other.born
        self.knows_others |= other.knows_others
        self.depends_on_others |= other.depends_on_others


@dataclass
class Planned(Facts):
    """What came of some documents.

    Attributes:
        rows: what is to be written.
        failures: of documents that could not be planned.
        after: what documents are afterwards, serialised, by path; None for one that goes.
        elsewhere: the same of documents that a call writes for which another call has the row already.
    """

    rows: list[Row] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    after: dict[str, bytes | None] = field(default_factory=dict)
    elsewhere: dict[str, bytes | None] = field(default_factory=dict)

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

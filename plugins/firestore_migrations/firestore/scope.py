"""A scope: which documents a step reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from firestore_migrations.errors import BadStep
from firestore_migrations.firestore.impossible import fault_of_path

_WILDCARD = re.compile(r"\{[^{}/]*\}")
AUDIT_COLLECTION = "_migrations"


@dataclass(frozen=True)
class Scope:
    """The documents of one collection, of the same collection under many parents, or of a collection group.

    Args:
        collection: `users`, `users/abc/invoices`, `users/{uid}/invoices` (a wildcard for a parent level), or
            with `group` the bare id of a collection at any depth.
        group: read every collection of that id.
        where: conditions that all must hold: `FieldFilter`s of the official client, or `(field, op, value)`.
        window: the timestamp field that a backfill's data interval is compared with.
        interval: microseconds since 1970: only documents whose window field is a timestamp from the first on, up to but
            without the second. None takes them all.
    """

    collection: str
    group: bool = False
    where: tuple[Any, ...] = ()
    window: str | None = None
    interval: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        segments = self.collection.split("/")
        if not all(segments):
            raise BadStep(
                f"{self.collection!r} is not a collection: it has an empty path segment.",
                "Write it like 'users' or 'users/{uid}/invoices'.",
            )
        if self.group and len(segments) != 1:
            raise BadStep(
                f"A collection group is named by its last id alone, not by {self.collection!r}.",
                f"Write each_document({segments[-1]!r}, group=True).",
            )
        if len(segments) % 2 == 0:
            raise BadStep(
                f"{self.collection!r} names a document, not a collection.",
                "A collection has an odd number of path segments, like 'users/{uid}/invoices'.",
            )
        if any(_WILDCARD.fullmatch(segment) for segment in segments[::2]):
            raise BadStep(
                f"{self.collection!r} has a wildcard in place of a collection id.",
                "A wildcard stands for a parent document, like 'users/{uid}/invoices'.",
            )
        fault = fault_of_path(segments)
        if fault:
            raise BadStep(f"{self.collection[:100]!r} is not a collection: {fault}.", "Choose another collection.")
        if segments[0] == AUDIT_COLLECTION:
            raise BadStep(
                f"{AUDIT_COLLECTION!r} is the audit trail; a migration cannot change it.",
                "Choose another collection.",
            )

    @property
    def collection_id(self) -> str:
        """The last segment: the collection's own id."""
        return self.collection.rsplit("/", 1)[-1]

    @property
    def has_wildcard(self) -> bool:
        """Whether a parent level is a wildcard."""
        return any(_WILDCARD.fullmatch(segment) for segment in self.collection.split("/"))

    @property
    def parent(self) -> str:
        """The deepest document path that all documents of the scope share; empty for the database itself."""
        segments = self.collection.split("/")[:-1]
        fixed: list[str] = []
        for collection, document in zip(segments[::2], segments[1::2], strict=True):
            if _WILDCARD.fullmatch(document):
                break
            fixed += [collection, document]
        return "/".join(fixed)

    def contains(self, path: str) -> bool:
        """Whether the document at `path` (relative to the database) lies in this scope, filters aside."""
        segments = path.split("/")
        if segments[0] == AUDIT_COLLECTION or len(segments) % 2:
            return False
        if self.group:
            return segments[-2] == self.collection
        wanted = self.collection.split("/")
        return len(segments) == len(wanted) + 1 and all(
            _WILDCARD.fullmatch(want) or want == have for want, have in zip(wanted, segments[:-1], strict=True)
        )

"""The fingerprint of a database: what proves that every document is what it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firestore_migrations.firestore.connection import Reader
from firestore_migrations.firestore.everything import everything
from firestore_migrations.firestore.relocate import relocated


@dataclass(frozen=True)
class Fingerprint:
    """One SHA-256 and one count for each top-level collection, over every document in and below it.

    It covers paths and fields to the last bit, but not the times of writing, and leaves the audit out. Two databases
    that hold the same documents have the same fingerprint: a reference into the database itself counts by its path.

    Attributes:
        digests: by collection.
        counts: of documents, by collection.
    """

    digests: Mapping[str, str]
    counts: Mapping[str, int]

    @property
    def documents(self) -> int:
        """All documents together."""
        return sum(self.counts.values())

    @property
    def digest(self) -> str:
        """One SHA-256 for all collections together."""
        return hashlib.sha256(json.dumps(self.digests, sort_keys=True).encode()).hexdigest()

    def differing(self, other: Fingerprint) -> tuple[str, ...]:
        """The collections that are not the same in the other one, in order."""
        names = self.digests.keys() | other.digests.keys()
        return tuple(sorted(name for name in names if self.digests.get(name) != other.digests.get(name)))

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Fingerprint:
        """The fingerprint that was written as JSON."""
        return cls(data["digests"], data["counts"])


def take_fingerprint(reader: Reader, read_time: int | None = None) -> Fingerprint:
    """Read every document once, at one read time. Writes nothing, and memory holds one document.

    Args:
        reader: of the database.
        read_time: microseconds since 1970; None for now.
    """
    if read_time is None:
        _, read_time = reader.get(["_migrations/_lease"])
    root = reader.full_name("")
    hashes: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for stored in everything(reader, read_time):
        collection = stored.path.partition("/")[0]
        content = relocated(stored.raw, root, "").SerializeToString(deterministic=True)
        digest = hashes.setdefault(collection, hashlib.sha256())
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
        counts[collection] = counts.get(collection, 0) + 1
    return Fingerprint({name: digest.hexdigest() for name, digest in hashes.items()}, counts)

"""Copy: make one database hold exactly the documents that another one held at one instant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.connection import Reader, Writer, patiently
from firestore_migrations.firestore.everything import everything
from firestore_migrations.firestore.ordering import name_key
from firestore_migrations.firestore.relocate import relocated

_COMMIT_TIMEOUT = 60.0
_MOST_WRITES = 500
_SHARE_OF_LIMIT = 0.9
"""Of the largest request: what frames the writes needs some room too."""


@dataclass(frozen=True)
class Copied:
    """What a copy came to.

    Attributes:
        documents: that the source held.
        written: of those, the ones that the copy did not hold alike.
        removed: documents that only the copy held.
        read_time: of the source, in microseconds since 1970.
    """

    documents: int
    written: int
    removed: int
    read_time: int


def copy_documents(source: Reader, copy: Writer) -> Copied:
    """Make the copy's documents what the source's were at one read time. The source is only read.

    Both databases are read side by side, in the order of names, so memory holds one commit; what is alike already is
    not written. References into the source lead into the copy. The audit is left alone. Safe to run again.

    Args:
        source: what to copy.
        copy: what to overwrite; nobody else may write to it meanwhile.
    """
    _, read_time = source.get(["_migrations/_lease"])
    _, now = copy.get(["_migrations/_lease"])
    from_root, to_root = source.full_name(""), copy.full_name("")
    commits = Commits(copy)
    documents = written = removed = 0
    for wanted, present in _side_by_side(everything(source, read_time), everything(copy, now)):
        if wanted is None:
            if present is not None:
                commits.add(wire.Write(delete=to_root + present.path).SerializeToString())
                removed += 1
            continue
        documents += 1
        document = relocated(wanted.raw, from_root, to_root)
        if present is None or relocated(present.raw, to_root, to_root) != document:
            commits.add(wire.Write(update=document).SerializeToString())
            written += 1
    commits.send()
    return Copied(documents, written, removed, read_time)


class Commits:
    """Collects writes that may arrive twice without harm, and commits as many at once as a request takes."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._writes: list[bytes] = []
        self._bytes = 0

    def add(self, write: bytes) -> None:
        """Add a write; those before it may be sent first."""
        limit = self._writer.address.request_limit * _SHARE_OF_LIMIT
        if self._writes and (len(self._writes) == _MOST_WRITES or self._bytes + len(write) > limit):
            self.send()
        self._writes.append(write)
        self._bytes += len(write)

    def send(self) -> None:
        """Commit what was added, until it has arrived.

        Raises:
            Unavailable: the server does not answer.
        """
        if self._writes:
            patiently(lambda: self._writer.commit(self._writes, _COMMIT_TIMEOUT), "write a copy")
        self._writes, self._bytes = [], 0


def _side_by_side(
    left: Iterator[wire.Stored], right: Iterator[wire.Stored]
) -> Iterator[tuple[wire.Stored | None, wire.Stored | None]]:
    """Pairs of the documents of one path, None where one side has none; both come in the order of names."""
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        order = _compare(one, other)
        yield (one if order <= 0 else None), (other if order >= 0 else None)
        if order <= 0:
            one = next(left, None)
        if order >= 0:
            other = next(right, None)


def _compare(one: wire.Stored | None, other: wire.Stored | None) -> int:
    """Which comes first: below 0 the one, above 0 the other, 0 for the same path."""
    if one is None or other is None:
        return 1 if one is None else -1
    left, right = name_key(one.path), name_key(other.path)
    return int(left > right) - int(left < right)

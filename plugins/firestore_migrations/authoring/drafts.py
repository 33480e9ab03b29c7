"""Drafts: the documents that one call of a step touches, and what they become.

Recording is lazy. A write to a document that nobody has read yet waits in a list; the planner then reads the documents
of many calls at once, plays the lists, and asks each draft for its change.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from firestore_migrations.authoring.client.overlay import Overlay
from firestore_migrations.errors import DocumentError
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.change import Change, change_of
from firestore_migrations.firestore.codec import Codec
from firestore_migrations.firestore.document import Document
from firestore_migrations.firestore.impossible import fault_of_path
from firestore_migrations.firestore.point_in_time import PointInTime
from firestore_migrations.firestore.scope import AUDIT_COLLECTION

Recorded = Callable[[Document], None]
_REMEMBERED_DOCUMENTS = 20_000
_REMEMBERED_BYTES = 64 * 1024 * 1024


class Base:
    """The stored documents that drafts start from, read once and remembered for a while.

    Args:
        at: the database at the run's read time.
        codec: of that database.
        planned: documents that the plan has already changed, serialised, by path; None for one it deletes. The second
            pass of a dry run sees these.
    """

    def __init__(self, at: PointInTime, codec: Codec, planned: Mapping[str, bytes | None] | None = None) -> None:
        self.at = at
        self.codec = codec
        self.planned = {} if planned is None else planned
        self._seen: dict[str, Any] = {}  # of the planned, those that were asked for
        self._remembered: dict[str, Any] = {}
        self._overlay: Overlay | None = None
        self._overlay_size = 0

    def __getitem__(self, path: str) -> Any:
        """The protobuf document at a path, or None."""
        if path in self.planned:
            if path not in self._seen:
                self._seen[path] = wire.document_of(self.planned[path])
            return self._seen[path]
        if path not in self._remembered:
            self.fetch([path])
        stored = self._remembered[path]
        if type(stored) is wire.Stored:
            stored = self._remembered[path] = wire.Document.FromString(stored.raw)
        return stored

    def fetch(self, paths: Iterable[str]) -> None:
        """Read, in as few requests as possible, those of the paths that are not known yet."""
        asked = [path for path in paths if path not in self.planned]
        wanted = [path for path in asked if path not in self._remembered]
        if not wanted:
            return
        if len(self._remembered) + len(wanted) > _REMEMBERED_DOCUMENTS:
            kept = {path: self._remembered[path] for path in asked if path in self._remembered}
            self._remembered.clear()
            self._remembered.update(kept)
        self._remembered.update(self.at.get(wanted))

    def remember(self, stored: wire.Stored) -> None:
        """Keep a document that a query has read, so that writing to it reads it no second time."""
        if len(stored.raw) > _REMEMBERED_BYTES // _REMEMBERED_DOCUMENTS:
            return
        if len(self._remembered) >= _REMEMBERED_DOCUMENTS:
            self._remembered.clear()
        self._remembered[stored.path] = stored

    @property
    def overlay(self) -> Overlay:
        """What queries must know of the planned documents."""
        if self._overlay is None or self._overlay_size != len(self.planned):
            self._overlay = Overlay(list(self.planned), self.__getitem__, lambda _: None)
            self._overlay_size = len(self.planned)
        return self._overlay

    def over(self, planned: Mapping[str, bytes | None]) -> Base:
        """The same documents with the planned ones laid over them."""
        base = Base(self.at, self.codec, planned)
        base._remembered = self._remembered
        return base


class Drafts:
    """What one call of a step reads and records.

    Args:
        base: where documents come from.
        stamp: the protobuf timestamp that stands for the server's time in after-images.
        salt: what the automatic ids of this call are made from, besides the collection: version, step, document.
    """

    def __init__(self, base: Base, stamp: Any, salt: str = "") -> None:
        self._base = base
        self._stamp = stamp
        self._salt = salt
        self._automatic: dict[str, int] = {}
        self._log: list[str] = []
        self._own: list[str] = []
        self._overlay: Overlay | None = None
        self._documents: dict[str, Document] = {}
        self._waiting: dict[str, list[Recorded]] = {}
        self._handed_out: list[Document] = []
        self._beyond_creation: set[str] = set()
        self._looked_at: set[str] = set()
        self._looks_around = False
        self._settled: dict[str, Change | None] = {}

    def own(self, stored: wire.Stored) -> Document:
        """The document that the step is called with."""
        path, raw = stored.path, stored.raw
        document = self._documents[path] = Document(path, self._base.codec, wire.Document.FromString(raw), raw)
        self._own.append(path)
        return document

    def checked(self, path: Any) -> str:
        """The path, relative to the database, of a document that an author names by a path or a reference.

        Raises:
            DocumentError: it names no document, a document of another database, or one of the audit.
        """
        if hasattr(path, "_document_path"):
            full_name = path._document_path  # noqa: SLF001 -- the official client has no public name for it
            path = full_name.split("/documents/", 1)[1]
            if full_name != self._base.codec.full_name(path):
                raise DocumentError(
                    f"{path} is a document of another database; a migration writes to its own.",
                    "Name it by its path.",
                )
        if not isinstance(path, str):
            raise DocumentError(f"A document is named by its path, not by {type(path).__name__}.", 'Like "users/abc".')
        segments = path.split("/")
        if len(segments) % 2 or not all(segments):
            raise DocumentError(
                f"A text of {len(segments)} segments is not the path of a document.",
                "A path has an even number of segments, like 'users/abc'.",
            )
        fault = fault_of_path(segments)
        if fault:
            raise DocumentError(f"A document below {segments[0][:100]!r} cannot be: {fault}.", "Choose another id.")
        if segments[0] == AUDIT_COLLECTION:
            raise DocumentError(
                f"{path!r} belongs to the audit trail; a migration cannot change it.", "Leave it alone."
            )
        return path

    def record(self, path: str, write: Recorded, *, if_missing: bool = False) -> None:
        """Record a write: played at once on a document that is already a draft, later on any other."""
        if not if_missing:
            self._beyond_creation.add(path)
        self._log.append(path)
        if path in self._documents:
            write(self._documents[path])
        else:
            self._waiting.setdefault(path, []).append(write)

    def read(self, path: str) -> Document | None:
        """A frozen view of a document as it is after what was recorded; None where it is missing."""
        after = self.current(path)
        if after is None:
            return None
        view = Document(path, self._base.codec, after, is_frozen=True)
        self._handed_out.append(view)
        return view

    def current(self, path: str) -> Any:
        """The protobuf document at a path after what was recorded; None where it is missing."""
        self._looked_at.add(path)
        return self.after(path) if path in self._waiting or path in self._documents else self._base[path]

    def fetch(self, paths: Iterable[str]) -> None:
        """Read, in as few requests as possible, what `current` will need."""
        self._base.fetch(path for path in paths if path not in self._documents)

    def automatic_id(self, collection: str) -> str:
        """The next id for a document that the author gives none; the same ids whenever the same call is made."""
        number = self._automatic[collection] = self._automatic.get(collection, 0) + 1
        seed = "\0".join([self._salt, *self._own, collection, str(number)])
        return base64.b32encode(hashlib.sha256(seed.encode()).digest()).decode()[:20]

    @property
    def overlay(self) -> Overlay:
        """What queries must know of the drafts."""
        if self._overlay is None:
            self._overlay = Overlay(self._log, self.after, self._fetch_waiting, self._own)
        return self._overlay

    def after(self, path: str) -> Any:
        """The protobuf document that a draft has become; None where it is missing."""
        if path in self._waiting:
            self._play(path)
        document = self._documents[path]
        change = change_of(document, self._stamp)
        return document._stored if change is None else wire.document_of(change.after)  # noqa: SLF001

    def is_only_created(self, path: str) -> bool:
        """Whether nothing was asked of a document but that it be there."""
        return path not in self._beyond_creation

    def look_around(self) -> None:
        """The call may ask for any documents from now on."""
        self._looks_around = True

    @property
    def knows_others(self) -> bool:
        """Whether the call has looked at, or written, any document but the step's own."""
        may = self._waiting or self._looked_at or self._looks_around or len(self._documents) > len(self._own)
        return bool(may) and self.depends_on_others(())

    def depends_on_others(self, written: Collection[str]) -> bool:
        """Whether what the call came to may depend on a document that is neither the step's own nor one of these."""
        known = {*self._own, *written}
        asked = self._waiting.keys() <= known and self._documents.keys() <= known and self._looked_at <= known
        return self._looks_around or not asked

    @property
    def waiting(self) -> Iterable[str]:
        """The paths whose stored documents the recorded writes wait for."""
        return self._waiting

    @property
    def paths(self) -> set[str]:
        """Every path that was written to, or is the step's own."""
        return {*self._documents, *self._waiting}

    def base(self, path: str) -> Any:
        """The protobuf document that a draft started from, or None."""
        return self._documents[path]._stored if path in self._documents else self._base[path]  # noqa: SLF001

    def settle(self) -> None:
        """Work out now what became of the documents at hand: the next call may change a value that both share.

        Raises:
            InvalidValue: a value that Firestore cannot hold.
        """
        self._settled = {path: change_of(document, self._stamp) for path, document in self._documents.items()}

    def changes(self) -> list[tuple[str, Any, Change]]:
        """Play what waits; path, stored document and change of each draft that differs from what is stored.

        Raises:
            DocumentError: a recorded write is impossible, or a document from `db.get()` was changed in place.
            InvalidValue: a value that Firestore cannot hold.
        """
        if self._waiting:
            self._base.fetch(self._waiting)
            for path in list(self._waiting):
                self._play(path)
        for view in self._handed_out:
            if change_of(view, self._stamp) is not None:
                raise DocumentError(
                    f"{view.path} was read through db.get() and then changed in place; nothing records that.",
                    f'Write db.update("{view.path}", {{...}}) instead.',
                    path=view.path,
                )
        changes = []
        for path, document in self._documents.items():
            change = self._settled[path] if path in self._settled else change_of(document, self._stamp)
            if change is not None:
                changes.append((path, document._stored, change))  # noqa: SLF001
        return changes

    def _fetch_waiting(self, paths: Iterable[str]) -> None:
        self._base.fetch(path for path in paths if path in self._waiting)

    def _play(self, path: str) -> None:
        document = self._documents[path] = Document(path, self._base.codec, self._base[path])
        for write in self._waiting.pop(path):
            write(document)

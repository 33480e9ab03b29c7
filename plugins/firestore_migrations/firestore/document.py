"""A document, as a migration sees it: a lazy, changeable view on the stored protobuf.

A field is decoded when it is first read, and never before. What was assigned, or was read and can change in place, is
encoded again when the plan is made and compared with what is stored; the fields that are really different become the
write. All other bytes stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from firestore_migrations.errors import DocumentError
from firestore_migrations.firestore.sentinels import DELETE_FIELD

if TYPE_CHECKING:
    from firestore_migrations.firestore.codec import Codec

ATOMS = frozenset({type(None), bool, int, float, str, bytes, datetime})
"""Types of values that nothing lies in, and that nobody can change in place."""
_GONE = object()


class _Stored(NamedTuple):
    """A field's stored value that was moved without being decoded."""

    value: Any


def _copy(value: Any) -> Any:
    """The same value, its maps and arrays copied all the way down."""
    if isinstance(value, dict):
        return {name: _copy(item) for name, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


class Document(MutableMapping[str, Any]):
    """The fields of one document by name, in the Python types of the official client.

    Nested maps and arrays are plain `dict` and `list`; they read and change in place. A key is a field's own name:
    a dot in it is part of the name. Fields come in the order of their names.
    """

    __slots__ = ("_codec", "_exists", "_is_frozen", "_path", "_raw", "_read", "_stored", "_touched")
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, path: str, codec: Codec, stored: Any = None, raw: bytes | None = None, *, is_frozen: bool = False
    ) -> None:
        self._path = path
        self._codec = codec
        self._stored = stored
        self._raw = raw  # of `stored`, where it is at hand
        self._exists = stored is not None
        self._touched: dict[str, Any] = {}  # assigned, or read and able to change in place
        self._read: dict[str, Any] = {}  # the others that were read
        self._is_frozen = is_frozen

    @property
    def id(self) -> str:
        """The last segment of the path."""
        return self._path.rsplit("/", 1)[-1]

    @property
    def path(self) -> str:
        """The path, relative to the database, like `users/abc`."""
        return self._path

    @property
    def reference(self) -> Any:
        """The official client's `DocumentReference`; it can be stored and compared, and it can only read."""
        return self._codec.reference(self._full_name)

    @property
    def create_time(self) -> datetime | None:
        """When the document was created; None for one that does not exist yet."""
        return None if self._stored is None else self._codec.time(self._stored.create_time)

    @property
    def update_time(self) -> datetime | None:
        """When the document was last changed; None for one that does not exist yet."""
        return None if self._stored is None else self._codec.time(self._stored.update_time)

    def __getitem__(self, name: str) -> Any:
        if name not in self._touched:
            return self._read[name] if name in self._read else self._decoded(name)
        value = self._touched[name]
        if value is _GONE:
            raise KeyError(name)
        if type(value) is _Stored:
            value = self._touched[name] = self._codec.decode(value.value)
        return value

    def _decoded(self, name: str) -> Any:
        stored = self._field(name)
        if stored is None:
            raise KeyError(name)
        value = self._codec.decode(stored)
        is_fixed = type(value) in ATOMS or isinstance(value, datetime)
        (self._read if is_fixed else self._touched)[name] = value
        return value

    def _field(self, name: str) -> Any | None:
        """The stored value of a field; None where it is absent, as every name is that is not Unicode text."""
        try:
            return None if self._stored is None else self._stored.fields.get(name)
        except UnicodeEncodeError:
            return None

    def __setitem__(self, name: str, value: Any) -> None:
        if self._is_frozen:
            self._refuse_change()
        if not isinstance(name, str):
            raise DocumentError(
                f"A field's name is a str, not {type(name).__name__} ({self._path}).", "Use str(name) as the key."
            )
        self._touched[name] = _GONE if type(value) not in ATOMS and self._codec.is_delete(value) else value

    def __delitem__(self, name: str) -> None:
        if self._is_frozen:
            self._refuse_change()
        if name not in self:
            raise KeyError(name)
        self._touched[name] = _GONE

    def __contains__(self, name: object) -> bool:
        if name in self._touched:
            return self._touched[name] is not _GONE
        return isinstance(name, str) and self._field(name) is not None

    def __iter__(self) -> Iterator[str]:
        names = set(self._touched)
        if self._stored is not None:
            names.update(self._stored.fields)
        return iter(sorted(name for name in names if self._touched.get(name) is not _GONE))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<Document {self._path}>"

    def clear(self) -> None:
        """Remove every field; none is decoded for it."""
        if self._is_frozen:
            self._refuse_change()
        stored = () if self._stored is None else self._stored.fields
        self._touched = dict.fromkeys([*self._touched, *stored], _GONE)

    def rename(self, old: str, new: str) -> None:
        """Move a field to another name, its value untouched and undecoded.

        Nothing happens where `old` is missing, so renaming twice is renaming once.

        Raises:
            DocumentError: both fields exist, and one of the two values would be lost.
        """
        if old == new or old not in self:
            return
        if new in self:
            raise DocumentError(
                f"{self._path} has both {old!r} and {new!r}: renaming would lose one of them.",
                f"Decide which one counts and delete the other first, like del document[{new!r}].",
                path=self._path,
            )
        value = self._touched.get(old)
        self[new] = _Stored(self._stored.fields[old]) if old not in self._touched else value
        del self[old]

    def to_dict(self) -> dict[str, Any]:
        """All fields as they are now, in containers of their own: changing the dict does not change the document."""
        return {name: _copy(value) for name, value in self.items()}

    def _refuse_change(self) -> NoReturn:
        raise DocumentError(
            f"{self._path} was read through db.get() and cannot be changed in place.",
            f'Record the change with db.update("{self._path}", {{...}}).',
            path=self._path,
        )

    # What the planner asks; authors have no use for it.

    @property
    def _full_name(self) -> str:
        """The resource name."""
        return self._codec.full_name(self._path)

    def _remove(self) -> None:
        """Let the document itself go away."""
        self.clear()
        self._exists = False

    def _revive(self) -> None:
        """Let the document exist, with the fields that it is given."""
        self._exists = True

    def _changes(self) -> dict[str, Any]:
        """The fields that may differ: DELETE_FIELD, a Python value, or a stored one that was moved."""
        return {
            name: DELETE_FIELD if value is _GONE else value.value if type(value) is _Stored else value
            for name, value in self._touched.items()
        }

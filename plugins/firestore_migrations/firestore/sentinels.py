"""Values that stand for a change: what an author assigns where the new value is not yet known.

The official client's sentinels of the same names are understood too; these load nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from firestore_migrations.errors import InvalidValue


class _Sentinel:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __copy__(self) -> _Sentinel:
        return self

    def __deepcopy__(self, memo: Any) -> _Sentinel:
        return self


SERVER_TIMESTAMP = _Sentinel("SERVER_TIMESTAMP")
"""The server's time when the write is committed."""

DELETE_FIELD = _Sentinel("DELETE_FIELD")
"""The field goes away."""


@dataclass(frozen=True)
class ArrayUnion:
    """The array with these values appended where they are missing."""

    values: Iterable[Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _listed(self.values))


@dataclass(frozen=True)
class ArrayRemove:
    """The array without these values."""

    values: Iterable[Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _listed(self.values))


@dataclass(frozen=True)
class Increment:
    """The number plus `value`; integers saturate at 64 bits, as the server's do."""

    value: float

    def __post_init__(self) -> None:
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            raise InvalidValue(f"Increment takes a number, not {type(self.value).__name__}.", "Write Increment(1).")


def _listed(values: Iterable[Any]) -> list[Any]:
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InvalidValue(f"A list of values is needed, not {type(values).__name__}.", 'Write ArrayUnion(["a"]).')
    return list(values)

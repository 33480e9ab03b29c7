"""Values that stand for a change: what an author assigns where the new value is not yet known.

The official client's sentinels of the same names are understood too; these load nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


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


@dataclass(frozen=True)
class ArrayRemove:
    """The array without these values."""

    values: Iterable[Any]


@dataclass(frozen=True)
class Increment:
    """The number plus `value`; integers saturate at 64 bits, as the server's do."""

    value: float

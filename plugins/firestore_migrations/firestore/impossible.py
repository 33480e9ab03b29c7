"""What Firestore cannot hold, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

_MAX_KEY_BYTES = _MAX_ID_BYTES = 1500
_RESERVED = re.compile("__.+__", re.DOTALL)
_NUMERIC_ID = re.compile("__id(-?[1-9][0-9]{0,18})__")
_SIMPLE_NAME = re.compile("[A-Za-z_][A-Za-z_0-9]*")


class Impossible(Exception):
    """A value that Firestore cannot hold, and the way down to it, which is collected as it rises."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.trail: list[str] = []


def refuse_type(_: Any, value: Any, __: int) -> None:
    """The encoder of every type that Firestore does not have: it raises, and names the type alone."""
    names = [base.__name__ for base in type(value).__mro__]
    remedy = next((_REMEDIES[name] for name in names if name in _REMEDIES), "Convert it to a type that it has.")
    raise Impossible(f"Firestore has no value for the type {names[0]}", remedy)


_NO_ORDER = "A set has no order: write sorted(...) or list(...)."
_STANDS_ALONE = "A sentinel is the whole value of a field; it cannot stand inside an array."
_REMEDIES = {
    "set": _NO_ORDER,
    "frozenset": _NO_ORDER,
    "date": "A date has no time: write datetime(year, month, day, tzinfo=timezone.utc), or its isoformat().",
    "time": "Write its isoformat().",
    "timedelta": "Write its total_seconds().",
    "Decimal": "Write float(...) to compare it in queries, or str(...) to keep every digit.",
    "Fraction": "Write float(...) or str(...).",
    "UUID": "Write str(...).",
    "Enum": "Write its .value.",
    "generator": "Write list(...).",
    "Sentinel": _STANDS_ALONE,
    "_Sentinel": _STANDS_ALONE,
    "ArrayUnion": _STANDS_ALONE,
    "ArrayRemove": _STANDS_ALONE,
    "Increment": _STANDS_ALONE,
}


@lru_cache(maxsize=4096)
def fault_of_key(key: Any) -> tuple[str, str] | None:
    """What is wrong with a map's key, and the remedy; None where nothing is."""
    if not isinstance(key, str):
        return f"a key is of the type {type(key).__name__}, and Firestore's are strings", "Write str(key)."
    if not key:
        return "a key is empty", "Name it."
    if _RESERVED.fullmatch(key):
        return "a key is reserved", "Firestore keeps names like __x__ for itself: rename it."
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "a key has a lone surrogate, which is not Unicode text", "Rename it."
    return ("a key is longer than 1500 bytes", "Shorten it.") if size > _MAX_KEY_BYTES else None


def fault_of_id(segment: str, *, is_collection: bool) -> str:
    """What is wrong with the id of a document or a collection; empty where nothing is."""
    if segment in {".", ".."} or (segment.startswith("__") and _is_reserved(segment, is_collection=is_collection)):
        return f"the id {segment[:100]!r} is reserved"
    try:
        size = len(segment.encode())
    except UnicodeEncodeError:
        return "an id has a lone surrogate, which is not Unicode text"
    return "an id is longer than 1,500 bytes" if size > _MAX_ID_BYTES else ""


def fault_of_path(segments: Sequence[str]) -> str:
    """What is wrong with the first such id of a path, whose ids are by turns of collections and of documents."""
    faults = (fault_of_id(segment, is_collection=index % 2 == 0) for index, segment in enumerate(segments))
    return next(filter(None, faults), "")


def _is_reserved(segment: str, *, is_collection: bool) -> bool:
    """Whether Firestore keeps an id for itself: of documents, those of numbers may be used."""
    numeric = None if is_collection else _NUMERIC_ID.fullmatch(segment)
    is_number = numeric is not None and -(2**63) <= int(numeric[1]) < 2**63
    return bool(_RESERVED.fullmatch(segment)) and not is_number


def as_written(key: str) -> str:
    """A key as a field path spells it."""
    if _SIMPLE_NAME.fullmatch(key):
        return str.__str__(key)
    return "`" + key.replace("\\", "\\\\").replace("`", "\\`") + "`"

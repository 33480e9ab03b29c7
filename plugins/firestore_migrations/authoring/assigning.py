"""Assigning: what set, merge and update make of a document, by the official client's rules.

Sentinels are worked out at once, on what the document holds by then, so that two of them on one field add up. The
server's time alone waits for the server.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.field_path import FieldPath

from firestore_migrations.errors import DocumentError
from firestore_migrations.firestore.document import ATOMS
from firestore_migrations.firestore.fields import api_path
from firestore_migrations.firestore.settling import is_sentinel, is_server_time, settled

if TYPE_CHECKING:
    from firestore_migrations.firestore.codec import Codec
    from firestore_migrations.firestore.document import Document

Path = tuple[str, ...]


def field_path(name: Any) -> Path:
    """The keys that lead to a field; dots lead into maps unless they are quoted in backticks.

    Raises:
        DocumentError: it is no field path.
    """
    try:
        return tuple((name if isinstance(name, FieldPath) else FieldPath.from_string(name)).parts)
    except (AttributeError, TypeError, ValueError) as error:
        raise DocumentError(
            f"{name!r} is not a field path.", "Quote unusual names in backticks, like '`first name`.`x-y`'."
        ) from error


def replace(document: Document, data: Mapping[str, Any], codec: Codec) -> None:
    """Give the document exactly these fields."""
    fields = {name: _standing_alone(value, (name,), codec) for name, value in data.items()}
    document.clear()
    for name, value in fields.items():
        document[name] = value


def merge(document: Document, data: Mapping[str, Any], only: Iterable[Any] | None, codec: Codec) -> None:
    """Change the fields that the data names, into nested maps; or those of its fields that `only` names.

    Raises:
        DocumentError: `only` names a field that the data does not have.
    """
    if only is None:
        for path, value in _leaves(data, ()):
            _put(document, path, value, codec)
        return
    for path in map(field_path, only):
        chosen: Any = data
        for name in path:
            if not isinstance(chosen, Mapping) or name not in chosen:
                raise DocumentError(
                    f"The data to merge into {document.path} has no field {api_path(path)}, which is to be merged.",
                    "Name only fields of the data in merge=[...].",
                    path=document.path,
                )
            chosen = chosen[name]
        _put(document, path, chosen, codec)


def update(document: Document, data: Mapping[str, Any], codec: Codec) -> None:
    """Change the fields at these paths.

    Raises:
        DocumentError: one path leads through another.
    """
    paths = {field_path(name): value for name, value in data.items()}
    for path in paths:
        if len(paths) < len(data) or any(path[:length] in paths for length in range(1, len(path))):
            raise DocumentError(
                f"The update of {document.path} names field {api_path(path)} twice, or a map and a field in it.",
                "Name each field once.",
                path=document.path,
            )
    for path, value in paths.items():
        _put(document, path, value, codec)


def _leaves(data: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _put(document: Document, path: Path, value: Any, codec: Codec) -> None:
    is_delete = codec.is_delete(value)
    target: Any = document
    for name in path[:-1]:
        if not isinstance(target.get(name), dict):
            if is_delete:
                return
            target[name] = {}
        target = target[name]
    name = path[-1]
    if is_delete:
        target.pop(name, None)
    elif is_sentinel(value) and not is_server_time(value):
        target[name] = _worked_out(value, target.get(name), path, codec)
    else:
        target[name] = _standing_alone(value, path, codec)


def _standing_alone(value: Any, path: Path, codec: Codec) -> Any:
    """A value that replaces whatever there was: its sentinels start from nothing."""
    if type(value) in ATOMS:
        return value
    if isinstance(value, Mapping):
        return {name: _standing_alone(item, (*path, name), codec) for name, item in value.items()}
    if codec.is_delete(value):
        raise DocumentError(
            f"DELETE_FIELD for {api_path(path)} lies inside a value that is replaced as a whole.",
            "Leave the field out; or use set(..., merge=True), or the field's own path in update().",
        )
    if is_sentinel(value) and not is_server_time(value):
        return _worked_out(value, None, path, codec)
    return value


def _worked_out(sentinel: Any, before: Any, path: Path, codec: Codec) -> Any:
    if is_server_time(before):
        before = None
    if is_sentinel(before):
        raise DocumentError(
            f"Field {api_path(path)} was given a sentinel by assignment and is given another through db.",
            "Do both in one of the two ways.",
        )
    old = None if before is None else codec.encode(before, api_path(path))
    return codec.decode(settled(sentinel, old, path))

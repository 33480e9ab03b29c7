"""Where snapshots and plans are kept: any folder that `ObjectStoragePath` or `pathlib` can name.

A file appears whole or not at all, and is read back against its checksum: of a segment the one that its plan or
snapshot tells, of a JSON file the one in itself. It holds production data, so local folders are private to their owner.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from firestore_migrations.errors import StorageError

_LOCAL = {"", "file", "local"}
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}")
_ABANDONED = 3600.0
"""Seconds after which a file that has no name yet is nobody's."""


class Folder:
    """One folder of the storage.

    Args:
        root: a `pathlib.Path`, an `ObjectStoragePath` or any other universal path.
    """

    def __init__(self, root: Any) -> None:
        self.root = root

    def __truediv__(self, name: str) -> Folder:
        return Folder(self.root / name)

    def __str__(self) -> str:
        return str(self.root)

    def write(self, name: str, data: bytes) -> None:
        """Write a file; it appears whole or not at all, and of two writers the last one's stays.

        Raises:
            StorageError: it cannot be written; what was under the name before is still there.
        """
        try:
            if self._local is None:
                self.root.fs.pipe_file((self.root / name).path, data)  # in one request, or as parts that end in one
            else:
                _put(self._local, name, data)
        except Exception as error:  # every object store has errors of its own
            raise StorageError(
                f"{self.root / name} cannot be written: {_reason(error)}.",
                "Check that the storage exists, has room, and may be written by this identity; then clear the task.",
                uri=str(self.root / name),
            ) from error

    def read(self, name: str, sha256: str | None = None) -> bytes:
        """Read a file whole.

        Raises:
            StorageError: it is missing, or its checksum is not the given one.
        """
        try:
            with (self.root / name).open("rb") as file:
                data: bytes = file.read()
        except Exception as error:  # every object store has errors of its own
            raise StorageError(
                f"{self.root / name} cannot be read: {_reason(error)}.",
                "Check the storage; if the file is gone, restore it from a copy, or trigger a new run.",
                uri=str(self.root / name),
            ) from error
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise self._altered(name)
        return data

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        try:
            return bool((self.root / name).exists())
        except Exception as error:  # every object store has errors of its own
            raise StorageError(
                f"{self.root / name} cannot be looked at: {_reason(error)}.", "Check the storage.", uri=str(self)
            ) from error

    def names(self) -> list[str]:
        """The names of the files, in order; none where there is no such folder."""
        try:
            return sorted(path.name for path in self.root.iterdir() if path.is_file()) if self.root.exists() else []
        except Exception as error:  # every object store has errors of its own
            raise StorageError(
                f"{self.root} cannot be listed: {_reason(error)}.", "Check the storage.", uri=str(self)
            ) from error

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Write plain data as JSON, and with it the checksum of that data."""
        plain = json.loads(json.dumps(data))
        self.write(name, json.dumps({"sha256": _checksum(plain), **plain}, indent=1).encode())

    def read_json(self, name: str) -> dict[str, Any]:
        """Read plain data back, as it was written.

        Raises:
            StorageError: it is missing, or it is not what was written.
        """
        try:
            data = json.loads(self.read(name))
        except ValueError as error:
            raise self._altered(name) from error
        if not isinstance(data, dict) or data.pop("sha256", None) != _checksum(data):
            raise self._altered(name)
        return data

    def _altered(self, name: str) -> StorageError:
        return StorageError(
            f"{self.root / name} is not what was written: its checksum differs.",
            "It was truncated or altered; nothing was written from it. Restore it from a copy, or trigger a new run.",
            uri=str(self.root / name),
        )

    @property
    def _local(self) -> Path | None:
        """The same folder as a local path, or None in an object store."""
        if getattr(self.root, "protocol", "") not in _LOCAL:
            return None
        return Path(getattr(self.root, "path", self.root))


def _put(folder: Path, name: str, data: bytes) -> None:
    """Write beside the name, make it last through a power cut, and only then give it the name."""
    _make_private(folder)
    _sweep(folder)
    temporary = folder / f".{name}.{uuid.uuid4().hex}"
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / name)
    finally:
        temporary.unlink(missing_ok=True)
    with suppress(OSError):  # some network file systems cannot
        entries = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entries)
        finally:
            os.close(entries)


def _sweep(folder: Path) -> None:
    """Remove what writers left that were killed. One that lives is done with a file long before."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name) and entry.stat().st_mtime < time.time() - _ABANDONED:
                Path(entry).unlink(missing_ok=True)


def _make_private(folder: Path) -> None:
    """Make a folder and those above it that are missing, each for its owner alone; `parents=True` would not."""
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)


def _checksum(data: Any) -> str:
    """The SHA-256 of plain data, however it is laid out in a file."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _reason(error: Exception) -> str:
    """What went wrong, without the message of a foreign error."""
    text = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__} ({text})" if text else type(error).__name__

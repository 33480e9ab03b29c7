"""Where snapshots and plans are kept: any folder that `ObjectStoragePath` or `pathlib` can name.

A file appears whole or not at all, and is read back against its checksum. It holds production data, so local
folders are private to their owner.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

from firestore_migrations.errors import StorageError

_LOCAL = {"", "file", "local"}


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

    def write(self, name: str, data: bytes) -> str:
        """Write a file; it appears whole or not at all.

        Returns:
            The SHA-256 of the data, in hexadecimal.

        Raises:
            StorageError: it cannot be written; nothing is left under the name.
        """
        try:
            local = self._local
            if local is None:
                with (self.root / name).open("wb") as file:  # an object store shows the object when it is complete
                    file.write(data)
            else:
                _make_private(local)
                temporary = local / f".{name}.{uuid.uuid4().hex}"
                try:
                    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                        file.write(data)
                        file.flush()
                        os.fsync(file.fileno())
                    temporary.replace(local / name)
                finally:
                    temporary.unlink(missing_ok=True)
        except (OSError, ValueError) as error:
            raise StorageError(
                f"{self.root / name} cannot be written: {type(error).__name__}.",
                "Check that the storage exists, has room, and may be written by this identity; then clear the task.",
                uri=str(self.root / name),
            ) from error
        return hashlib.sha256(data).hexdigest()

    def read(self, name: str, sha256: str | None = None) -> bytes:
        """Read a file whole.

        Raises:
            StorageError: it is missing, or its checksum is not the given one.
        """
        try:
            with (self.root / name).open("rb") as file:
                data: bytes = file.read()
        except (OSError, ValueError) as error:
            raise StorageError(
                f"{self.root / name} cannot be read: {type(error).__name__}.",
                "Check the storage; if the file is gone, trigger a new run.",
                uri=str(self.root / name),
            ) from error
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise StorageError(
                f"{self.root / name} is not what was written: its checksum differs.",
                "It was truncated or altered. Nothing was written from it; trigger a new run.",
                uri=str(self.root / name),
            )
        return data

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        try:
            return bool((self.root / name).exists())
        except OSError as error:
            raise StorageError(
                f"{self.root / name} cannot be looked at: {type(error).__name__}.", "Check the storage.", uri=str(self)
            ) from error

    def write_json(self, name: str, data: Any) -> None:
        """Write plain data as JSON."""
        self.write(name, json.dumps(data, indent=1, sort_keys=True).encode())

    def read_json(self, name: str) -> Any:
        """Read plain data back."""
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            raise StorageError(
                f"{self.root / name} is not JSON.", "It was altered; trigger a new run.", uri=str(self.root / name)
            ) from error

    @property
    def _local(self) -> Path | None:
        """The same folder as a local path, or None in an object store."""
        if getattr(self.root, "protocol", "") not in _LOCAL:
            return None
        return Path(getattr(self.root, "path", self.root))


def _make_private(folder: Path) -> None:
    """Make a folder and those above it that are missing, each for its owner alone; `parents=True` would not."""
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)

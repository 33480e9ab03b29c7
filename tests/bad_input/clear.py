"""What every row of these tables must give: one clear error, and nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from firestore_migrations.errors import FirestoreMigrationsError
from firestore_migrations.firestore.scope import AUDIT_COLLECTION
from tests.cli.conftest import Typed
from tests.runs.world import World

Kind = type[FirestoreMigrationsError]


def assert_clear(error: BaseException, kind: Kind, *words: str) -> None:
    """The error is of this class, says these words, and says what to do next."""
    assert isinstance(error, FirestoreMigrationsError), repr(error)
    assert type(error) is kind, repr(error)
    assert_says(str(error), *words)
    assert error.next_step.strip(), str(error)


def assert_says(text: str, *words: str) -> None:
    """The text holds all of these words, and nothing of Python's insides."""
    assert [word for word in words if word not in text] == [], text
    assert [
        inside for inside in ("Traceback", "KeyError: ", "'NoneType' object", "This is a defect") if inside in text
    ] == []


def refused(act: Callable[[], Any], kind: Kind, *words: str) -> FirestoreMigrationsError:
    """What the act raises, which must be clear."""
    with pytest.raises(FirestoreMigrationsError) as caught:
        act()
    assert_clear(caught.value, kind, *words)
    return caught.value


def assert_failed(typed: Typed, code: int, kind: Kind, *words: str) -> None:
    """A command with `--output json` ended with this exit code and one clear error, on both outputs."""
    assert typed.code == code, typed.err
    error = json.loads(typed.out)["error"]
    assert error["type"] == kind.__name__, error
    assert_says(error["message"], *words)
    assert error["message"] in typed.err
    assert "Traceback" not in typed.err


@contextmanager
def nothing_written(world: World, *, but_the_audit: bool = False) -> Iterator[None]:
    """Every document of the database is afterwards what it was, byte for byte; so is the storage, but for the audit."""
    documents, files = fingerprint(world, but_the_audit=but_the_audit), files_of(world.storage)
    yield
    assert fingerprint(world, but_the_audit=but_the_audit) == documents
    if not but_the_audit:
        assert files_of(world.storage) == files
    assert [name for name in files_of(world.storage) if Path(name).name.startswith(".")] == []


def fingerprint(world: World, *, but_the_audit: bool = False) -> dict[str, bytes]:
    """Every document with its times, as it is stored."""
    return {
        path: raw
        for path, raw in world._everything()
        if not (but_the_audit and path.startswith(f"{AUDIT_COLLECTION}/"))
    }


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    if not folder.is_dir():
        return {}
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

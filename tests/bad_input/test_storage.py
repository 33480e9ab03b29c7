"""Files of a run that were damaged behind its back: each is found before a write depends on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.emulator import Emulator
from firestore_migrations.errors import ConfigurationError, StorageError
from firestore_migrations.runs.phases import perform
from tests.bad_input.clear import fingerprint, refused
from tests.runs.world import PHASES, Life, World

Damage = Callable[[Path], Any]


@each_document("users")
def up(document: Document, db: Database) -> None:
    document["seen"] = True


def altered(path: Path) -> None:
    """Turn one byte in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def becomes(data: bytes) -> Damage:
    return lambda path: path.write_bytes(data)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


DAMAGES: dict[str, Damage] = {
    "missing": Path.unlink,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-5]),
    "altered": altered,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "empty": becomes(b""),
    "a list": becomes(b"[]"),
    "null": becomes(b"null"),
    "an empty object": becomes(b"{}"),
    "no text": becomes(b"\xff\xfe"),
    "a folder": folder,
    "a link to itself": loop,
}
FILES = {
    "run.json": "backup",
    "snapshot/0000/snapshot.json": "dry_run",
    "snapshot/0000/*.parquet": "dry_run",
    "plan/0000/plan.json": "apply",
    "plan/0000/*.parquet": "apply",
    "review.json": "apply",
}
"""Each file, and the phase that reads it."""

NEVER_WRITTEN = {"run.json", "snapshot/0000/snapshot.json", "review.json"}
"""Where these are missing, their task has not run as far as anybody can tell."""


def file_of(life: Life, pattern: str) -> Path:
    (found,) = Path(life.folder.root).glob(pattern)
    return found


@contextmanager
def damaged(path: Path, damage: str) -> Iterator[None]:
    """The file with this damage, and afterwards whole again."""
    whole = path.read_bytes()
    DAMAGES[damage](path)
    try:
        yield
    finally:
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(whole)


@pytest.fixture(scope="module")
def reviewed(world: World) -> Life:
    """A run that may apply, if only its files are whole."""
    return world.run(world.migration(up, version="v003"), up_to="review", known=("v003",))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_found_before_anything_is_written(
    world: World, reviewed: Life, file: str, damage: str
) -> None:
    before = fingerprint(world, but_the_audit=True)
    path = file_of(reviewed, file)
    is_gone = damage in {"missing", "a link to itself"} and file in NEVER_WRITTEN
    with damaged(path, damage):
        act = partial(perform, reviewed.run, FILES[file], 0)
        error = refused(act, ConfigurationError if is_gone else StorageError)
    assert (reviewed.run.id if is_gone else path.name) in str(error)
    assert fingerprint(world, but_the_audit=True) == before


@each_document("users")
def other(document: Document, db: Database) -> None:
    document["other"] = True


@pytest.fixture
def aside(emulator: Emulator, project: str, tmp_path: Path) -> Iterator[World]:
    """A world for a run that has to hold the target itself."""
    made = World(emulator.host, project, tmp_path / "storage")
    made.write({"users/ada": {"n": 1}, "users/bob": {"n": 2}})
    yield made
    made.close()


@pytest.mark.parametrize("file", FILES)
def test_a_run_with_a_damaged_file_ends_as_failed_and_frees_the_target(aside: World, file: str) -> None:
    before = fingerprint(aside, but_the_audit=True)
    life = aside.run(aside.migration(other, version="v004"), up_to=PHASES[PHASES.index(FILES[file]) - 1])
    path = file_of(life, file)
    DAMAGES["truncated"](path)
    error = refused(life.go_on, StorageError, path.name)
    assert fingerprint(aside, but_the_audit=True) == before
    record = aside.records()[f"v004/runs/{life.run.id}"]
    assert (record["state"], record["error"]) == ("failed", f"StorageError: {error}")
    assert aside.records()["_lease"]["holder"] == ""


@pytest.mark.parametrize("kind", ["snapshot", "plan"])
def test_a_segment_of_another_run_is_no_substitute(aside: World, kind: str) -> None:
    migration = aside.migration(other, version="v004")
    foreign = aside.run(migration, mode="dry_run")
    aside.write({"users/cyd": {"n": 3}})
    before = fingerprint(aside, but_the_audit=True)
    life = aside.run(migration, up_to="backup" if kind == "snapshot" else "review")
    path, substitute = (file_of(one, f"{kind}/0000/*.parquet") for one in (life, foreign))
    path.write_bytes(substitute.read_bytes())
    refused(life.go_on, StorageError, path.name)
    assert fingerprint(aside, but_the_audit=True) == before


@pytest.fixture(scope="module")
def applied(world: World, reviewed: Life) -> Life:
    """The same run, done; its files are what it can be taken back from."""
    reviewed.go_on()
    assert world.data()["users/ada"] == {"n": 1, "seen": True}
    return reviewed


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", ["plan/0000/plan.json", "plan/0000/*.parquet", "review.json"])
def test_a_run_whose_files_are_damaged_is_not_taken_back(world: World, applied: Life, file: str, damage: str) -> None:
    before = fingerprint(world, but_the_audit=True)
    path = file_of(applied, file)
    with damaged(path, damage):
        refused(lambda: world.run(applied.run.migration, direction="down"), StorageError, path.name)
    assert fingerprint(world, but_the_audit=True) == before
    assert world.state("v003") == "verified"
    assert world.records()["_lease"]["holder"] == ""


def test_a_run_whose_files_are_whole_again_is_taken_back(world: World, applied: Life) -> None:
    world.run(applied.run.migration, direction="down")
    assert world.data()["users/ada"] == {"n": 1}

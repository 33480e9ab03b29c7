"""Storage that is damaged, full or written twice: found out before a write depends on it, and the run goes on."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.authoring.migration import Step
from firestore_migrations.errors import FirestoreMigrationsError, StorageError
from firestore_migrations.runs.plan import Row, read_rows, write_rows
from firestore_migrations.runs.storage import Folder
from tests.runs.world import PHASES, Life, World


@each_document("c")
def up(document: Document, db: Database) -> None:
    document["new"] = document["old"]
    db.create(f"twin/{document.id}", {"old": document["old"]})


def the_one(world: World, ending: str) -> Path:
    (found,) = [path for path in world.storage.rglob("*") if path.is_file() and str(path).endswith(ending)]
    return found


def segment(world: World, kind: str) -> Path:
    (found,) = [path for path in world.storage.rglob("*.parquet") if f"/{kind}/" in str(path)]
    return found


def change_a_number(path: Path) -> None:
    """As somebody with an editor would, who knows nothing of checksums."""
    data = json.loads(path.read_text())
    name = next(name for name, value in data.items() if type(value) is int)
    path.write_text(json.dumps({**data, name: data[name] + 1}))


SPOILS: dict[str, Callable[[Path], Any]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "altered": lambda path: path.write_bytes(bytes([*path.read_bytes()[:-1], 0])),
    "a flipped bit": lambda path: path.write_bytes(
        path.read_bytes()[:99] + bytes([path.read_bytes()[99] ^ 1]) + path.read_bytes()[100:]
    ),
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "of another run": lambda path: path.write_bytes(b"PAR1" * 100),
}
SPOILT_FACTS: dict[str, Callable[[Path], Any]] = {
    **{name: spoil for name, spoil in SPOILS.items() if name != "missing"},
    "another number": change_a_number,
    "no checksum": lambda path: path.write_text(path.read_text().replace("sha256", "sha255", 1)),
    "a list": lambda path: path.write_text("[]"),
    "null": lambda path: path.write_text("null"),
    "not text": lambda path: path.write_bytes(b"\xff\xfe{}"),
}


@contextmanager
def spoilt(path: Path, spoil: Callable[[Path], Any]) -> Iterator[None]:
    """For a while; then it is restored from a copy."""
    whole = path.read_bytes()
    spoil(path)
    yield
    path.write_bytes(whole)


@pytest.mark.parametrize(("kind", "phase"), [("snapshot", "dry_run"), ("plan", "apply")])
def test_a_spoilt_segment_is_found_before_anything_is_written(world: World, kind: str, phase: str) -> None:
    world.write({"c/a": {"old": 1}})
    before = world.read()
    life = world.run(up, up_to=PHASES[PHASES.index(phase) - 1])

    for name, spoil in SPOILS.items():
        with spoilt(segment(world, kind), spoil), pytest.raises(StorageError, match=f"{kind}/0000/000000-") as refused:
            life.perform(phase)
        assert refused.value.facts["uri"].endswith(".parquet"), name
        assert world.read() == before, name

    assert life.go_on().results["finish"]["state"] == "verified"


@pytest.mark.parametrize("kind", ["plan", "drift"])
def test_a_spoilt_before_image_is_found_before_anything_is_taken_back(world: World, kind: str) -> None:
    world.write({"c/a": {"old": 1}, "c/b": {"old": 2}})
    life = world.run(up, up_to="review")
    world.change("c/a", old=3)
    life.go_on()
    after = world.read()

    for name, spoil in SPOILS.items():
        with spoilt(segment(world, kind), spoil), pytest.raises(StorageError, match=f"/{kind}/.*000000-"):
            world.run(up, direction="down")
        assert world.read() == after, name

    world.run(up, direction="down")
    assert world.data() == {"c/a": {"old": 3}, "c/b": {"old": 2}}


FACTS = [("run.json", "preflight"), ("snapshot.json", "backup"), ("plan.json", "review"), ("review.json", "review")]


@pytest.mark.parametrize(("name", "after"), FACTS)
def test_spoilt_facts_are_found_before_anything_is_written(world: World, name: str, after: str) -> None:
    world.write({"c/a": {"old": 1}})
    before = world.read()
    life = world.run(up, up_to=after)

    for how, spoil in SPOILT_FACTS.items():
        with spoilt(the_one(world, f"/{name}"), spoil), pytest.raises(StorageError, match=name):
            life.go_on()
        assert world.read() == before, how

    assert life.go_on().results["finish"]["state"] == "verified"


@pytest.mark.parametrize(("name", "after"), FACTS)
def test_missing_facts_are_found_before_anything_is_written(world: World, name: str, after: str) -> None:
    world.write({"c/a": {"old": 1}})
    before = world.read()
    life = world.run(up, up_to=after)

    the_one(world, f"/{name}").unlink()
    with pytest.raises(FirestoreMigrationsError, match=r"Clear|missing"):
        life.go_on()

    assert world.read() == before


def test_every_json_file_carries_the_checksum_of_its_content(world: World) -> None:
    world.write({"c/a": {"old": 1}})
    life = world.run(up, up_to="apply")
    world.write({"c/late": {"old": 2}})  # residue
    life.go_on()

    files = [path for path in world.storage.rglob("*.json") if "sha256" not in json.loads(path.read_text())]
    assert files == []
    assert "sha256" not in life.folder.read_json("run.json")


def test_plain_data_comes_back_as_it_was_written(tmp_path: Path) -> None:
    data = {"é\x00": [1, 2.5, -0.0, None, True, {"\U0001f600": "\ud800"}], "n": 10**20, "e": {}, "x": {"2": 1, "10": 2}}
    folder = Folder(tmp_path)
    folder.write_json("a.json", data)
    assert folder.read_json("a.json") == data
    folder.write_json("a.json", {"numbered": {2: "b", 10: "a"}, "pair": (1, 2)})
    assert folder.read_json("a.json") == {"numbered": {"2": "b", "10": "a"}, "pair": [1, 2]}


@contextmanager
def no_room(size: int = 0) -> Iterator[None]:
    """No file of this process grows beyond some bytes: what a full disk does, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def leftovers(world: World) -> list[Path]:
    return [path for path in world.storage.rglob(".*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 100, 2000])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_on_a_full_disk_every_phase_says_so_and_the_run_goes_on(world: World, direction: str, size: int) -> None:
    """Before each phase the disk is full, and then somebody makes room."""
    world.write({f"c/{n}": {"old": os.urandom(9).hex() * 9} for n in range(50)})
    before = world.data()
    if direction == "down":
        world.run(up)
    life = world.begin(up, direction=direction)
    full: dict[str, bool] = {}
    for phase in PHASES:
        if phase == "apply" and direction == "up":
            world.change("c/1", old="moved")  # and the before-image of that one has to be kept first
        full[phase] = is_full(life, phase, size)
        life.perform(phase)

    if direction == "up":
        assert all(data["new"] == data["old"] for path, data in world.data().items() if path.startswith("c/"))
        assert life.results["finish"]["state"] == "verified"
        world.run(up, direction="down")
        before["c/1"] = {"old": "moved"}
    assert world.data() == before
    assert full["backup"]
    assert full["dry_run"]
    assert leftovers(world) == []


def is_full(life: Life, phase: str, size: int) -> bool:
    try:
        with no_room(size):
            life.perform(phase)
    except StorageError as error:
        told = str(error)
    else:
        return False
    assert "cannot be written: OSError (File too large). Check that the storage exists, has room" in told
    return True


_WRITER = """
import sys
from pathlib import Path
from firestore_migrations.runs.storage import Folder
folder, letter, size = Folder(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
for n in range(10**9):
    folder.write("data", (letter * size).encode())
    folder.write_json("facts.json", {"n": n, "text": letter * 1000})
"""


@contextmanager
def writing(folder: Path, letter: str, size: int = 300_000) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _WRITER, str(folder), letter, str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def test_a_writer_that_is_killed_leaves_no_partial_file(tmp_path: Path) -> None:
    """Twenty kills, wherever they hit; what the killed ones leave has no name of ours, and goes within the hour."""
    whole, left = {b"a" * 300_000, b"b" * 300_000}, 0
    chance = random.Random(4711)
    for _ in range(10):
        with writing(tmp_path, "a"), writing(tmp_path, "b"):
            time.sleep(chance.uniform(0, 0.05))  # the kill comes at any point of a write
        if (tmp_path / "data").exists():
            assert (tmp_path / "data").read_bytes() in whole
        if (tmp_path / "facts.json").exists():
            assert set(Folder(tmp_path).read_json("facts.json")["text"]) in ({"a"}, {"b"})
        left = len([path for path in tmp_path.iterdir() if path.name.startswith(".")])
    assert left > 0

    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    young = tmp_path / f".young.{'0' * 32}"
    young.write_bytes(b"of somebody who writes at this moment")
    Folder(tmp_path).write("data", b"c")
    assert {path.name for path in tmp_path.iterdir()} <= {"data", "facts.json", young.name}
    assert ((tmp_path / "data").read_bytes(), young.exists()) == (b"c", True)


def test_what_a_killed_writer_left_is_in_nobodys_way(world: World) -> None:
    world.write({"c/a": {"old": 1}})
    before = world.read()
    life = world.begin(up)
    for phase in PHASES:
        for folder in (path for path in [*world.storage.rglob("*")] if path.is_dir()):
            for name in ("run.json", "snapshot.json", "plan.json", "000000-0000000000000000.parquet"):
                (folder / f".{name}.{'f' * 32}").write_bytes(b"{")
        life.perform(phase)
    assert life.results["finish"]["state"] == "verified"
    world.run(up, direction="down")
    assert world.read() == before


def test_of_two_writers_the_last_whole_file_stays(tmp_path: Path) -> None:
    with writing(tmp_path, "a"), writing(tmp_path, "b"):
        seen = set()
        while len(seen) < 2:
            seen.add(Folder(tmp_path).read("data") if (tmp_path / "data").exists() else b"")
            seen.discard(b"")
            assert seen <= {b"a" * 300_000, b"b" * 300_000}


def test_rows_that_two_workers_keep_stay_those_of_each(tmp_path: Path) -> None:
    """Both planned a moved document again, at different times: whichever of them commits finds its own rows."""
    folder = Folder(tmp_path / "drift")
    kept = {}
    for before in (b"as one saw it", b"as the other saw it"):
        row = Row(7, "c/a", "c/a", "up", "updated", 1, before, b"the same write")
        kept[write_rows(folder, [row])] = [row]
    assert {name: read_rows(folder, name) for name in kept} == kept
    assert len(kept) == 2


def edited() -> Step:
    @each_document("c")
    def up(document: Document, db: Database) -> None:
        document["other"] = document["old"]

    return up


def test_a_plan_that_is_made_again_from_an_edited_file_replaces_no_rows_of_the_first(world: World) -> None:
    """A worker that was thought dead may still write while another one applies."""
    world.write({f"c/{n}": {"old": n} for n in range(3)})
    life = world.run(up, up_to="review")
    folder = life.folder.root / "plan" / "0000"
    kept = {path: path.read_bytes() for path in folder.iterdir()}

    again = world.begin(world.migration(edited(), checksum="1" * 64), run_id=life.run.id)
    again._shards = [0]
    again.perform("dry_run")

    segments = {path for path in kept if path.suffix == ".parquet"}
    assert {path: path.read_bytes() for path in segments} == {path: kept[path] for path in segments}
    with pytest.raises(FirestoreMigrationsError, match=r"planned again afterwards|edited"):
        life.perform("apply")
    assert not any("new" in data or "other" in data for data in world.data().values())

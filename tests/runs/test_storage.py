"""What is kept: whole, private, and readable by anyone's tools."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from firestore_migrations import Database, Document, each_document
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs import segments
from firestore_migrations.runs.plan import Plan, Row, find_plan, read_batches
from firestore_migrations.runs.plan_writer import PlanWriter
from firestore_migrations.runs.snapshot import find_snapshot, read_snapshot, take_snapshot
from firestore_migrations.runs.storage import Folder
from tests.runs.world import World

SECRET = "secret-4711"


@each_document("c")
def up(document: Document, db: Database) -> None:
    document["new"] = document["old"]
    db.create(f"twin/{document.id}", {"old": document["old"]})


def files(world: World) -> dict[str, Path]:
    root = world.storage
    return {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}


def parquet(world: World, kind: str) -> Path:
    (found,) = [path for name, path in files(world).items() if f"/{kind}/" in name and name.endswith(".parquet")]
    return found


def test_snapshot_and_plan_are_parquet_for_everyone(world: World) -> None:
    world.write({f"c/{n}": {"old": n} for n in range(3)})
    times = world.update_times()
    world.run(up, up_to="review")

    snapshot = pq.read_table(parquet(world, "snapshot"))
    assert snapshot.column_names == ["path", "create_time", "update_time", "document"]
    assert snapshot["path"].to_pylist() == ["c/0", "c/1", "c/2"]
    assert [int(at.timestamp() * 1e6 + 0.5) for at in snapshot["update_time"].to_pylist()] == list(times.values())
    document = wire.Document.FromString(snapshot["document"][1].as_py())
    assert (document.name.rsplit("/", 2)[1:], document.fields["old"].integer_value) == (["c", "1"], 1)
    plan = pq.read_table(parquet(world, "plan"))
    assert plan.column_names == list(Row._fields)
    assert list(zip(*(plan[name].to_pylist() for name in ("row", "path", "source", "operation")), strict=True)) == [
        (0, "c/0", "c/0", "updated"),
        (1, "twin/0", "c/0", "created"),
        (2, "c/1", "c/1", "updated"),
        (3, "twin/1", "c/1", "created"),
        (4, "c/2", "c/2", "updated"),
        (5, "twin/2", "c/2", "created"),
    ]
    assert [before is None for before in plan["before"].to_pylist()] == [False, True] * 3
    assert plan["before"][2].as_py() == snapshot["document"][1].as_py()


def test_every_folder_and_file_is_its_owners_alone(world: World) -> None:
    world.write({"c/a": {"old": 1}})
    mask = os.umask(0)
    try:
        world.run(up)
    finally:
        os.umask(mask)

    paths = [world.storage, *world.storage.rglob("*")]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
    assert {path: oct(mode) for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}
    assert [path for path in paths if path.name.startswith(".")] == []


def test_a_backup_that_is_cleared_after_apply_began_keeps_the_before_images(world: World) -> None:
    world.write({f"c/{n}": {"old": n} for n in range(3)})
    before = world.read()
    life = world.run(up, up_to="apply")
    kept = {name: path.read_bytes() for name, path in files(world).items() if "/snapshot/" in name or "/plan/" in name}

    life.perform("preflight", "finish")

    assert {name: files(world)[name].read_bytes() for name in kept} == kept
    world.run(up, direction="down")
    assert world.read() == before


def test_a_snapshot_that_was_cut_short_is_taken_again(world: World) -> None:
    world.write({"c/a": {"old": 1}})
    life = world.run(up, up_to="preflight")

    def broken() -> Iterator[Stored]:
        yield Stored("c/zzz", 1, 1, b"")
        raise ConnectionError

    with pytest.raises(ConnectionError):
        take_snapshot(life.folder / "snapshot" / "0000", broken())
    life.go_on()

    assert world.data()["c/a"] == {"old": 1, "new": 1}


def test_results_are_small_plain_data_without_values_of_documents(world: World) -> None:
    world.write({f"c/{n:03}": {"old": f"{SECRET}-{n}"} for n in range(300)})

    life = world.run(up)
    down = world.run(up, direction="down")

    for results in (life.results, down.results):
        text = json.dumps(results)
        assert json.loads(text) == json.loads(json.dumps(json.loads(text)))
        assert len(text) < 5000
        assert SECRET not in text
    assert SECRET not in str(world.records())
    assert "secret" in (life.folder.root / "report.md").read_text()  # people decide on it; the target's policy says


@pytest.mark.parametrize("policy", ["shapes", "none"])
def test_a_report_shows_no_more_than_the_targets_policy(world: World, policy: str) -> None:
    world.write({"c/a": {"old": SECRET}})
    life = world.begin(up)
    life.run = replace(life.run, target=replace(life.run.target, samples=policy))
    life.perform("preflight", "review")
    report = (life.folder.root / "report.md").read_text()
    assert SECRET not in report
    assert ("string(11)" in report) is (policy == "shapes")


def test_values_of_documents_are_in_no_error(world: World) -> None:
    world.write({"c/a": {"old": SECRET}})

    def failing(transform: Callable[[Document, Database], Any]) -> str:
        step = each_document("c")(transform)
        with pytest.raises(Exception, match=r".") as failed:
            world.run(step)
        chain: list[str] = []
        error: BaseException | None = failed.value
        while error is not None:
            chain.append(str(error))
            error = error.__cause__
        return "\n".join(chain)

    def raises(document: Document, db: Database) -> None:
        raise KeyError(document["old"])

    def lists(document: Document, db: Database) -> None:
        document["x"] = [{"y": [document["old"], {1}]}]

    def grows(document: Document, db: Database) -> None:
        document["old"] += "!"

    def updates(document: Document, db: Database) -> None:
        db.update("c/none", {"x": document["old"]})

    def both(document: Document, db: Database) -> None:
        document["copy"] = document["old"]
        document.rename("old", "copy")

    for transform in (raises, lists, grows, updates, both):
        assert SECRET not in failing(transform), transform.__name__
    assert SECRET not in str(world.records())


def row(path: str, size: int = 10) -> Row:
    return Row(0, path, path, "up", "updated", 1, b"before", b"w" * size)


def test_segments_are_cut_and_come_back_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_SEGMENT_ROWS", 10)
    folder = Folder(tmp_path / "plan")
    writer = PlanWriter(folder, rows_per_batch=4, request_limit=4 * 1024 * 1024)
    for n in range(30):
        writer.add(row(f"c/{n:02}"))
    plan = writer.close(scanned=30)

    assert [segment.rows for segment in plan.segments] == [12, 12, 6]
    assert find_plan(folder) == plan
    found = list(read_batches(folder, plan, first_row=100))
    assert [batch.rows for batch in found] == [f"{n:09}-{min(n + 3, 129):09}" for n in range(100, 130, 4)]
    assert [item.path for batch in found for item in batch.content] == [f"c/{n:02}" for n in range(30)]


def test_a_batch_never_exceeds_rows_or_bytes(tmp_path: Path) -> None:
    writer = PlanWriter(Folder(tmp_path), rows_per_batch=3, request_limit=64 * 1024 + 1000)
    for n, size in enumerate([400, 400, 400, 10, 10, 10, 10, 10]):
        writer.add(row(f"c/{n}", size))
    plan = writer.close()
    cut = [[len(item.write) for item in batch.content] for batch in read_batches(Folder(tmp_path), plan)]
    assert cut == [[400, 400], [400, 10, 10], [10, 10, 10]]
    assert plan.batches == 3


def test_a_call_is_never_torn_and_one_that_is_too_large_for_a_request_is_a_failure(tmp_path: Path) -> None:
    writer = PlanWriter(Folder(tmp_path), rows_per_batch=3, request_limit=64 * 1024 + 1000)
    for source, sizes in (("c/a", [10, 10]), ("c/b", [10] * 5), ("c/c", [600, 600]), ("c/d", [10])):
        for n, size in enumerate(sizes):
            writer.add(row(f"made/{source[-1]}{n}", size)._replace(source=source))
    writer.finish_call()
    assert [(failure.path, failure.error.partition(":")[0]) for failure in writer.failures] == [("c/c", "TooLarge")]
    plan = writer.close()
    cut = [[item.source for item in batch.content] for batch in read_batches(Folder(tmp_path), plan)]
    assert cut == [["c/a"] * 2, ["c/b"] * 5, ["c/d"]]


def test_a_snapshot_comes_back_as_it_was_taken(tmp_path: Path) -> None:
    documents = [Stored(f"c/{n}\x00\U0001f600", -1, 253402300799999999 - n, bytes([n % 256]) * n) for n in range(1100)]
    folder = Folder(tmp_path)
    snapshot = take_snapshot(folder, documents)
    again = find_snapshot(folder)
    assert again == snapshot
    assert [stored for chunk in read_snapshot(folder, snapshot) for stored in chunk] == documents
    assert (snapshot.documents, snapshot.bytes) == (1100, sum(len(stored.raw) for stored in documents))


def test_a_run_never_imports_pandas(world: World) -> None:
    """pyarrow does where it is installed, and a task would be a second or more slower for nothing."""
    world.write({"c/a": {"old": 1}})
    program = (
        "import sys, pathlib\n"
        "from firestore_migrations import each_document\n"
        "from tests.runs.world import World\n"
        "host, project, storage = sys.argv[1:]\n"
        "step = each_document('c')(lambda document, db: document.rename('old', 'new'))\n"
        "World(host, project, pathlib.Path(storage)).run(step, shards=2)\n"
        "print('pandas' in sys.modules)\n"
    )
    command = [
        sys.executable,
        "-c",
        program,
        str(world.address.emulator_host),
        world.address.project,
        str(world.storage),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
    assert world.data() == {"c/a": {"new": 1}}


def test_memory_holds_a_few_megabytes_of_documents_at_once(tmp_path: Path) -> None:
    documents = (Stored(f"c/{n:03}", 1, 1, bytes(1024 * 1024)) for n in range(50))
    folder = Folder(tmp_path)
    snapshot = take_snapshot(folder, documents)
    assert [len(chunk) for chunk in read_snapshot(folder, snapshot)] == [4] * 12 + [2]
    assert [segment.rows for segment in snapshot.segments] == [16, 16, 16, 2]


def test_a_life_in_an_object_store(world: World) -> None:
    storage = UPath(f"memory://bucket/{world.address.project}")
    world.write({f"c/{n}": {"old": n} for n in range(3)})
    before = world.read()
    lives = []
    for direction in ("up", "down"):
        life = world.begin(up, direction=direction)
        life.run = replace(life.run, target=replace(life.run.target, storage=storage))
        lives.append(life.perform("preflight", "finish"))

    assert [life.results["finish"]["state"] for life in lives] == ["verified", "rolled_back"]
    assert world.read() == before
    assert not world.storage.exists()
    kept = sorted(path.name for path in (lives[0].folder / "plan" / "0000").root.iterdir())
    assert [name.partition("-")[0] for name in kept] == ["000000", "plan.json"]


def test_columns_are_what_pyarrow_itself_makes() -> None:
    values: list[tuple[list[Any], pa.DataType]] = [
        (["a", None, "", "é\U0001f600"], pa.string()),
        ([b"\x00", None, b"", b"x" * 1000], pa.binary()),
        ([None] * 9, pa.binary()),
        ([None, *range(-5, 20), None, 2**63 - 1], pa.int64()),
        ([None, -62135596800000000, 253402300799999999], pa.timestamp("us", tz="UTC")),
        ([], pa.string()),
    ]
    for column, kind in values:
        made = segments.column_of(column, kind)
        made.validate(full=True)
        assert made.equals(pa.array(column, kind))


def test_the_plan_of_an_older_release_is_trusted_no_more_than_it_says() -> None:
    data = asdict(Plan(rows=3, unchanged=1))
    for name in ("others", "gone", "left", "knows_others", "depends_on_others"):
        del data[name]
    plan = Plan.of({**data, "writes_others": True})
    assert (plan.rows, plan.others, plan.knows_others, plan.depends_on_others) == (3, 3, True, True)

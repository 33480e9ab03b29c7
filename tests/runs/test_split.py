"""Batches that are too much for one commit: split, and each part once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.firestore.connection import Reader, Writer
from firestore_migrations.runs.apply import Applier
from firestore_migrations.runs.committed import parts_of
from firestore_migrations.runs.pressure import FLIGHTS, Pressure
from tests.runs.world import Life, World

SPACE = 700_000


@each_document("c")
def copy(document: Document, db: Database) -> None:
    document["copy"] = document["text"]


@each_document("c", idempotent=False)
def count_up(document: Document, db: Database) -> None:
    document["n"] = document.get("n", 0) + 1


def splits(world: World, run_id: str = "run-1") -> dict[str, list[str]]:
    prefix = f"v001/runs/{run_id}/batches/"
    return {
        path.removeprefix(prefix): data["split"]
        for path, data in world.records().items()
        if path.startswith(prefix) and "split" in data
    }


def pressed(life: Life, world: World, rows: int) -> Applier:
    """A worker that sends commits of a few rows from the beginning."""
    applier = Applier(life.run, Writer(world.address), Reader(world.address))
    applier._pressure.rows = rows
    return applier


def test_documents_that_grow_while_they_are_migrated_still_fit_into_requests(world: World) -> None:
    """Each batch is 4 MiB at most; the documents of this one become 14 MB between plan and apply."""
    world.write({f"c/{n:02}": {"text": "short"} for n in range(20)})
    life = world.run(copy, up_to="review")
    for n in range(20):
        world.change(f"c/{n:02}", text=f"{n:02}" * (SPACE // 4))

    life.go_on()

    assert all(data["copy"] == data["text"] != "short" for data in world.data().values())
    counts = life.results["finish"]["counts"]
    assert (counts["updated"], counts["drifted"], counts["conflicts"], counts["failed"]) == (20, 20, 0, 0)
    assert splits(world)
    world.run(copy, direction="down")
    assert all("copy" not in data for data in world.data().values())


def test_a_document_that_changes_all_the_time_is_migrated_and_loses_nothing(world: World) -> None:
    world.write({f"c/{n:03}": {"n": 0} for n in range(100)})
    life = world.run(count_up, up_to="review")
    other = World(str(world.address.emulator_host), world.address.project, world.storage)
    stop = threading.Event()

    def keep_writing() -> int:
        edits = 0
        while not stop.wait(0.03):  # thirty times as often as Firestore recommends at most
            other.change("c/050", theirs=(edits := edits + 1))
        return edits

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(keep_writing)
        life.perform("apply")
        stop.set()
        edits = writing.result()
    life.go_on()
    other.close()

    data = world.data()
    assert ({document["n"] for document in data.values()}, data["c/050"]["theirs"]) == ({1}, edits)
    assert life.results["finish"]["counts"]["conflicts"] == 0


def test_two_workers_of_which_one_splits_write_everything_once(world: World) -> None:
    world.write({f"c/{n:03}": {"n": n} for n in range(200)})
    life = world.run(count_up, up_to="review", batch_size=50)
    for n in range(0, 200, 7):
        world.change(f"c/{n:03}", theirs=True)  # both have to plan these again
    (part,) = parts_of(life.folder)

    with ThreadPoolExecutor(3) as threads:
        workers = [threads.submit(pressed(life, world, rows).send, part) for rows in (50, 9, 4)]
        totals = [worker.result() for worker in workers]
    life.perform("apply", "finish")

    assert {path: data["n"] for path, data in world.data().items()} == {f"c/{n:03}": n + 1 for n in range(200)}
    assert [total.writes for total in totals] == [200, 200, 200]
    assert life.results["finish"]["counts"]["updated"] == 200


def test_a_run_whose_worker_stopped_among_the_parts_goes_on_with_the_others(world: World) -> None:
    world.write({f"c/{n:03}": {"n": n} for n in range(40)})
    life = world.run(count_up, up_to="review", batch_size=40)
    (part,) = parts_of(life.folder)
    applier = pressed(life, world, rows=4)
    sent: list[int] = []

    class Stopped(Exception):
        pass

    def stop_after_six(code: Any = None) -> float:
        sent.append(1)
        if len(sent) == 6:
            raise Stopped
        return 20.0

    applier._lease.permit = stop_after_six  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        applier.send(part)
    assert 0 < sum(data["n"] != int(path[2:]) for path, data in world.data().items()) < 40
    assert list(splits(world)) == ["000000000-000000039"]

    life.perform("apply", "finish")

    assert {path: data["n"] for path, data in world.data().items()} == {f"c/{n:03}": n + 1 for n in range(40)}
    before = world.run(count_up, direction="down").results["finish"]["counts"]
    assert (before["updated"], before["conflicts"]) == (40, 0)
    assert {path: data["n"] for path, data in world.data().items()} == {f"c/{n:03}": n for n in range(40)}


@pytest.mark.parametrize("code", ["ABORTED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"])
def test_less_is_sent_at_once_when_the_server_pushes_back_and_more_again_later(code: str) -> None:
    pressure = Pressure(400)
    seen = [(pressure.rows, pressure.flights)]
    for _ in range(3):
        pressure.pushed_back(grpc.StatusCode[code])
        seen.append((pressure.rows, pressure.flights))
    assert seen == [(400, FLIGHTS), (200, 1), (100, 1), (50, 1)]
    assert pressure.reason == f"the server answers {code}: commits of 50 documents"

    grown = []
    for _ in range(60):
        pressure.took(0.1)
        grown.append(pressure.rows)
    assert sorted(set(grown)) == [50, 100, 200, 400]
    assert (pressure.flights, pressure.reason) == (FLIGHTS, "")


def test_a_commit_that_takes_long_is_pushing_back_too() -> None:
    pressure = Pressure(100)
    pressure.took(12)
    assert (pressure.rows, pressure.reason) == (50, "a commit takes 12 s: commits of 50 documents")


def test_a_commit_that_arrives_after_its_run_was_taken_back_is_refused(world: World) -> None:
    """Its sender was killed long ago; the network held it back."""
    world.write({f"c/{n}": {"n": n} for n in range(6)})
    before = world.read()
    life = world.run(count_up, up_to="review", batch_size=2)
    (part,) = parts_of(life.folder)
    applier = pressed(life, world, rows=2)
    commits: list[list[bytes]] = []

    def hold_back_the_second(writes: Any, timeout: float) -> int:
        if any(b"count_up" not in write and b"batches/000000002" in write for write in writes):
            commits.append(list(writes))
            raise KeyboardInterrupt
        return Writer.commit(applier._writer, writes, timeout)

    applier._writer.commit = hold_back_the_second  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        applier.send(part)
    life.perform("finish")

    world.run(count_up, direction="down", run_id="down")
    with pytest.raises(grpc.RpcError) as refused:
        world.writer.commit(commits[0], timeout=30)

    assert refused.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert world.read() == before
    sealed = {data.get("rows") for data in world.records().values() if data.get("sealed_by") == "down"}
    assert "000000002-000000003" in sealed

"""Apply: each batch once, whatever happens; and what people write meanwhile is never lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document, script
from firestore_migrations.authoring.discovery import load
from firestore_migrations.errors import IllegalTransition, LeaseHeld, VerifyFailed
from firestore_migrations.runs.committed import batches_of, parts_of
from tests.runs.world import World


@each_document("c")
def up(document: Document, db: Database) -> None:
    document.setdefault("new", document.get("old", 0) * 10)


@each_document("c", idempotent=False)
def count_up(document: Document, db: Database) -> None:
    document["n"] = document.get("n", 0) + 1


def batches(world: World, run_id: str = "run-1") -> dict[str, dict[str, Any]]:
    prefix = f"v001/runs/{run_id}/batches/"
    return {path[len(prefix) :]: data for path, data in world.records().items() if path.startswith(prefix)}


@pytest.mark.parametrize("shards", [1, 4])
def test_batches_add_up_to_the_plan_however_it_is_cut(world: World, shards: int) -> None:
    world.write({f"c/{n:03}": {"old": n} for n in range(103)})

    life = world.run(up, shards=shards, batch_size=10)

    assert world.data() == {f"c/{n:03}": {"old": n, "new": n * 10} for n in range(103)}
    found = batches(world)
    assert sum(record["writes"] for record in found.values()) == life.results["review"]["rows"] == 103
    spans = [tuple(map(int, name.split("-"))) for name in sorted(found)]
    assert [first for first, _ in spans] == [0, *(last + 1 for _, last in spans[:-1])]
    assert spans[-1][1] == 102
    assert {record["shard"] for record in found.values()} == set(range(shards))
    assert [result["writes"] for result in life.results["apply"]] == [
        sum(record["writes"] for record in found.values() if record["shard"] == shard) for shard in range(shards)
    ]
    assert life.results["verify"]["held"] == 103


def test_a_commit_of_500_takes_499_documents_and_its_record(world: World) -> None:
    world.write({f"c/{n:04}": {"old": n} for n in range(1000)})

    world.run(up)

    assert sorted(record["writes"] for record in batches(world).values()) == [2, 499, 499]


def test_large_documents_are_cut_by_bytes(world: World) -> None:
    """Thirty writes of 300 KB are 9 MB: the emulator takes 4 MiB at once."""
    for n in range(30):
        world.write({f"c/{n:02}": {"text": "x" * 300_000}})

    @each_document("c")
    def longer(document: Document, db: Database) -> None:
        document["text"] = document["text"].replace("x", "y")

    life = world.run(longer)

    assert sorted(record["writes"] for record in batches(world).values()) == [4, 13, 13]
    assert {data["text"] for data in world.data().values()} == {"y" * 300_000}
    assert life.results["verify"]["held"] == 30


@pytest.mark.parametrize("percent", [0.5, 30, 60])
def test_a_rollout_takes_its_share_and_a_later_one_the_rest(world: World, percent: float) -> None:
    world.write({f"c/{n:03}": {"old": n} for n in range(200)})

    first = world.run(up, rollout_percent=percent, shards=2)
    migrated = {path for path, data in world.data().items() if "new" in data}
    partial = world.state(), world.audit.versions()["v001"]["rollout_percent"]
    second = world.run(up)

    assert len(migrated) == first.results["finish"]["counts"]["updated"]
    assert abs(len(migrated) - 2 * percent) < 25
    assert partial == ("partial", percent)
    assert all("new" in data for data in world.data().values())
    assert second.results["finish"]["counts"]["updated"] == 200 - len(migrated)
    assert world.state() == "verified"


def test_a_wider_rollout_keeps_every_document_of_the_narrower(world: World) -> None:
    world.write({f"c/{n:03}": {"old": n} for n in range(100)})

    def migrated(percent: float) -> set[str]:
        world.run(up, rollout_percent=percent)
        return {path for path, data in world.data().items() if "new" in data}

    assert migrated(20) < migrated(50) < migrated(100)


def test_a_rollout_of_a_verified_version_does_not_make_it_partial(world: World) -> None:
    world.write({"c/a": {"old": 1}})
    world.run(up)
    world.run(up, rollout_percent=10)
    assert (world.state(), world.audit.versions()["v001"]["rollout_percent"]) == ("verified", 100)


def test_applying_again_sends_nothing_again(world: World) -> None:
    world.write({f"c/{n}": {} for n in range(25)})
    life = world.run(count_up, batch_size=10, up_to="apply")
    before = world.update_times()

    again = life.perform("apply").results["apply"]

    assert again == [{"shard": 0, "batches": 3, "writes": 25, "drifted": 0, "conflicts": 0, "failed": 0, "reads": 0}]
    assert world.update_times() == before
    assert {data["n"] for data in world.data().values()} == {1}


MIGRATION = '''"""Count every document up."""

from firestore_migrations import Database, Document, each_document


@each_document("c", idempotent=False)
def up(document: Document, db: Database) -> None:
    document["n"] = document.get("n", 0) + 1
'''

WORKER = """
import sys
from pathlib import Path
from firestore_migrations.authoring.discovery import load
from tests.runs.world import World
host, project, storage, file = sys.argv[1:]
world = World(host, project, Path(storage))
life = world.begin(load(Path(file)), run_id="killed", batch_size=1)
life.perform("preflight", "apply")
"""


def test_a_killed_apply_goes_on_where_it_stopped(world: World, tmp_path: Path) -> None:
    """SIGKILL while batches are in flight; then another process, with the same run, finishes it."""
    world.write({f"c/{n:03}": {"n": 0} for n in range(200)})
    file = tmp_path / "v001_count.py"
    file.write_text(MIGRATION)
    command = [sys.executable, "-c", WORKER, str(world.address.emulator_host), world.address.project]
    worker = subprocess.Popen(
        [*command, str(world.storage), str(file)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    while len(batches(world, "killed")) < 20:
        assert worker.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    stopped_at = len(batches(world, "killed"))

    life = world.begin(load(file), run_id="killed", batch_size=1)
    life.perform("preflight", "finish")

    assert 20 <= stopped_at < 200
    assert {data["n"] for data in world.data().values()} == {1}
    assert len(batches(world, "killed")) == 200
    assert life.results["finish"]["counts"]["updated"] == 200
    assert life.results["verify"]["held"] == 200
    assert world.state() == "verified"


def test_what_was_written_meanwhile_is_migrated_from_its_present_state(world: World) -> None:
    world.write({f"c/{n}": {"old": n} for n in range(10)})
    life = world.run(up, up_to="review", batch_size=4)

    world.write({"c/1": {"old": 100, "theirs": True}, "c/new": {"old": 7}})
    world.change("c/5", theirs=5)
    world.delete("c/3", "c/9")
    life.go_on()

    assert world.data() == {
        **{f"c/{n}": {"old": n, "new": n * 10} for n in (0, 2, 4, 6, 7, 8)},
        "c/1": {"old": 100, "theirs": True, "new": 1000},
        "c/5": {"old": 5, "theirs": 5, "new": 50},
        "c/new": {"old": 7, "new": 70},
    }
    (applied,) = life.results["apply"]
    assert (applied["batches"], applied["writes"], applied["drifted"], applied["conflicts"]) == (3, 8, 4, 0)
    assert life.results["finish"]["counts"] == {
        "scanned": 11,  # c/new too, by verify
        "created": 0,
        "updated": 9,
        "deleted": 0,
        "unchanged": 2,  # they are gone
        "drifted": 4,
        "conflicts": 0,
        "failed": 0,
    }
    assert (life.results["verify"]["residue_applied"], life.results["verify"]["held"]) == (1, 9)
    assert life.results["verify"]["changed_since"] == 0


def test_a_batch_of_which_nothing_is_left_is_recorded_all_the_same(world: World) -> None:
    world.write({f"c/{n}": {"old": n} for n in range(4)})
    life = world.run(up, up_to="review", batch_size=2)

    world.delete("c/0", "c/1")
    life.go_on()

    assert world.data() == {"c/2": {"old": 2, "new": 20}, "c/3": {"old": 3, "new": 30}}
    assert [record["writes"] for record in batches(world).values()] == [0, 2]
    world.run(up, direction="down")
    assert world.data() == {"c/2": {"old": 2}, "c/3": {"old": 3}}


def test_a_document_that_was_migrated_by_hand_meanwhile_is_left_as_it_is(world: World) -> None:
    world.write({"c/a": {"old": 1}, "c/b": {"old": 2}})
    life = world.run(up, up_to="review")

    world.change("c/a", new=-1)
    life.go_on()

    assert world.data() == {"c/a": {"old": 1, "new": -1}, "c/b": {"old": 2, "new": 20}}


def test_a_document_that_left_the_filter_meanwhile_is_left_alone(world: World) -> None:
    world.write({"c/a": {"status": "open"}, "c/b": {"status": "open"}})

    @each_document("c", where=[("status", "==", "open")])
    def late(document: Document, db: Database) -> None:
        document["late"] = True

    life = world.run(late, up_to="review")
    world.change("c/a", status="paid")
    life.go_on()

    assert world.data() == {"c/a": {"status": "paid"}, "c/b": {"status": "open", "late": True}}


def test_a_document_created_meanwhile_where_the_plan_creates_one_is_kept(world: World) -> None:
    world.write({"users/a": {}, "users/b": {}})

    @each_document("users")
    def stats(user: Document, db: Database) -> None:
        db.create(f"stats/{user.id}", {"n": 0})

    life = world.run(stats, up_to="review")
    world.write({"stats/a": {"n": 7}})
    life.go_on()
    world.run(stats, direction="down")

    assert world.data() == {"users/a": {}, "users/b": {}, "stats/a": {"n": 7}}


def test_what_a_script_planned_for_a_moved_document_is_a_conflict(world: World) -> None:
    world.write({"c/a": {"n": 1}, "c/b": {"n": 2}})

    @script
    def total(db: Database) -> None:
        for snapshot in db.collection("c").stream():
            if "seen" not in snapshot.to_dict():
                snapshot.reference.update({"seen": snapshot.get("n")})

    life = world.run(total, up_to="review")
    world.change("c/a", n=5)
    life.perform("apply")

    assert world.data() == {"c/a": {"n": 5}, "c/b": {"n": 2, "seen": 2}}
    assert life.results["apply"][0]["conflicts"] == 1
    (failure,) = [data for path, data in world.records().items() if "/failures/" in path]
    assert failure == {
        "path": "c/a",
        "step": "total",
        "error": "conflict: changed since the script ran",
        "row": 0,
        "task": "apply",
        "state": "open",
    }
    life.go_on()
    assert world.data()["c/a"] == {"n": 5, "seen": 5}


PEOPLE = """
import os, sys
from google.cloud import firestore
client = firestore.Client(project=sys.argv[1])
total = 0
print("ready", flush=True)
while not os.path.exists(sys.argv[2]):
    client.document(f"c/{total % 60:02}").update({"n": firestore.Increment(1)})
    total += 1
print(total)
"""


def test_people_may_write_all_the_time(world: World) -> None:
    """A writer that never rests, against a plan that is applied: each of its increments is there afterwards."""
    world.write({f"c/{n:02}": {"n": 0} for n in range(60)})
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PEOPLE,
            world.address.project,
            str(world.storage / "stop"),
        ],
        env={**os.environ, "FIRESTORE_EMULATOR_HOST": str(world.address.emulator_host)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    life = world.run(up, batch_size=5, up_to="verify")
    (world.storage / "stop").touch()
    total, _ = writer.communicate(timeout=20)

    assert sum(data["n"] for data in world.data().values()) == int(total) > 0
    assert all(data["new"] == 0 for data in world.data().values())
    assert life.results["verify"]["residue"] == 0


def test_a_worker_that_lost_the_target_sends_nothing_more(world: World) -> None:
    world.write({"c/a": {"old": 1}})
    life = world.run(up, up_to="review")
    _, now = world.writer.get(["_migrations/_lease"])
    world.lease(holder="v009/other", expires_at=_in_an_hour(now))

    with pytest.raises(LeaseHeld, match="v009/other"):
        life.perform("apply")

    assert world.data() == {"c/a": {"old": 1}}


def _in_an_hour(now: int) -> Any:
    from firestore_migrations.runs.run import instant

    return instant(now + 3_600_000_000)


@pytest.mark.parametrize("spoil", ["dry run", "review refused", "planned again", "not reviewed"])
def test_only_the_plan_that_was_reviewed_is_applied(world: World, spoil: str) -> None:
    world.write({"c/a": {"old": 1}})
    before = world.read()

    @each_document("c")
    def some(document: Document, db: Database) -> None:
        if document.id == "bad":
            raise ValueError
        document["new"] = 1

    if spoil == "dry run":
        life = world.run(some, mode="dry_run")
    elif spoil == "review refused":
        world.write({"c/bad": {}})
        before = world.read()
        life = world.begin(some)
        with pytest.raises(Exception, match="max_failures"):
            life.perform("preflight", "review")
    elif spoil == "planned again":
        life = world.run(some, up_to="review")
        some.transform = lambda document, _: document.update(new=2)
        life.perform("dry_run")
    else:
        life = world.run(some, up_to="dry_run")

    with pytest.raises(Exception, match="review") as refused:
        life.perform("apply")

    assert spoil == "not reviewed" or refused.type is IllegalTransition
    assert world.read() == before


def test_verify_refuses_a_run_that_was_not_applied_to_the_end(world: World) -> None:
    world.write({f"c/{n}": {} for n in range(3)})
    life = world.run(count_up, up_to="review", batch_size=1)
    with pytest.raises(VerifyFailed, match="3 of 3 batches"):
        life.perform("verify")
    assert life.perform("apply", "finish").results["finish"]["state"] == "verified"


def test_parts_and_batches_of_a_plan_never_move(world: World) -> None:
    world.write({f"c/{n:02}": {"old": n} for n in range(30)})
    life = world.run(up, up_to="review", batch_size=7, shards=2)
    cut = [batch.rows for part in parts_of(life.folder) for batch in batches_of(life.folder, part)]
    for phase in ("preflight", "backup", "dry_run", "review", "apply", "backup", "dry_run", "review"):
        life.perform(phase)
    assert [batch.rows for part in parts_of(life.folder) for batch in batches_of(life.folder, part)] == cut
    assert sorted(batches(world)) == cut

"""What a run will cost is counted, not guessed: where nobody else writes, it costs just that."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.authoring.migration import Step
from firestore_migrations.runs.run import is_spot_checked
from tests.runs.world import World

USED = ("reads", "writes", "deletes", "price")


@each_document("c")
def mark(document: Document, db: Database) -> None:
    document["m"] = 1


@each_document("c")
def twin(document: Document, db: Database) -> None:
    db.create(f"twins/{document.id}", {"n": 0})


@each_document("c")
def looked_up_twin(document: Document, db: Database) -> None:
    if db.get(f"twins/{document.id}") is None:
        db.set(f"twins/{document.id}", {"n": 0})


@each_document("c")
def checked_twin(document: Document, db: Database) -> None:
    db.create(f"twins/{document.id}", {"n": 0})


@checked_twin.verify
def has_a_twin(document: Document, db: Database) -> None:
    assert db.get(f"twins/{document.id}") is not None


@each_document("c")
def mark_and_twin(document: Document, db: Database) -> None:
    document["m"] = 1
    db.create(f"twins/{document.id}", {"n": 0})


@each_document("c")
def clear(document: Document, db: Database) -> None:
    db.delete(f"twins/{document.id}")


@each_document("c")
def rename(document: Document, db: Database) -> None:
    if not document.id.startswith("new-"):
        db.set(f"c/new-{document.id}", {"n": 0})
        db.delete(document.path)


@each_document("c")
def move(document: Document, db: Database) -> None:
    db.set(f"moved/{document.id}", {"n": 0})
    db.delete(document.path)


@pytest.mark.parametrize(
    "step", [mark, twin, looked_up_twin, checked_twin, mark_and_twin, clear, rename, move], ids=lambda step: step.name
)
@pytest.mark.parametrize("shards", [1, 3])
def test_a_run_costs_what_its_plan_says(world: World, step: Step, shards: int) -> None:
    seen_whole = [path for path in map("c/{}".format, range(20, 2000)) if is_spot_checked(path)]
    paths = [*map("c/{}".format, range(20)), *seen_whole[:2]]
    world.write({path: {} for path in paths})
    if step is clear:
        world.write({path.replace("c/", "twins/"): {} for path in paths})
    world.run(step, run_id="it", shards=shards, batch_size=7)
    run = world.audit.runs("v001")["it"]
    assert (run["state"], {name: run[name] for name in USED}) == (
        "verified",
        {name: run["estimate"][name] for name in USED},
    )


@each_document("c", where=[("n", ">", 15)])
def mark_some(document: Document, db: Database) -> None:
    document["m"] = 1


@each_document("c", where=[("n", "<", 5)])
def leave_a_filter(document: Document, db: Database) -> None:
    document["n"] = 99


@each_document("c", where=[("kind", "==", "old")])
def leave_an_equality(document: Document, db: Database) -> None:
    document["kind"] = "new"


@each_document("users/{uid}/c")
def mark_below_users(document: Document, db: Database) -> None:
    document["m"] = 1


@each_document("c", window="at")
def mark_by_day(document: Document, db: Database) -> None:
    document["m"] = 1


NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("step", "options", "reads"),
    [
        (mark, {"rollout_percent": 10}, 2 * 20),
        (mark_some, {}, 2 * 20),  # the reader applies the filter
        (leave_a_filter, {}, 2 * 20 + 5),  # the server still sends all of them, and those that left are looked up
        (leave_an_equality, {}, 2 * 10),  # it sends them no more
        (mark_below_users, {}, 2 * (20 + 3)),  # a collection group, of which the reader takes those below users
        (mark_by_day, {"window": "2026-03-01/2026-03-02"}, 2 * 4 + 4 + 2),  # twice, what was written, and two counts
    ],
    ids=["rollout", "filter", "left a filter", "left an equality", "wildcard", "window"],
)
def test_documents_that_are_read_and_left_out_are_counted_as_well(
    world: World, step: Step, options: dict[str, Any], reads: int
) -> None:
    kinds = ("old", "other")
    world.write({f"c/{i}": {"n": i, "at": NOON + timedelta(days=i // 4), "kind": kinds[i % 2]} for i in range(20)})
    world.write({f"users/ada/c/{i}": {"n": i} for i in range(3)})
    world.run(step, run_id="it", **options)
    run = world.audit.runs("v001")["it"]
    assert (run["counts"]["updated"] < 20, run["reads"], run["estimate"]["reads"]) == (True, reads, reads)

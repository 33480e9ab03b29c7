from __future__ import annotations

from itertools import pairwise

from firestore_migrations import Database, Document, each_document, script
from tests.runs.world import World


@each_document("a")
def first(document: Document, db: Database) -> None:
    document["seen"] = True


@each_document("b")
def second(document: Document, db: Database) -> None:
    document["seen"] = True


@script
def third(db) -> None:
    db.collection("c").document("all").set({"n": 1})


def test_steps_share_the_thousand_shards_that_airflow_can_map(world: World) -> None:
    """Asked for 1,000 each, two scopes and a script would be 2,001 tasks, and Airflow fails a map of 1,025."""
    for collection in ("a", "b"):
        for start in (0, 500):
            world.write({f"{collection}/{number:04d}": {"n": number} for number in range(start, start + 500)})
    shards = world.begin(world.migration(first, second, third), shards=1000).perform("preflight").results["preflight"]
    by_step = {name: sum(shard["step"] == name for shard in shards) for name in ("first", "second", "third")}
    assert by_step == {"first": 499, "second": 499, "third": 1}
    assert [shard["index"] for shard in shards] == list(range(999))
    assert all(left["end"] == right["start"] for left, right in pairwise(shards[:499]))

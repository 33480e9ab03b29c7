"""Rollout: 1, 10, then 100 percent. Each document is written once, and the audit is true at every step."""

from __future__ import annotations

import pytest

from firestore_migrations import Database, Document, each_document
from tests.runs.world import World

PERCENTS = (1, 10, 100)
DOCUMENTS = 1000


@each_document("c")
def up(document: Document, db: Database) -> None:
    document["new"] = document["old"]


@up.verify
def is_new(document: Document, db: Database) -> None:
    assert document["new"] == document["old"]


@pytest.fixture
def crowd(world: World) -> World:
    """A thousand documents, in two commits."""
    names = [f"c/{n:04}" for n in range(DOCUMENTS)]
    for half in (names[:500], names[500:]):
        world.write({name: {"old": name, "list": [1.5, None, name]} for name in half})
    return world


def migrated(world: World) -> set[str]:
    return {path for path, data in world.data().items() if "new" in data}


def version(world: World) -> tuple[str, float]:
    record = world.audit.versions()["v001"]
    return record["state"], record["rollout_percent"]


def test_one_then_ten_then_a_hundred_percent_write_each_document_once(crowd: World) -> None:
    told, seen = [], [crowd.update_times()]
    for percent in PERCENTS:
        counts = crowd.run(up, rollout_percent=percent, shards=3).results["finish"]["counts"]
        told.append((*version(crowd), counts["updated"] + counts["unchanged"], len(migrated(crowd))))
        seen.append(crowd.update_times())

    times = [{at[path] for at in seen} for path in seen[0]]
    assert {len(at) for at in times} == {2}  # as it was made, and as one run left it
    assert [state for state, *_ in told] == ["partial", "partial", "verified"]
    assert [percent for _, percent, *_ in told] == [1, 10, 100]
    shares = [share for *_, share in told]
    assert 1 <= shares[0] <= 30 < shares[1] <= 160 < shares[2] == DOCUMENTS
    assert [scanned for _, _, scanned, _ in told] == shares  # each run looks at its share, and at no document besides


@pytest.mark.parametrize("reached", [1, 2, 3], ids=["1 %", "10 %", "100 %"])
def test_a_rollback_at_any_percentage_restores_every_byte(crowd: World, reached: int) -> None:
    before = crowd.read()
    for percent in PERCENTS[:reached]:
        crowd.run(up, rollout_percent=percent)

    life = crowd.run(up, direction="down")

    assert (crowd.read(), version(crowd)) == (before, ("rolled_back", 0))
    assert life.results["verify"]["changed_since"] == 0


def test_the_last_step_of_a_rollout_can_be_taken_back_alone_and_gone_again(crowd: World) -> None:
    runs = [crowd.run(up, rollout_percent=percent, run_id=f"to-{percent}") for percent in PERCENTS]
    tenth = sum(life.results["finish"]["counts"]["updated"] for life in runs[:2])

    crowd.run(up, direction="down", undo="to-100")
    assert (version(crowd), len(migrated(crowd))) == (("partial", 10), tenth)

    again = crowd.run(up, rollout_percent=50)
    assert version(crowd) == ("partial", 50)
    assert again.results["finish"]["counts"]["updated"] == len(migrated(crowd)) - tenth
    crowd.run(up)
    assert (version(crowd), len(migrated(crowd))) == (("verified", 100), DOCUMENTS)


def test_a_wider_step_that_stops_leaves_the_narrower_one_true(crowd: World) -> None:
    """The version is then failed at the percentage that was verified; going on ends at the wider one."""
    crowd.run(up, rollout_percent=1)
    stopped = crowd.run(up, rollout_percent=10, up_to="apply")
    crowd.change(min(migrated(crowd)), old="edited while it was verified")
    stopped.perform("finish")
    assert version(crowd) == ("failed", 1)

    stopped.perform("verify", "finish")
    assert version(crowd) == ("partial", 10)

"""What a run will cost is counted, not guessed: where nobody else writes, it costs just that."""

from __future__ import annotations

import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.authoring.migration import Step
from tests.runs.world import World

USED = ("reads", "writes", "deletes", "price")


@each_document("c")
def mark(document: Document, db: Database) -> None:
    document["m"] = 1


@each_document("c")
def twin(document: Document, db: Database) -> None:
    db.create(f"twins/{document.id}", {"n": 0})


@each_document("c")
def move(document: Document, db: Database) -> None:
    db.set(f"moved/{document.id}", {"n": 0})
    db.delete(document.path)


@pytest.mark.parametrize("step", [mark, twin, move], ids=lambda step: step.name)
@pytest.mark.parametrize("shards", [1, 3])
def test_a_run_costs_what_its_plan_says(world: World, step: Step, shards: int) -> None:
    world.write({f"c/{i}": {} for i in range(20)})
    world.run(step, run_id="it", shards=shards, batch_size=7)
    run = world.audit.runs("v001")["it"]
    assert (run["state"], {name: run[name] for name in USED}) == (
        "verified",
        {name: run["estimate"][name] for name in USED},
    )

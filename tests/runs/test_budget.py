"""A run costs what it may: refused before, stopped while it writes, and taken on with more money."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.errors import ConfigurationError, OverBudget
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.budget import checked
from firestore_migrations.runs.control import resume
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.price import Prices
from tests.runs.world import Life, World

A_DOLLAR_A_WRITE = Prices(reads=0, writes=100_000, deletes=100_000)


@each_document("c")
def mark(document: Document, db: Database) -> None:
    document["m"] = 1


@each_document("c", window="at")
def mark_by_day(document: Document, db: Database) -> None:
    document["m"] = 1


def planned(world: World, budget: float) -> Life:
    """A run over ten documents in five batches: fifteen dollars."""
    world.write({f"c/{i}": {} for i in range(10)})
    life = world.begin(mark, run_id="it", batch_size=2, budget=budget)
    life.run = replace(life.run, prices=A_DOLLAR_A_WRITE)
    return life.perform("preflight", "dry_run")


def test_a_plan_above_the_budget_is_refused_and_goes_on_with_more_money(world: World) -> None:
    life = planned(world, 14.5)
    before = world.read()
    with pytest.raises(OverBudget, match=r"would cost 15 USD.*resume v001 --budget"):
        life.go_on()
    assert (world.audit.runs("v001")["it"]["state"], world.read()) == ("failed", before)

    resume(Ledger(world.writer), RunName("v001", "it"), "ada", budget=15)
    life.go_on()
    run = world.audit.runs("v001")["it"]
    assert (run["state"], run["price"], run["estimate"]["price"], run["budget"]) == ("verified", 15, 15, 15)


def test_a_run_stops_before_the_batch_that_exceeds_the_budget_and_goes_on_where_it_stopped(world: World) -> None:
    life = planned(world, 15).perform("review")
    world.write({f"c/new{i}": {} for i in range(3)})
    with pytest.raises(OverBudget, match=r"more than the budget of 15 USD"):
        life.go_on()
    stopped = world.audit.runs("v001")["it"]
    assert (stopped["state"], stopped["writes"]) == ("failed", 15)

    resume(Ledger(world.writer), RunName("v001", "it"), "ada", budget=20)
    life.go_on()
    run = world.audit.runs("v001")["it"]
    assert (run["state"], run["writes"], run["counts"]["updated"]) == ("verified", 20, 13)
    assert all(data == {"m": 1} for data in world.data().values())
    assert [event["message"] for event in world.audit.events("v001", "it") if event["task"] == "resume"] == [
        "resumed by ada with a budget of 20 USD"
    ]


def test_what_verify_reads_counts_too_also_where_it_stops_for_it(world: World) -> None:
    """Five documents are read before, and by name in verify; then forty more, by name and whole, at too much cost."""
    world.write({f"c/{i}": {} for i in range(5)})
    life = world.begin(mark, run_id="it", budget=30)
    life.run = replace(life.run, prices=Prices(reads=100_000, writes=0, deletes=0))
    life.perform("preflight", "apply")
    world.write({f"c/new{i}": {} for i in range(40)})
    with pytest.raises(OverBudget, match="bring its cost to 90 USD, more than the budget of 30 USD"):
        life.go_on()
    assert world.audit.runs("v001")["it"]["reads"] == 90

    resume(Ledger(world.writer), RunName("v001", "it"), "ada", budget=1000)
    life.go_on()
    run = world.audit.runs("v001")["it"]
    assert (run["state"], run["counts"]["updated"], run["reads"]) == ("verified", 45, 90 + 85 + 85)


def test_a_window_that_stopped_for_its_budget_is_named_in_the_command_that_goes_on(world: World) -> None:
    world.write({"c/d": {"at": datetime(2026, 3, 1, 12, tzinfo=timezone.utc)}})
    with pytest.raises(OverBudget, match="resume v001 --run it --budget USD"):
        world.run(mark_by_day, run_id="it", window="2026-03-01/2026-03-02", budget=0)


@pytest.mark.parametrize("budget", ["much", "-1", "nan", "inf", None])
def test_a_budget_is_a_number_of_dollars(budget: object) -> None:
    with pytest.raises(ConfigurationError, match="A budget is a number of US dollars"):
        checked(budget)

"""Gates: who may write, in which order, and that a refusal leaves the data alone."""

from __future__ import annotations

from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document, script
from firestore_migrations.errors import ChecksumChanged, OutOfOrder, Refused
from tests.runs.world import World

KNOWN = ("v001", "v002", "v003")


@each_document("c")
def up(document: Document, db: Database) -> None:
    document["n"] = 1


@pytest.fixture
def here(world: World) -> World:
    world.write({"c/a": {}})
    return world


def refused(world: World, error: type[Refused], match: str, what: Any = up, **facts: Any) -> Refused:
    """The refusal of a run, after which the data are what they were and the run is recorded as failed."""
    before = world.read(), world.update_times()
    life = world.begin(what, **facts)
    with pytest.raises(error, match=match) as raised:
        life.perform("preflight")
    assert (world.read(), world.update_times()) == before
    run = world.audit.runs(life.run.version)[life.run.id]
    assert (run["state"], run["error"]) == ("failed", f"{error.__name__}: {raised.value}")
    return raised.value


def test_a_version_waits_for_the_older_ones(here: World) -> None:
    migration = here.migration(up, version="v003")
    error = refused(here, OutOfOrder, r"v003 .* v001, v002\..*run v001", migration, known=KNOWN)
    assert error.facts == {"versions": ("v001", "v002")}
    here.run(here.migration(up, version="v001"), known=KNOWN)
    refused(here, OutOfOrder, r"v003 .* v002\.", migration, known=KNOWN)
    here.run(here.migration(up, version="v002"), known=KNOWN)
    here.run(migration, known=KNOWN)
    assert [here.state(version) for version in KNOWN] == ["verified"] * 3


def test_versions_are_in_the_order_of_their_numbers(here: World) -> None:
    refused(here, OutOfOrder, r"v10 .* v9\.", here.migration(up, version="v10"), known=("v9", "v10"))


def test_a_dry_run_needs_no_order(here: World) -> None:
    life = here.run(here.migration(up, version="v003"), known=KNOWN, mode="dry_run")
    assert life.results["finish"]["state"] == "planned"
    assert here.data() == {"c/a": {}}


def test_an_older_version_behind_an_applied_one_is_refused_by_name(here: World) -> None:
    here.run(here.migration(up, version="v002"))
    refused(here, OutOfOrder, r"v001 is pending behind .* v002\.", here.migration(up, version="v001"), known=KNOWN)


def test_a_partial_version_does_not_let_the_next_one_pass(here: World) -> None:
    here.run(here.migration(up, version="v001"), rollout_percent=50)
    refused(here, OutOfOrder, r"v002 .* v001\.", here.migration(up, version="v002"), known=KNOWN)


def test_an_applied_file_that_was_edited_is_refused(here: World) -> None:
    here.run(here.migration(up, checksum="a" * 64))
    refused(here, ChecksumChanged, "v001_up.py was edited after v001", here.migration(up, checksum="b" * 64))
    here.run(here.migration(up, checksum="a" * 64))


def test_an_edited_file_may_be_planned_and_taken_back(here: World) -> None:
    here.run(here.migration(up, checksum="a" * 64))
    edited = here.migration(up, checksum="b" * 64)
    here.run(edited, mode="dry_run")
    here.run(edited, direction="down")
    assert here.data() == {"c/a": {}}


def test_a_script_cannot_be_rolled_out_in_part(here: World) -> None:
    @script
    def total(db: Database) -> None:
        db.set("totals/all", {})

    refused(here, Refused, r"v001 has a script.* 5 %", total, rollout_percent=5)


def _count(document: Document, db: Database) -> None:
    document["n"] = document.get("n", 0) + 1


def test_what_is_not_idempotent_never_runs_twice_on_a_document(here: World) -> None:
    count = each_document("c", idempotent=False)(_count)
    refused(here, Refused, "cannot be rolled out in parts", count, rollout_percent=50)
    life = here.run(count, up_to="apply")
    life.perform("finish")
    assert here.state() == "failed"
    refused(here, Refused, f"{life.run.id} has written .* apply twice", count)
    life.perform("preflight").perform("apply", "finish")
    assert here.state() == "verified"
    refused(here, Refused, "apply twice", count)
    here.run(count, direction="down")
    here.run(count)
    assert here.data() == {"c/a": {"n": 1}}


@pytest.mark.parametrize("refusal", ["gate", "nothing to roll back"])
def test_a_refused_run_leaves_no_lease_behind(here: World, refusal: str) -> None:
    facts: dict[str, Any] = {"direction": "down"} if refusal != "gate" else {"known": ("v000", "v001")}
    with pytest.raises(Refused):
        here.run(up, **facts)
    here.run(up)


def test_a_run_that_was_refused_may_pass_the_gates_later(here: World) -> None:
    migration = here.migration(up, version="v002")
    life = here.begin(migration, known=KNOWN)
    with pytest.raises(OutOfOrder):
        life.perform("preflight")
    here.run(here.migration(up, version="v001"))
    life.perform("preflight", "finish")
    run = here.audit.runs("v002")[life.run.id]
    assert (run["state"], run["error"], run["read_time"] is None) == ("verified", None, False)

"""States: one table says which may follow which, and every way through it is taken by real runs."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.authoring.discovery import Discovered
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.errors import (
    CannotLoad,
    ChecksumChanged,
    FirestoreMigrationsError,
    IllegalTransition,
    LeaseHeld,
    OutOfOrder,
    Refused,
    UnknownVersion,
)
from firestore_migrations.runs import status
from firestore_migrations.runs.baseline import baseline
from firestore_migrations.runs.holder import holder
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.overview import overview
from firestore_migrations.runs.phases import perform
from firestore_migrations.runs.repair import repair
from firestore_migrations.runs.run import Target
from tests.runs.world import World

# Written out by hand: the table in the code must say the same.
MAY_FOLLOW = {
    "pending": "planned failed",
    "planned": "awaiting_approval applying rolling_back failed",
    "awaiting_approval": "planned applying rolling_back rejected failed",
    "rejected": "pending",
    "applying": "paused applied failed",
    "paused": "applying rolling_back failed",
    "applied": "verified failed",
    "verified": "failed",
    "rolling_back": "paused rolled_back failed",
    "rolled_back": "failed",
    "failed": "planned awaiting_approval applying rolling_back applied verified rolled_back",
    "baseline": "",
}


@each_document("c")
def up(document: Document, db: Database) -> None:
    document["n"] = 1


@pytest.fixture
def here(world: World) -> World:
    world.write({"c/a": {}})
    return world


class Files:
    """A folder of migrations, as it is discovered: v001 to v003 at first."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.migrations = {name: self._migration(name, "a") for name in ("v001", "v002", "v003")}
        self.broken: tuple[FirestoreMigrationsError, ...] = ()

    @property
    def discovered(self) -> Discovered:
        return Discovered(tuple(self.migrations.values()), self.broken)  # type: ignore[arg-type]

    def edit(self, version: str) -> None:
        self.migrations[version] = self._migration(version, "b")

    def remove(self, version: str) -> None:
        del self.migrations[version]

    def facts(self) -> dict[str, Any]:
        """What a run knows of the folder."""
        found = self.discovered
        return {"known": found.versions, "checksums": {file.version: file.checksum for file in found.migrations}}

    def run(self, version: str, **facts: Any) -> None:
        self._world.run(self.migrations[version], **self.facts(), **facts)

    def states(self) -> list[str]:
        held = holder(Ledger(self._world.writer))
        return [version.state for version in overview(self._world.audit, self.discovered, held)]

    def baseline(self, version: str) -> tuple[str, ...]:
        return baseline(Ledger(self._world.writer), self._target, self.discovered, version, "bob")

    def repair(self, version: str) -> Any:
        return repair(Ledger(self._world.writer), self._target, self.discovered, version, "bob")

    @property
    def _target(self) -> Target:
        return Target("here", self._world.address, Path("/nowhere"))

    def _migration(self, version: str, letter: str) -> Migration:
        return self._world.migration(up, version=version, checksum=letter * 64)


@pytest.fixture
def files(here: World) -> Files:
    return Files(here)


@pytest.mark.parametrize(("before", "after"), list(product(MAY_FOLLOW, MAY_FOLLOW)))
def test_a_state_follows_another_one_only_where_the_table_says_when(before: str, after: str) -> None:
    if before == after or after in MAY_FOLLOW[before].split():
        status.check_transition("run", before, after)
        assert before == after or status.TRANSITIONS[before][after]
        return
    with pytest.raises(IllegalTransition, match=f"Run run is {before}; it cannot become {after}") as refused:
        status.check_transition("run", before, after)
    assert refused.value.facts == {"run": "run", "before": before, "after": after}


def test_the_table_has_every_state_and_no_other(world: World) -> None:
    states = {value for name, value in vars(status).items() if name.isupper() and isinstance(value, str)}
    assert set(status.TRANSITIONS) == states - {"changed", "missing", "out_of_order", "partial"}


def test_an_illegal_step_is_refused_and_changes_nothing(here: World) -> None:
    life = here.run(up)
    before = here.records()
    with pytest.raises(IllegalTransition, match="is verified; it cannot become applying"):
        here.audit.record(life.run, "apply", "began to write", "applying")
    assert here.records() == before


def test_a_run_tells_each_of_its_states_in_order(here: World) -> None:
    life = here.run(up)
    states = [event["state"] for event in here.audit.events("v001", life.run.id)]
    assert list(dict.fromkeys(states)) == ["pending", "planned", "applying", "applied", "verified"]
    down = here.run(up, direction="down")
    states = [event["state"] for event in here.audit.events("v001", down.run.id)]
    assert list(dict.fromkeys(states)) == ["pending", "planned", "rolling_back", "rolled_back"]


def test_a_run_whose_tasks_ended_without_finish_is_ended_by_the_next_one(here: World) -> None:
    """`dagrun_timeout` skips the teardown; the lease runs out then."""
    first = here.run(up, up_to="review", run_id="first")
    here.audit.record_writing(first.run, "applying")
    here.lease(expires_at=first.run.now or here.records()["_lease"]["since"])
    here.run(up, run_id="second")
    assert {name: run["state"] for name, run in here.audit.runs("v001").items()} == {
        "first": "failed",
        "second": "verified",
    }


def test_finish_tells_the_truth_whatever_airflow_calls_the_run(here: World) -> None:
    """A run whose task was marked as failed by hand ends as success in Airflow."""
    life = here.run(up, up_to="apply")
    assert life.perform("finish").results["finish"]["state"] == "failed"
    assert here.state() == "failed"
    life.perform("verify", "finish")
    assert here.state() == "verified"


def test_a_later_version_waits_until_an_edit_is_taken_back_or_accepted(here: World, files: Files) -> None:
    files.run("v001")
    files.edit("v001")
    assert files.states() == ["changed", "pending", "pending"]
    with pytest.raises(ChecksumChanged, match=r"v001_up\.py was edited after .*`firestore-migrations repair v001`"):
        files.run("v002")

    done = files.repair("v001")

    assert (done.state, done.checksum_before, done.checksum_after) == ("verified", "a" * 64, "b" * 64)
    assert files.states() == ["verified", "pending", "pending"]
    files.run("v002")


def test_a_later_version_waits_until_a_missing_file_is_back_or_its_loss_accepted(here: World, files: Files) -> None:
    files.run("v001")
    files.remove("v001")
    assert files.states() == ["missing", "pending", "pending"]
    with pytest.raises(UnknownVersion, match=r"v001\. Restore the file, or .*`firestore-migrations repair v001`"):
        files.run("v002")
    files.repair("v001")
    assert files.states() == ["verified", "pending", "pending"]
    files.run("v002")


def test_a_late_version_is_refused_by_name_until_it_is_a_baseline(here: World, files: Files) -> None:
    late = files.migrations.pop("v002")
    files.run("v001")
    files.run("v003")
    files.migrations = {"v001": files.migrations["v001"], "v002": late, "v003": files.migrations["v003"]}
    assert files.states() == ["verified", "out_of_order", "verified"]
    with pytest.raises(OutOfOrder, match=r"v002 is pending behind .* v003\..*`firestore-migrations baseline v002`"):
        files.run("v002")
    assert files.baseline("v002") == ("v002",)
    assert files.states() == ["verified", "baseline", "verified"]


def test_a_baseline_counts_as_applied_and_stands_in_the_history(here: World, files: Files) -> None:
    before = here.read(), here.update_times()
    with pytest.raises(OutOfOrder, match=r"run v001` first.*`firestore-migrations baseline v001`"):
        files.run("v003")

    assert files.baseline("v002") == ("v001", "v002")

    assert files.states() == ["baseline", "baseline", "pending"]
    assert (here.read(), here.update_times()) == before
    ((run_id, run),) = here.audit.runs("v002").items()
    (event,) = here.audit.events("v002", run_id)
    assert (run["mode"], run["state"], run["triggered_by"], run["checksum"]) == (
        "baseline",
        "baseline",
        "bob",
        "a" * 64,
    )
    assert (run["counts"]["scanned"], run["writes"], run["finished_at"] is None) == (0, 0, False)
    assert (event["by"], event["message"]) == ("bob", "marked as applied by bob; it was not run")
    assert here.records()["_lease"]["holder"] == ""
    assert files.baseline("v002") == ()
    files.run("v003")


def test_what_was_run_is_no_baseline(here: World, files: Files) -> None:
    files.run("v001")
    with pytest.raises(Refused, match="v001 is verified on here: it was run there"):
        files.baseline("v001")
    assert files.baseline("v002") == ("v002",)
    files.run("v003", rollout_percent=50)
    before = here.records()
    with pytest.raises(Refused, match=r"v003 is partial .* rollback v003"):
        files.baseline("v003")
    assert {**here.records(), "_lease": 0} == {**before, "_lease": 0}


def test_a_baseline_waits_for_the_run_that_holds_the_target_and_for_files_that_load(here: World, files: Files) -> None:
    here.run(files.migrations["v001"], up_to="preflight", run_id="busy")
    with pytest.raises(LeaseHeld, match="v001/busy"):
        files.baseline("v001")
    files.broken = (CannotLoad("broken", version="v001"),)
    with pytest.raises(CannotLoad):
        files.baseline("v002")
    assert here.audit.versions() == {"v001": here.audit.versions()["v001"]}


def test_a_run_that_failed_before_it_wrote_is_pending_again_once_that_is_accepted(here: World, files: Files) -> None:
    life = here.run(files.migrations["v001"], up_to="review", **files.facts())
    here.audit.record_writing(life.run, "applying")
    perform(life.run, "finish")
    assert files.states() == ["failed", "pending", "pending"]
    done = files.repair("v001")
    assert (done.state, files.states()) == ("pending", ["pending", "pending", "pending"])
    files.run("v001")
    assert files.states() == ["verified", "pending", "pending"]


def test_a_repair_stands_in_the_history_and_deletes_nothing(here: World, files: Files) -> None:
    files.run("v001")
    before = here.records()
    files.edit("v001")
    done = files.repair("v001")
    after = here.records()
    run = after[f"v001/runs/{done.run}"]
    (event,) = here.audit.events("v001", done.run)
    assert (run["mode"], run["state"], run["triggered_by"], run["checksum"]) == ("repair", "verified", "bob", "b" * 64)
    assert (event["checksum_before"], event["checksum_after"], event["by"]) == ("a" * 64, "b" * 64, "bob")
    kept = before.keys() - {"v001", "_lease"}
    assert {path: after[path] for path in kept} == {path: before[path] for path in kept}
    assert after["v001"] == {**before["v001"], "checksum": "b" * 64, "file_removed": False}


@pytest.mark.parametrize(
    ("history", "match"),
    [
        ("nothing", r"v001 is pending .*`firestore-migrations run v001`"),
        ("verified", r"v001 is verified .* Nothing is to be done"),
        ("rolled back", r"v001 is rolled_back .*`firestore-migrations run v001`"),
        ("partial", r"v001 is partial .* Migrate the rest with `firestore-migrations run v001`"),
        ("wrote and failed", r"v001 is failed .* It has written documents: .* rollback v001"),
        ("wrote, failed, and its file is gone", r"v001 is failed .* Restore its file"),
    ],
)
def test_what_cannot_be_repaired_is_refused_with_the_next_command(
    here: World, files: Files, history: str, match: str
) -> None:
    if history.startswith("wrote"):
        here.run(files.migrations["v001"], up_to="apply").perform("finish")
    elif history != "nothing":
        files.run("v001", rollout_percent=99 if history == "partial" else 100)
    if history == "rolled back":
        files.run("v001", direction="down")
    if history.endswith("gone"):
        files.remove("v001")
    before = here.records()
    with pytest.raises(Refused, match=match):
        files.repair("v001")
    assert {**here.records(), "_lease": 0} == {**before, "_lease": before.get("_lease", 0) and 0}

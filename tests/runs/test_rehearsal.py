"""A rehearsal: every version up and down on a copy, a verdict for each, and the gate that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.emulator import Emulator
from firestore_migrations.errors import ConfigurationError, FirestoreMigrationsError, NotRehearsed, Refused
from firestore_migrations.runs.options import Options
from firestore_migrations.runs.rehearsal import find, newest, refuse_unrehearsed
from firestore_migrations.runs.rehearse import Rehearsing
from tests.runs.rehearsing import Stage

USERS = {f"users/{name}": {"name": name} for name in ("ada", "bob", "cyd")}


@pytest.fixture
def stage(emulator: Emulator, project: str, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(emulator.host, project, tmp_path)
    made.source.write({**USERS, "users/ada/notes/n1": {"text": "x"}})
    yield made
    made.close()


def adding(stage: Stage, number: int, *, fails: str = "") -> Migration:
    """The migration `number`, which gives every user a field; `fails` says where."""
    field = f"field{number}"

    @each_document("users")
    def up(user: Document, db: Database) -> None:
        if fails == "apply" and user.id == "bob":
            raise ArithmeticError
        user[field] = number

    @up.verify
    def holds(user: Document, db: Database) -> None:
        assert fails != "verify"

    return stage.source.migration(up, version=f"v{number:03}", checksum=str(number) * 64)


def test_every_version_passes_and_the_source_is_untouched(stage: Stage) -> None:
    data, times = stage.source.read(), stage.source.update_times()

    found = stage.rehearse(adding(stage, 1), adding(stage, 2))

    assert {version: (one.verdict, one.reason, one.documents, one.equal) for version, one in found.items()} == {
        "v001": ("passed", "", 3, True),
        "v002": ("passed", "", 3, True),
    }
    assert (found["v002"].up["state"], found["v002"].down["state"]) == ("verified", "rolled_back")
    assert (stage.source.read(), stage.source.update_times(), stage.source.records()) == (data, times, {})
    assert stage.copy.read() == data
    assert newest(stage.results, "2" * 64) == found["v002"]


@pytest.mark.parametrize("fails", ["apply", "verify"])
def test_a_failing_version_names_itself_and_the_others_are_reported(stage: Stage, fails: str) -> None:
    found = stage.rehearse(adding(stage, 1), adding(stage, 2, fails=fails), adding(stage, 3))

    assert {version: one.verdict for version, one in found.items()} == {
        "v001": "passed",
        "v002": "failed",
        "v003": "not_rehearsed",
    }
    assert found["v002"].reason.startswith("v002 ended as failed: ")
    assert found["v003"].reason == "v002 failed"
    assert stage.copy.read() == stage.source.read()  # what v002 wrote was taken back too
    assert newest(stage.results, "3" * 64) is None


def test_what_cannot_be_taken_back_fails(stage: Stage) -> None:
    """Somebody changes a migrated field between up and down: the rollback leaves it, so the data is another."""

    def meddle(_version: str, direction: str) -> None:
        if direction == "down":
            stage.copy.change("users/ada", field1="mine")

    found = stage.rehearse(adding(stage, 1), meanwhile=meddle)

    assert (found["v001"].verdict, found["v001"].equal, found["v001"].differing) == ("failed", False, ("users",))
    assert "users" in found["v001"].reason


def test_what_the_source_has_done_is_not_rehearsed(stage: Stage) -> None:
    stage.source.run(adding(stage, 1))

    found = stage.rehearse(adding(stage, 1), adding(stage, 2))

    assert {version: one.verdict for version, one in found.items()} == {"v002": "passed"}
    assert stage.copy.state("v001") == "verified"


def test_a_rehearsal_after_one_that_left_its_writes_begins_anew(stage: Stage) -> None:
    """The second night knows nothing of the first: neither its data nor its runs."""

    def meddle(_version: str, direction: str) -> None:
        if direction == "down":
            stage.copy.delete("users/bob")

    stage.rehearse(adding(stage, 1), meanwhile=meddle)

    found = stage.rehearse(adding(stage, 1), rehearsal_id="night-2")

    assert found["v001"].verdict == "passed"
    assert {path.split("/")[2] for path in stage.copy.records() if "/runs/" in path} == {
        "rehearsal__night-2__1_v001_up",
        "rehearsal__night-2__1_v001_down",
    }


def test_the_gate_asks_for_a_passed_rehearsal_of_this_file_that_is_young_enough(stage: Stage) -> None:
    good, bad = adding(stage, 1), adding(stage, 2, fails="verify")
    production = replace(stage.source.begin(good).run, target=stage.production, rehearsals=stage.results)
    with pytest.raises(NotRehearsed, match=r"there is none.*airflow dags trigger firestore_rehearsal"):
        refuse_unrehearsed(production)

    stage.rehearse(good, bad)

    now = datetime.now(timezone.utc)
    passed = refuse_unrehearsed(production)
    assert passed is not None
    assert passed.id == "night-1"
    with pytest.raises(NotRehearsed, match="is 8 days old"):
        refuse_unrehearsed(production, now + timedelta(days=8))
    with pytest.raises(NotRehearsed, match="v002 ended as failed"):
        refuse_unrehearsed(replace(production, migration=bad))
    edited = replace(good, checksum="9" * 64)
    with pytest.raises(NotRehearsed):
        refuse_unrehearsed(replace(production, migration=edited))
    for allowed in (Options(mode="dry_run"), Options(direction="down"), Options(without_rehearsal="the site is down")):
        assert refuse_unrehearsed(replace(production, migration=edited, options=allowed)) is None


def test_the_audit_keeps_what_let_a_run_pass(stage: Stage) -> None:
    good = adding(stage, 1)
    life = stage.source.begin(good, run_id="refused")
    life.run = replace(life.run, target=stage.production, rehearsals=stage.results)
    with pytest.raises(NotRehearsed):
        life.perform("preflight")

    life = stage.source.begin(good, run_id="urgent", without_rehearsal="the site is down")
    life.run = replace(life.run, target=stage.production, rehearsals=stage.results)
    life.perform("preflight", "finish")

    assert stage.source.records()["v001/runs/urgent"]["without_rehearsal"] == "the site is down"
    messages = [event["message"] for event in stage.source.audit.events("v001", "urgent")]
    assert "goes without a rehearsal: the site is down" in messages


def test_a_file_that_was_edited_behind_the_gate_is_not_written_unrehearsed(stage: Stage) -> None:
    """Whoever clears `dry_run` after an edit plans another file than preflight has let pass."""
    good = adding(stage, 1)
    stage.rehearse(good)
    life = stage.source.begin(good)
    life.run = replace(life.run, target=stage.production, rehearsals=stage.results)
    life.perform("preflight", "backup")
    before = stage.source.data()

    life.run = replace(life.run, migration=replace(good, checksum="9" * 64))
    life.perform("dry_run", "review")
    with pytest.raises(NotRehearsed, match="there is none"):
        life.perform("apply")
    assert stage.source.data() == before


@pytest.mark.parametrize("reason", ["soon", "          ", 7])
def test_no_reason_is_no_override(reason: object) -> None:
    with pytest.raises(ConfigurationError, match="without_rehearsal is a reason of at least 10 characters"):
        Options(without_rehearsal=reason)  # type: ignore[arg-type]


def test_a_version_that_there_is_not_is_refused(stage: Stage) -> None:
    from firestore_migrations.runs.rehearse import Rehearsing

    rehearsing = Rehearsing("x", stage.production, stage.target, stage.results)
    with pytest.raises(FirestoreMigrationsError, match="no v009"):
        rehearsing.refresh([adding(stage, 1)], ["v009"])
    with pytest.raises(ConfigurationError, match="was not refreshed"):
        rehearsing.report()


def test_a_report_that_is_cleared_makes_no_rehearsal_younger_and_changes_no_verdict_of_an_earlier_copy(
    stage: Stage,
) -> None:
    first = stage.rehearse(adding(stage, 1))["v001"]
    early = Rehearsing("night-1", stage.production, stage.target, stage.results)
    (again,) = early.report()
    assert (again.verdict, again.finished_at) == ("passed", first.finished_at)
    stage.rehearse(adding(stage, 1), rehearsal_id="night-2")
    for step in (early.report, early.compare):
        with pytest.raises(Refused, match="was made anew by the rehearsal night-2; what night-1 did on it is gone"):
            step()
    assert find(stage.results, "1" * 64, "night-1") == first


def test_the_first_fingerprint_is_never_taken_of_data_that_a_version_has_changed(stage: Stage) -> None:
    stage.rehearse(adding(stage, 1))
    rehearsing = Rehearsing("night-1", stage.production, stage.target, stage.results)
    with pytest.raises(Refused, match="v001 has run on rehearsal already"):
        rehearsing.before()
    assert rehearsing.reason_to_skip("v001", "up") == ""  # it was taken back since


def test_what_was_rehearsed_on_an_emulator_opens_no_real_database(stage: Stage) -> None:
    stage.rehearse(adding(stage, 1))
    life = stage.source.begin(adding(stage, 1))
    real = replace(stage.production, address=replace(stage.production.address, emulator_host=None))
    run = replace(life.run, target=stage.production, rehearsals=stage.results)
    assert refuse_unrehearsed(run) is not None
    with pytest.raises(NotRehearsed, match="was of an emulator's data"):
        refuse_unrehearsed(replace(run, target=real))

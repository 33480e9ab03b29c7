"""Whoever looks on sees each phase with its documents, why the run waits, and what it costs; no run is disturbed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.errors import Refused, TooManyFailures
from firestore_migrations.firestore.connection import Reader, Writer
from firestore_migrations.runs import control, pulse, tally
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.approval import approve
from firestore_migrations.runs.committed import parts_of
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.phases import perform
from firestore_migrations.runs.policy import Policy
from firestore_migrations.runs.price import Usage
from firestore_migrations.runs.progress import Progress
from firestore_migrations.runs.pulse import Listener, Pulse
from firestore_migrations.runs.run import instant
from firestore_migrations.runs.watch import Watch
from tests.runs.test_split import pressed
from tests.runs.world import Life, World

SECRET = "secret-4711"
RUNS = ("preflight", "backup", "dry_run", "review", "apply", "verify", "finish")


@each_document("c")
def mark(document: Document, db: Database) -> None:
    if document.get("fails"):
        db.fail("it has no owner")
    document["m"] = 1


@pytest.fixture
def here(world: World) -> World:
    """Twelve documents; two of them are as they should be."""
    world.write({f"c/{number:02}": {"m": 1} if number < 2 else {"text": SECRET} for number in range(12)})
    return world


@pytest.fixture
def look(here: World) -> Iterator[Callable[[Life], Progress]]:
    """Look at a run, by one watch for each."""
    watches: dict[str, Watch] = {}
    with closing(Reader(here.address)) as reader:

        def seen(life: Life) -> Progress:
            if life.run.id not in watches:
                watches[life.run.id] = watch_of(life, reader)
            return watches[life.run.id].look()

        yield seen


def watch_of(life: Life, reader: Reader) -> Watch:
    run = life.run
    return Watch(run.target, reader, run.version, run.id, run.prices, run.migration)


def audited(world: World, life: Life) -> dict[str, Any]:
    return world.audit.run(life.run) or {}


def documents(progress: Progress) -> dict[str, tuple[str, int, int | None]]:
    return {phase.name: (phase.state, phase.done, phase.total) for phase in progress.phases}


def expire(world: World) -> None:
    world.lease(expires_at=instant(world.writer.get(["_migrations/_lease"])[1]) - timedelta(seconds=1))


def test_each_phase_is_seen_with_its_documents_and_what_is_next(here: World, look: Any) -> None:
    life = here.begin(mark, batch_size=4)
    seen = {"": look(life)}
    for phase in RUNS:
        life.perform(phase)
        seen[phase] = look(life)

    assert {phase: (progress.state, progress.task) for phase, progress in seen.items()} == {
        "": ("", "preflight"),
        "preflight": ("pending", "backup"),
        "backup": ("pending", "dry_run"),
        "dry_run": ("pending", "review"),
        "review": ("planned", "review"),
        "apply": ("applying", "verify"),
        "verify": ("verified", "finish"),
        "finish": ("verified", "finish"),
    }
    nothing, scanned = ("waiting", 0, None), ("done", 12, 12)
    assert {phase: tuple(documents(progress).values()) for phase, progress in seen.items()} == {
        "": (nothing,) * 4,
        "preflight": (("working", 0, 12), ("waiting", 0, 12), nothing, nothing),
        "backup": (scanned, ("working", 0, 12), nothing, nothing),
        "dry_run": (scanned, scanned, nothing, nothing),
        "review": (scanned, scanned, ("waiting", 0, 10), ("waiting", 0, 12)),
        "apply": (scanned, scanned, ("done", 10, 10), ("working", 0, 12)),
        "verify": (scanned, scanned, ("done", 10, 10), scanned),
        "finish": (scanned, scanned, ("done", 10, 10), scanned),
    }
    assert [progress.has_ended for progress in seen.values()] == [False] * 7 + [True]
    assert (seen["review"].planned_batches, seen["review"].batches, seen["review"].writes) == (3, 0, 0)
    assert (seen["finish"].planned_batches, seen["finish"].batches, seen["finish"].writes) == (3, 3, 10)


def test_the_price_grows_to_what_the_audit_says_in_the_end(here: World, look: Any) -> None:
    life = here.begin(mark, batch_size=4)
    prices = [look(life.perform(phase)).price for phase in RUNS]
    data, last = audited(here, life), look(life)
    assert prices == sorted(prices)
    assert prices[1] > 0
    assert prices[-2] == prices[-1] == data["price"]
    assert last.estimate == data["estimate"]["price"] == pytest.approx(data["price"])


def test_the_rates_over_time_add_up_to_the_documents_that_were_written(here: World, look: Any) -> None:
    life = here.run(mark, batch_size=1, max_writes_per_second=30)
    series = look(life).series
    assert sum(rate for _, rate in series) == 10
    assert [at for at, _ in series] == list(range(len(series)))


def test_a_dry_run_and_a_rollback_end_as_they_should(here: World, look: Any) -> None:
    planned = look(here.run(mark, mode="dry_run"))
    assert (planned.state, planned.has_ended, planned.planned_batches) == ("planned", True, 0)
    assert documents(planned)["apply"] == ("waiting", 0, 10)
    up, down = here.up_and_down(mark)
    assert look(up).state == "verified"
    assert (look(down).state, look(down).has_ended) == ("rolled_back", True)
    assert documents(look(down))["apply"] == ("done", 10, 10)


def test_a_paused_run_says_by_whom_also_when_its_tasks_have_ended(here: World, look: Any) -> None:
    life = here.run(mark, up_to="review")
    here.audit.record_writing(life.run, "applying")
    control.pause(Ledger(here.writer), RunName("v001", life.run.id), "bob")
    seen = [look(life), look(life.perform("finish"))]
    for progress in seen:
        assert (progress.state, progress.task, progress.has_ended) == ("paused", "paused", False)
        assert (progress.waiting, progress.rate, progress.eta) == (
            "paused by bob; it goes on when it is resumed",
            0.0,
            None,
        )


def test_a_run_that_awaits_approval_says_so_and_then_whom_it_waits_for(here: World, look: Any) -> None:
    life = here.begin(mark)
    life.run = replace(life.run, target=replace(life.run.target, policy=Policy(approval=True)))
    life.perform("preflight", "approve")
    digest = life.results["review"]["plan_digest"]
    asked = look(life)
    assert (asked.state, asked.task, asked.waiting) == (
        "awaiting_approval",
        "approve",
        f"a person is to approve plan {digest[:16]}",
    )
    here.begin(mark, run_id="other", mode="dry_run").perform("preflight")
    approve(life.run, digest, "ada")
    assert look(life).task == "apply"
    assert look(life).waiting.startswith("run v001/other holds the target, for ")


def test_a_run_that_waits_for_another_one_names_it(here: World, look: Any) -> None:
    here.run(mark, up_to="preflight", run_id="busy")
    progress = look(here.begin(mark, run_id="late"))
    assert progress.waiting.startswith("run v001/busy holds the target, for ")


def test_a_run_that_nobody_works_on_any_more_says_so(here: World, look: Any) -> None:
    life = here.run(mark, up_to="review")
    here.audit.record_writing(life.run, "applying")
    assert look(life).waiting == ""
    expire(here)
    progress = look(life)
    assert (progress.waiting, progress.has_ended) == ("nobody works on it: its lease ran out or was taken away", False)


def test_a_run_that_preflight_refused_or_that_lost_its_lease_has_ended_without_finish(here: World, look: Any) -> None:
    second = here.begin(here.migration(mark, version="v002"), known=("v001", "v002"))
    with pytest.raises(Refused):
        perform(second.run, "preflight")
    assert (look(second).state, look(second).has_ended) == ("failed", True)
    lost = here.run(mark, up_to="backup")
    expire(here)
    here.run(mark, mode="dry_run")
    assert (look(lost).state, look(lost).has_ended) == ("failed", True)


def test_a_run_that_is_cleared_after_it_failed_is_at_work_again(here: World, look: Any) -> None:
    here.write({"c/00": {"fails": True}})
    life = here.begin(mark)
    with pytest.raises(TooManyFailures):
        life.perform("preflight", "review")
    failed = look(life)
    assert (failed.state, failed.task, failed.has_ended) == ("failed", "finish", True)
    assert (failed.price, failed.failed) == (audited(here, life)["price"], 1)

    here.write({"c/00": {"m": 1}})
    again = look(life.perform("preflight"))
    assert (again.task, again.has_ended, documents(again)["backup"]) == ("backup", False, ("working", 0, 12))
    life.perform("backup", "review")
    assert (look(life).state, look(life).has_ended) == ("planned", False)
    life.perform("apply", "finish")
    assert (look(life).state, look(life).has_ended, look(life).price) == (
        "verified",
        True,
        audited(here, life)["price"],
    )


def test_drift_conflicts_and_failures_are_counted(here: World, look: Any) -> None:
    here.write({"c/03": {"fails": True}, "c/04": {"fails": True}})
    up = here.run(mark, up_to="review", max_failures=2)
    here.change("c/05", theirs=True)
    up.go_on()
    here.change("c/06", m=2)
    down = here.run(mark, direction="down")
    seen = look(up), look(down)
    assert [(progress.drifted, progress.conflicts, progress.failed) for progress in seen] == [(1, 0, 2), (0, 1, 0)]
    counts = [audited(here, life)["counts"] for life in (up, down)]
    assert [(count["drifted"], count["conflicts"], count["failed"]) for count in counts] == [(1, 0, 2), (0, 1, 0)]


def test_residue_is_work_of_apply_and_its_batches_are_counted(here: World, look: Any) -> None:
    life = here.run(mark, up_to="apply", batch_size=4)
    here.write({"c/new": {}})
    life.perform("verify")
    progress = look(life)
    assert documents(progress)["apply"] == ("done", 11, 11)
    assert (progress.batches, progress.planned_batches, progress.writes) == (4, 4, 11)


def test_a_rollout_reads_everything_and_pays_for_it(here: World, look: Any) -> None:
    life = here.begin(mark, rollout_percent=50, shards=1).perform("preflight", "backup")
    assert look(life).price == life.run.prices.of(Usage(reads=12))
    life.go_on()
    assert look(life).price == audited(here, life)["price"]


def test_a_watcher_counts_each_batch_once_however_late_it_comes_and_often_it_looks(
    here: World, look: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "_MOST_RECORDS", 4)
    life = here.run(mark, up_to="review", batch_size=1)
    look(life)
    life.perform("apply")
    catching_up = [look(life) for _ in range(5)]
    assert [(progress.batches, progress.unread) for progress in catching_up] == [(4, 6), (8, 2), (10, 0)] + [
        (10, 0)
    ] * 2
    assert [documents(progress)["apply"][1] for progress in catching_up] == [4, 8, 10, 10, 10]


def test_rows_of_batches_that_were_split_are_counted_once(here: World, look: Any) -> None:
    life = here.run(mark, up_to="review")
    (part,) = parts_of(life.folder)
    applier = pressed(life, here, rows=3)
    applier.send(part)
    progress = look(life)
    assert (progress.writes, documents(progress)["apply"]) == (10, ("done", 10, 10))
    assert progress.batches == progress.planned_batches == 4
    life.perform("apply", "finish")
    assert (look(life).batches, look(life).price) == (4, audited(here, life)["price"])


def test_a_task_that_takes_a_while_tells_how_far_it_is_and_nothing_of_the_documents(
    here: World, look: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "SECONDS", 0.05)
    life = here.begin(mark).perform("preflight")
    ledger = Ledger(here.writer)
    beat = Pulse()
    with beat.told(ledger, life.run.path, "backup", 0, lambda: 1):
        beat.add(2)
        beat.follow(lambda: 3)
        beat.waiting = "the rule allows 750 writes a second"
        until(lambda: bool(Listener(ledger, life.run.path).beats("backup")))
        progress = look(life)
    assert documents(progress)["backup"] == ("working", 5, 12)
    assert (progress.rate > 0, progress.waiting) == (True, "the rule allows 750 writes a second")
    assert progress.eta == pytest.approx(7 / progress.rate)

    (told,) = Listener(ledger, life.run.path).beats("backup")
    assert (told.done, told.waiting) == (5, "")
    (written,) = [data for path, data in here.records().items() if "/pulses/" in path]
    assert {*written} == {"phase", "shard", "done", "seconds", "batch_size", "waiting"}


def test_what_was_told_before_a_run_began_anew_counts_no_more(here: World, look: Any) -> None:
    life = here.begin(mark)
    path = f"{life.run.path}/pulses/backup-0000"
    Ledger(here.writer).commit_again([Ledger(here.writer).put(path, {"phase": "backup", "shard": 0, "done": 9})])
    life.perform("preflight")
    assert documents(look(life))["backup"] == ("working", 0, 12)


def test_a_run_whose_tasks_are_short_tells_nothing(here: World) -> None:
    here.run(mark)
    assert not [path for path in here.records() if "/pulses/" in path]


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_pulse_that_cannot_be_written_disturbs_nothing(
    here: World, monkeypatch: pytest.MonkeyPatch, is_closed: bool
) -> None:
    monkeypatch.setattr(pulse, "SECONDS", 0.02)
    connection = Writer(here.address) if is_closed else Reader(here.address)
    if is_closed:
        connection.channel.close()
    beat, asked = Pulse(), []

    def shards() -> int:
        asked.append(1)
        raise Refused("nobody knows")

    with beat.told(Ledger(connection), "_migrations/v001/runs/x", "apply", 0, shards):
        until(lambda: bool(asked))
        beat.add(1)
        time.sleep(0.1)
    connection.close()
    assert (beat.done, here.records()) == (1, {})


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)

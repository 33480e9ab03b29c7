"""Windows: each run takes exactly the documents of its interval, and the audit says which intervals are done."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import grpc
import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.authoring.discovery import Discovered
from firestore_migrations.authoring.loading import load
from firestore_migrations.authoring.migration import Step
from firestore_migrations.errors import BadStep, ConfigurationError, LeaseHeld, NothingToRollBack, Refused
from firestore_migrations.firestore.connection import Address, Reader
from firestore_migrations.firestore.scan import scan
from firestore_migrations.firestore.scope import Scope
from firestore_migrations.runs.overview import overview
from firestore_migrations.runs.run import microseconds
from firestore_migrations.runs.windows import Window, coverage
from tests.firestore.cut_streams import CutStreams
from tests.runs.world import Life, World

MICROSECOND = timedelta(microseconds=1)
FIRST = datetime(2026, 1, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)


def day(number: int, length: int = 1) -> str:
    """The window of the days from a number on."""
    return str(Window(FIRST + number * DAY, FIRST + (number + length) * DAY))


@each_document("c", window="meta.createdAt")
def up(document: Document, db: Database) -> None:
    document["new"] = document["n"]


def seed(world: World, days: int = 3) -> None:
    """Per day a document at its first instant, one at its last and one between; and three that no window takes."""
    documents: dict[str, dict[str, Any]] = {}
    for number in range(days):
        begin = FIRST + number * DAY
        for name, at in (("first", begin), ("noon", begin + DAY / 2), ("last", begin + DAY - MICROSECOND)):
            documents[f"c/{name}{number}"] = {"n": number, "meta": {"createdAt": at}}
    documents["c/none"] = {"n": -1}
    documents["c/text"] = {"n": -2, "meta": {"createdAt": "2026-01-01"}}
    documents["c/number"] = {"n": -3, "meta": {"createdAt": 1_767_225_600}}
    world.write(documents)


def migrated(world: World) -> set[str]:
    return {path.removeprefix("c/") for path, data in world.data().items() if "new" in data}


def of_day(*numbers: int) -> set[str]:
    return {f"{name}{number}" for name in ("first", "noon", "last") for number in numbers}


def version(world: World) -> tuple[str, float, list[tuple[str, str]]]:
    record = world.audit.versions()["v001"]
    windows = [(str(Window.recorded(entry)), entry["state"]) for entry in record["windows"]]
    return record["state"], record["rollout_percent"], windows


def test_a_window_takes_what_is_in_it_and_a_boundary_belongs_to_the_later_one(world: World) -> None:
    seed(world)

    life = world.run(up, window=day(1))

    assert migrated(world) == of_day(1)
    finish, data = life.results["finish"], world.records()["v001/runs/run-1"]
    assert (finish["state"], finish["counts"]["scanned"], finish["counts"]["updated"]) == ("verified", 3, 3)
    assert data["window"] == {"from": FIRST + DAY, "to": FIRST + 2 * DAY}
    assert data["without_window_field"] == 3
    assert version(world) == ("partial", 0, [(day(1), "verified")])
    assert finish["reads"] == 3 + 3 + 3 + 2  # backup, verify, what was written by name, two counts
    report = life.folder.read("report.md").decode()
    assert "**3** documents have no timestamp in `meta.createdAt`" in report
    assert "`firestore-migrations run v001`" in report


def test_windows_in_any_order_then_a_sweep_take_every_document_once(world: World) -> None:
    seed(world)
    begun = world.update_times()

    for window in (day(2), f"{(FIRST + 2 * DAY - MICROSECOND).isoformat()}/2026-01-03", day(0), day(1)):
        world.run(up, window=window)
    changed = {path for path, time in world.update_times().items() if time != begun[path]}
    partial = version(world)[:2]
    after_windows = world.update_times()
    sweep = world.run(up)

    assert changed == {f"c/{name}" for name in of_day(0, 1, 2)}
    assert partial == ("partial", 0)
    assert sweep.results["finish"]["counts"]["updated"] == 3
    swept = {path for path, time in world.update_times().items() if time != after_windows[path]}
    assert swept == {"c/none", "c/text", "c/number"}
    assert version(world)[:2] == ("verified", 100)
    covered = overview(world.audit, Discovered((), ()), None)[0].windows
    assert covered == {
        "done": [{"from": FIRST, "to": FIRST + 3 * DAY}],
        "missing": [],
        "overlapping": [{"from": FIRST + 2 * DAY - MICROSECOND, "to": FIRST + 2 * DAY}],
    }


def test_a_window_that_fails_leaves_the_others_true_and_goes_on_later(world: World) -> None:
    seed(world)
    world.change("c/noon1", n="not a number")

    @each_document("c", window="meta.createdAt")
    def strict(document: Document, db: Database) -> None:
        document["new"] = document["n"] + 0

    world.run(strict, window=day(0))
    failing = world.begin(strict, window=day(1), run_id="broken")
    with pytest.raises(Exception, match="cannot be migrated"):
        failing.perform("preflight", "finish")
    world.run(strict, window=day(2))

    state, _, windows = version(world)
    assert (state, windows) == ("partial", [(day(0), "verified"), (day(1), "failed"), (day(2), "verified")])
    covered = coverage(world.audit.versions()["v001"]["windows"])
    assert [str(window) for window in covered.missing] == [day(1)]

    world.change("c/noon1", n=1)
    failing.perform("preflight", "finish")  # cleared, it looks at the data anew, for it has written nothing
    assert migrated(world) == of_day(0, 1, 2)
    assert coverage(world.audit.versions()["v001"]["windows"]).missing == ()


def test_a_half_written_window_goes_on_though_another_was_done_meanwhile(world: World) -> None:
    seed(world)
    half = world.run(up, window=day(0), up_to="apply")
    world.lease(expires_at=FIRST)  # its worker is gone
    world.run(up, window=day(2))
    assert version(world)[2] == [(day(0), "failed"), (day(2), "verified")]

    half.go_on()

    assert half.results["finish"]["state"] == "verified"
    assert migrated(world) == of_day(0, 2)
    assert version(world)[2] == [(day(0), "verified"), (day(2), "verified")]


def test_one_window_can_be_taken_back_and_the_version_takes_all_back(world: World) -> None:
    seed(world)
    before = world.read()
    for number in range(3):
        world.run(up, window=day(number), run_id=f"day{number}")

    world.run(up, direction="down", undo="day1")
    assert migrated(world) == of_day(0, 2)
    assert version(world) == ("partial", 0, [(day(0), "verified"), (day(2), "verified")])
    with pytest.raises(NothingToRollBack):
        world.run(up, direction="down", undo="day1")

    world.run(up, window=day(1), run_id="again")
    assert migrated(world) == of_day(0, 1, 2)
    world.run(up, direction="down")
    assert (version(world), world.read()) == (("rolled_back", 0, []), before)


def test_what_two_windows_wrote_to_one_document_is_taken_back_field_by_field(world: World) -> None:
    """Taking one window back leaves the other's writes, also where both are in one document of another collection."""
    seed(world)
    world.write({"totals/all": {"kept": True}})

    @each_document("c", window="meta.createdAt")
    def total(document: Document, db: Database) -> None:
        if document.id.startswith("noon"):
            db.update("totals/all", {f"of{document['n']}": document["n"]})

    for number in range(2):
        world.run(total, window=day(number), run_id=f"day{number}")
    world.run(total, direction="down", undo="day0")

    assert world.data()["totals/all"] == {"kept": True, "of1": 1}


def test_a_completed_window_that_is_run_again_takes_what_is_new_and_keeps_its_before_images(world: World) -> None:
    seed(world)
    before = world.read()
    life = world.run(up, window=day(1))
    empty = world.run(up, window=day(40))
    world.write({"c/late1": {"n": 1, "meta": {"createdAt": FIRST + DAY}}, "c/late40": late(40), "c/late2": late(2)})

    for again in (life, empty):  # as Airflow does with --reprocess-behavior completed: every task of the same run
        assert again.perform("preflight", "finish").results["finish"]["state"] == "verified"

    assert migrated(world) == {*of_day(1), "late1", "late40"}
    assert life.results["verify"]["residue_applied"] == 1
    world.run(up, direction="down")
    world.delete("c/late1", "c/late40", "c/late2")
    assert world.read() == before


def test_a_window_that_was_a_dry_run_is_applied_by_the_same_run_and_stands_as_any_other(world: World) -> None:
    """Airflow gives the runs of a backfill other parameters where it does an interval again."""
    seed(world)
    for number in (1, 2):
        world.run(up, window=day(number), run_id=f"day{number}", mode="dry_run")
    world.write({"c/late": late(1)})
    for number in (1, 2):
        world.run(up, window=day(number), run_id=f"day{number}")
    assert {run["mode"] for run in world.audit.runs("v001").values()} == {"apply"}
    assert migrated(world) == {*of_day(1, 2), "late"}
    assert world.audit.runs("v001")["day1"]["counts"]["updated"] == 4  # planned anew, and not as residue

    world.run(up, direction="down", undo="day1")
    assert (migrated(world), version(world)) == (of_day(2), ("partial", 0, [(day(2), "verified")]))
    world.run(up, direction="down")
    assert migrated(world) == set()


@pytest.mark.parametrize("options", [{"mode": "dry_run"}, {"window": day(1)}, {"window": ""}], ids=str)
def test_a_run_that_is_done_does_nothing_else_under_its_name(world: World, options: dict[str, Any]) -> None:
    seed(world)
    world.run(up, window=day(0), run_id="day0")
    before = world.data()
    with pytest.raises(Refused, match=r"Run day0 of v001 is verified; its (mode|window) cannot change any more"):
        world.run(up, run_id="day0", **{"window": day(0), **options})
    run = world.records()["v001/runs/day0"]
    assert (run["state"], run["mode"], run["window"]) == ("verified", "apply", {"from": FIRST, "to": FIRST + DAY})
    assert (version(world)[2], world.data()) == ([(day(0), "verified")], before)


def test_a_window_that_was_taken_back_is_done_again_by_a_new_run_and_never_by_the_old_one(world: World) -> None:
    seed(world)
    life = world.run(up, window=day(0), run_id="day0")
    world.run(up, direction="down", undo="day0")
    with pytest.raises(Refused, match=r"Run day0 of v001 was taken back by .*run v001 --set window=2026-01-01"):
        life.perform("preflight")
    assert (migrated(world), world.records()["_lease"]["holder"]) == (set(), "")
    world.run(up, window=day(0))
    assert migrated(world) == of_day(0)


def late(number: int) -> dict[str, Any]:
    return {"n": number, "meta": {"createdAt": FIRST + number * DAY + MICROSECOND}}


@each_document("c", group=True, window="at")
def everywhere(document: Document, db: Database) -> None:
    document["new"] = True


@each_document("users/{uid}/c", window="at")
def under_users(document: Document, db: Database) -> None:
    document["new"] = True


@each_document("c", window="at", where=[("kind", "==", "a"), ("size", ">", 1)])
def filtered(document: Document, db: Database) -> None:
    document["new"] = True


@pytest.mark.parametrize(
    ("step", "taken", "outside"),
    [
        (everywhere, {"c/a1", "c/b2", "c/a3", "users/u/c/a1", "teams/t/c/a1"}, 2),
        (under_users, {"users/u/c/a1"}, None),
        (filtered, {"c/a3"}, None),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_every_kind_of_scope_is_cut_by_its_window(
    world: World, step: Step, taken: set[str], outside: int | None
) -> None:
    inside = {"at": FIRST, "kind": "a", "size": 1}
    world.write(
        {
            "c/a1": inside,
            "c/b2": {**inside, "kind": "b", "size": 2},
            "c/a3": {**inside, "size": 3},
            "c/a4": {**inside, "size": 4, "at": FIRST + DAY},
            "c/a5": {"kind": "a", "size": 5},
            "users/u/c/a1": inside,
            "users/u/c/a2": {**inside, "at": None},
            "teams/t/c/a1": inside,
        }
    )
    life = world.run(step, window=day(0), shards=4)
    assert {path for path, data in world.data().items() if "new" in data} == taken
    assert (life.results["verify"]["held"], life.results["review"]["without_window_field"]) == (len(taken), outside)


@pytest.mark.parametrize("cuts", [[0], [1, 1, 1], [5, 2]])
def test_a_window_whose_stream_breaks_comes_whole_and_in_order(world: World, cuts: list[int]) -> None:
    """Also where many documents have the same instant: the cursor is the instant and the name."""
    world.write({f"c/{n:02}": {"at": FIRST + (n % 3) * MICROSECOND} for n in range(12)})
    _, read_time = world.writer.get(["_migrations/_lease"])
    scope = Scope("c", window="at", interval=(microseconds(FIRST), microseconds(FIRST) + 2))
    with CutStreams(str(world.address.emulator_host), cuts) as network:
        reader = Reader(Address(world.address.project, emulator_host=network.host))
        found = [stored.path for stored in scan(reader, scope, read_time, sleep=lambda _: None)]
    assert found == [f"c/{n:02}" for rest in (0, 1) for n in range(12) if n % 3 == rest]


def test_a_window_without_its_index_says_which_one_to_make(world: World) -> None:
    scope = Scope("c", group=True, where=(("kind", "==", "a"),), window="meta.at", interval=(0, 1))
    code = grpc.StatusCode.FAILED_PRECONDITION
    with CutStreams(str(world.address.emulator_host), [0], code, reason="The query requires an index.") as network:
        reader = Reader(Address(world.address.project, emulator_host=network.host))
        with pytest.raises(ConfigurationError, match=r"composite index of kind, meta\.at") as refused:
            list(scan(reader, scope, world.writer.get(["c/a"])[1]))
    assert (
        "gcloud firestore indexes composite create --collection-group=c --query-scope=collection-group "
        "--field-config=field-path=kind,order=ascending --field-config=field-path=meta.at,order=ascending"
    ) in refused.value.next_step


@pytest.mark.parametrize(
    "window",
    [
        "2026-01-01",
        "2026-01-01/",
        "2026-01-02/2026-01-01",
        "2026-01-01/2026-01-01T00:00Z",
        "2026-02-30/2026-03-01",
        "2026-01-01/2026-01-01T00:00:00.0000001Z",
        "0001-01-01T00:00:00+05:00/2026-01-01",
        "yesterday/today",
        7,
    ],
)
def test_what_is_no_interval_is_refused(world: World, window: Any) -> None:
    with pytest.raises(ConfigurationError, match="Parameter window"):
        world.begin(up, window=window)


def test_a_window_is_read_to_the_microsecond_and_is_utc_where_no_zone_is_named() -> None:
    window = Window.of("2026-01-01/2026-01-01T03:00:00.25+02:00")
    assert window == Window(FIRST, FIRST + timedelta(hours=1, milliseconds=250))
    assert Window.of(str(window)) == window


@pytest.mark.parametrize("options", [{"rollout_percent": 50}, {"direction": "down"}], ids=str)
def test_a_window_excludes_what_would_cut_it(world: World, options: dict[str, Any]) -> None:
    said = r"rollout_percent is 100 where there is a window, .*, not 50\. .* then it is 100\.|undo"
    with pytest.raises(ConfigurationError, match=said):
        world.begin(up, window=day(0), **options)


def test_a_version_without_a_window_refuses_one_by_name(world: World) -> None:
    @each_document("c")
    def plain(document: Document, db: Database) -> None:
        document["new"] = 1

    with pytest.raises(Refused, match="v001 has no step with a window"):
        world.run(plain, window=day(0))
    assert migrated(world) == set()


def test_a_run_that_waits_is_not_recorded_as_failed(world: World) -> None:
    seed(world)
    world.run(up, window=day(0), up_to="preflight", run_id="first")
    second = Life(replace(world.begin(up, window=day(1), run_id="second").run, waits=True))
    with pytest.raises(LeaseHeld) as held:
        second.perform("preflight")
    assert 0 < held.value.facts["free_in"] <= 30
    assert "second" not in world.audit.runs("v001")


def test_a_window_needs_a_step_that_may_run_again(tmp_path: Path) -> None:
    with pytest.raises(BadStep, match="another window"):
        each_document("c", window="at", idempotent=False)

    mixed = '"""Mixed."""\nfrom firestore_migrations import each_document, script\n\n'
    mixed += '@each_document("c", window="at")\ndef one(document, db):\n    pass\n\n'
    for other in ('@each_document("d")\ndef two(document, db):\n    pass\n', "@script\ndef two(db):\n    pass\n"):
        path = tmp_path / "v001_mixed.py"
        path.write_text(mixed + other)
        with pytest.raises(BadStep, match="step 'one' has a window and step 'two' has none"):
            load(path)


@each_document("approvals", group=True, window="at")
def of_the_group(document: Document, db: Database) -> None:
    document["new"] = 1


def test_what_the_audit_keeps_of_approvals_is_not_counted_as_outside(world: World) -> None:
    world.write({"teams/a/approvals/1": {"at": FIRST}, "_migrations/v001/approvals/run": {"user": "ada"}})
    assert world.run(of_the_group, window=day(0)).results["review"]["without_window_field"] is None

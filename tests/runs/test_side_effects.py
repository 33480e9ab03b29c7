"""What a plan brings about besides its writes is said before it is applied, and refused where data would be lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from firestore_migrations import SERVER_TIMESTAMP, Database, Document, each_document
from firestore_migrations.authoring.migration import Step
from firestore_migrations.errors import DataWouldExpire
from firestore_migrations.runs.policy import Policy
from tests.admin_server import AdminServer
from tests.runs.world import Life, World


@each_document("users/{uid}/sessions")
def expire(session: Document, db: Database) -> None:
    session["expireAt"] = datetime(2020, 1, 1, tzinfo=timezone.utc)


@each_document("users/{uid}/sessions")
def keep(session: Document, db: Database) -> None:
    session["expireAt"] = datetime(2100, 1, 1, tzinfo=timezone.utc)


@each_document("c")
def stamp(document: Document, db: Database) -> None:
    if "at" not in document:
        document["at"] = SERVER_TIMESTAMP


@each_document("c")
def mark(document: Document, db: Database) -> None:
    document["m"] = 1


@each_document("users/{uid}/sessions")
def expire_within(session: Document, db: Database) -> None:
    session["meta"] = {"expireAt": datetime(2020, 1, 1, tzinfo=timezone.utc)}


@each_document("users/{uid}/sessions")
def expire_at_once(session: Document, db: Database) -> None:
    if "expireAt" not in session:
        session["expireAt"] = SERVER_TIMESTAMP


@each_document("sessions")
def expire_with_the_day(session: Document, db: Database) -> None:
    session["expireAt"] = session["day"]


def begun(
    world: World,
    step: Step,
    writes_per_second: float | None = 0,
    admin_host: str | None = None,
    **policy: tuple[str, ...],
) -> Life:
    life = world.begin(step)
    target = replace(
        life.run.target,
        address=replace(world.address, admin_host=admin_host),
        policy=Policy(**policy),  # type: ignore[arg-type]
        writes_per_second=writes_per_second,
    )
    life.run = replace(life.run, target=target)
    return life


def planned(world: World, step: Step, writes_per_second: float | None = 0, **policy: tuple[str, ...]) -> Life:
    return begun(world, step, writes_per_second, **policy).perform("preflight", "review")


@pytest.fixture
def server() -> Iterator[AdminServer]:
    with AdminServer() as made:
        yield made


@pytest.mark.parametrize(
    ("step", "field"), [(expire, "expireAt"), (expire_within, "meta.expireAt"), (expire_at_once, "expireAt")]
)
def test_a_plan_that_lets_documents_expire_is_refused_and_names_field_and_document(
    world: World, step: Step, field: str
) -> None:
    world.write({"users/ada/sessions/s": {"n": 1}})
    for collection in ("sessions", "users/{uid}/sessions"):
        with pytest.raises(DataWouldExpire, match=f"sets {field} of users/ada/sessions/s to a time that is past"):
            planned(world, step, ttl_fields=(f"{collection}.{field}",))
    assert world.data() == {"users/ada/sessions/s": {"n": 1}}


@pytest.mark.parametrize(("step", "field"), [(expire, "expireAt"), (expire_within, "meta.`expireAt`")])
def test_the_policies_that_google_tells_need_not_be_listed(
    world: World, server: AdminServer, step: Step, field: str
) -> None:
    server.ttl_fields = [("users", "goneAt", 0), ("sessions", field, 0)]
    world.write({"users/ada/sessions/s": {"n": 1}})
    with pytest.raises(DataWouldExpire) as refused:
        begun(world, step, admin_host=server.host).perform("preflight", "review")
    assert refused.value.facts == {"path": "users/ada/sessions/s", "field": field}
    assert "--disable-ttl" in str(refused.value)
    assert world.data() == {"users/ada/sessions/s": {"n": 1}}


def test_a_policy_that_waits_some_time_deletes_only_after_it(world: World, server: AdminServer) -> None:
    """Of a server's own stamp too: the time of the commit is past at once, and the document stays for a day."""
    server.ttl_fields = [("sessions", "expireAt", 24 * 3600)]
    now = datetime.now(timezone.utc)
    world.write({"users/ada/sessions/s": {}, "sessions/young": {"day": now - timedelta(hours=23)}})
    for step in (expire_at_once, expire_with_the_day):
        begun(world, step, admin_host=server.host).perform("preflight", "review").perform("finish")
    world.write({"sessions/old": {"day": now - timedelta(hours=25)}})
    with pytest.raises(DataWouldExpire, match="sets expireAt of sessions/old"):
        begun(world, expire_with_the_day, admin_host=server.host).perform("preflight", "review")


def test_where_google_does_not_tell_the_policies_the_report_says_so_and_the_listed_ones_hold(
    world: World, server: AdminServer
) -> None:
    server.denies_fields = True
    world.write({"users/ada/sessions/s": {}})
    life = begun(world, keep, admin_host=server.host, ttl_fields=("users.goneAt",)).perform("preflight", "review")
    (warning,) = life.perform("finish").results["review"]["warnings"]
    assert warning.startswith("The time-to-live policies could not be read (PERMISSION_DENIED)")
    with pytest.raises(DataWouldExpire):
        begun(world, expire, admin_host=server.host, ttl_fields=("sessions.expireAt",)).perform("preflight", "review")


@pytest.mark.parametrize("changed", ["before apply", "after apply"])
def test_a_document_that_would_expire_only_after_it_changed_during_the_run_is_not_written(
    world: World, changed: str
) -> None:
    later, past = datetime(2100, 1, 1, tzinfo=timezone.utc), datetime(2020, 1, 1, tzinfo=timezone.utc)
    world.write({"sessions/s": {"day": later}})
    life = begun(world, expire_with_the_day, ttl_fields=("sessions.expireAt",)).perform("preflight", "review")
    if changed == "after apply":
        life.go_on("apply")
    world.change("sessions/s", day=past)
    with pytest.raises(DataWouldExpire, match="sets expireAt of sessions/s"):
        life.go_on()
    assert world.data()["sessions/s"].get("expireAt") in (None, later)


def test_a_rollback_leaves_alone_what_would_expire_and_takes_the_rest_back(world: World) -> None:
    past, soon = datetime(2020, 1, 1, tzinfo=timezone.utc), datetime(2099, 1, 1, tzinfo=timezone.utc)
    world.write({"users/ada/sessions/old": {"expireAt": past}, "users/ada/sessions/young": {"expireAt": soon}})
    world.run(keep)
    life = world.begin(keep, direction="down")
    life.run = replace(life.run, target=replace(life.run.target, policy=Policy(ttl_fields=("sessions.expireAt",))))
    life.perform("preflight", "finish")
    assert {path[-5:]: data["expireAt"].year for path, data in world.data().items()} == {"s/old": 2100, "young": 2099}
    run = world.audit.runs("v001")[life.run.id]
    assert (run["state"], run["counts"]["conflicts"], run["counts"]["updated"]) == ("rolled_back", 1, 1)
    (failure,) = world.audit.failures(life.run)
    assert (failure.path, failure.error) == (
        "users/ada/sessions/old",
        "conflict: a time-to-live policy would delete it, by expireAt; left alone",
    )


def test_the_report_and_the_audit_warn_of_policies_and_of_functions_that_are_triggered(world: World) -> None:
    world.write({f"users/ada/sessions/{i}": {} for i in range(4)})
    life = planned(world, keep, ttl_fields=("sessions.expireAt",), triggers=("users/{uid}/sessions",))
    warnings = life.results["review"]["warnings"]
    assert warnings == [
        "Functions are triggered by `users/*/sessions`: 4 writes, so up to 4 calls.",
        (
            "`expireAt` has a time-to-live policy, and changes in 4 documents: "
            "users/ada/sessions/0, users/ada/sessions/1, users/ada/sessions/2."
        ),
    ]
    assert world.audit.runs("v001")[life.run.id]["warnings"] == warnings
    assert all(warning in life.folder.read("report.md").decode() for warning in warnings)


def test_documents_near_a_limit_are_named(world: World) -> None:
    world.write({"c/large": {"text": "x" * 900_000}, "c/wide": {"list": list(range(25_000))}, "c/small": {}})
    assert planned(world, mark).results["review"]["warnings"] == [
        "1 documents would have more than 20,000 index entries, of 40,000 that Firestore takes: c/wide.",
        "1 documents come near Firestore's limit of 1 MiB: c/large.",
    ]


@pytest.mark.parametrize(("writes_per_second", "warns"), [(0, True), (None, True), (100, False)])
def test_neighbouring_values_are_a_warning_only_where_the_run_is_fast(
    world: World, writes_per_second: float | None, warns: bool
) -> None:
    for hundred in range(6):
        world.write({f"c/{hundred}-{i}": {} for i in range(100)})
    warnings = planned(world, stamp, writes_per_second).results["review"]["warnings"]
    assert [warning.partition(" ")[0] for warning in warnings] == (["`at`"] if warns else [])

"""What a plan brings about besides its writes is said before it is applied, and refused where data would be lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from firestore_migrations import SERVER_TIMESTAMP, Database, Document, each_document
from firestore_migrations.authoring.migration import Step
from firestore_migrations.errors import DataWouldExpire
from firestore_migrations.runs.policy import Policy
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


def planned(world: World, step: Step, writes_per_second: float | None = 0, **policy: tuple[str, ...]) -> Life:
    life = world.begin(step)
    target = replace(life.run.target, policy=Policy(**policy), writes_per_second=writes_per_second)  # type: ignore[arg-type]
    life.run = replace(life.run, target=target)
    return life.perform("preflight", "review")


@pytest.mark.parametrize(
    ("step", "field"), [(expire, "expireAt"), (expire_within, "meta.expireAt"), (expire_at_once, "expireAt")]
)
def test_a_plan_that_lets_documents_expire_is_refused_and_names_field_and_document(
    world: World, step: Step, field: str
) -> None:
    world.write({"users/ada/sessions/s": {"n": 1}})
    with pytest.raises(DataWouldExpire, match=f"sets {field} of users/ada/sessions/s to a time that is past"):
        planned(world, step, ttl_fields=(f"sessions.{field}",))
    assert world.data() == {"users/ada/sessions/s": {"n": 1}}


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

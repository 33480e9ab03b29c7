"""Transforms that make what cannot be: each document is one failure that says why, and nothing is written."""

# ruff: noqa: ARG005 -- a transform takes both

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

import pytest
from google.cloud.firestore import Client
from google.cloud.firestore_v1 import transforms as official
from google.cloud.firestore_v1.vector import Vector

from firestore_migrations import (
    DELETE_FIELD,
    SERVER_TIMESTAMP,
    ArrayRemove,
    ArrayUnion,
    Database,
    Document,
    Increment,
    each_document,
    script,
)
from firestore_migrations.errors import (
    DocumentError,
    InvalidValue,
    NotIdempotent,
    PlanError,
    TooManyFailures,
    WriteRefused,
    WrittenTwice,
)
from tests.bad_input.clear import Kind, assert_says, fingerprint, refused
from tests.runs.world import World

Transform = Callable[[Document, Database], Any]
FAR = timezone(timedelta(hours=1))


class Colour(Enum):
    RED = 1


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("do-not-tell")


class Wicked(dict[str, Any]):
    def items(self) -> Any:
        raise ZeroDivisionError("do-not-tell")


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"end": 1}
    for _ in range(depth):
        value = {"in": value}
    return value


def circle() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["in"] = value
    return value


def ring() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def reference(path: str, project: str = "other") -> Any:
    from google.auth.credentials import AnonymousCredentials

    return Client(project=project, credentials=AnonymousCredentials()).document(path)


VALUES: dict[str, tuple[Any, str]] = {
    "an integer of 65 bits": (2**63, "does not fit in 64 bits"),
    "a negative one": (-(2**63) - 1, "does not fit in 64 bits"),
    "a lone surrogate": ("do-not-tell \ud800", "lone surrogate"),
    "a set": ({"do-not-tell"}, "A set has no order"),
    "a frozen set": (frozenset({1}), "A set has no order"),
    "a date": (date(2026, 1, 1), "A date has no time"),
    "a time of day": (time(12), "isoformat()"),
    "a duration": (timedelta(days=1), "total_seconds()"),
    "a decimal": (Decimal("1.10"), "str(...) to keep every digit"),
    "a fraction": (Fraction(1, 3), "type Fraction"),
    "a UUID": (uuid.UUID(int=7), "Write str(...)"),
    "a member of an enum": (Colour.RED, "Write its .value"),
    "a complex number": (1j, "type complex"),
    "a range": (range(3), "type range"),
    "a generator": ((n for n in "ab"), "Write list(...)"),
    "an object": (object(), "type object"),
    "an exception": (ValueError("do-not-tell"), "type ValueError"),
    "a function": (nested, "type function"),
    "a class": (dict, "type type"),
    "a view of memory": (memoryview(b"x"), "type memoryview"),
    "the ellipsis": (..., "type ellipsis"),
    "NotImplemented": (NotImplemented, "NotImplemented"),
    "an array in an array": ([[1]], "directly in an array"),
    "a tuple in an array": ([(1, 2)], "directly in an array"),
    "a vector in an array": ([Vector([1.0])], "directly in an array"),
    "a set deep inside": ({"a": [{"b": {1}}]}, "a[0].b"),
    "a key that is a number": ({1: "x"}, "Write str(key)"),
    "a key that is None": ({None: "x"}, "Write str(key)"),
    "a key that is a tuple": ({("a", "b"): "x"}, "Write str(key)"),
    "a key that is empty": ({"": "x"}, "a key is empty"),
    "a key that is reserved": ({"__name__": "x"}, "a key is reserved"),
    "a key of 1,501 bytes": ({"k" * 1501: "x"}, "1500 bytes"),
    "a key with a surrogate": ({"\udc00": "x"}, "lone surrogate"),
    "maps 21 deep": (nested(21), "more than 20 maps and arrays"),
    "a map in itself": (circle(), "more than 20 maps and arrays"),
    "a map in itself, with a sentinel": ({**circle(), "at": SERVER_TIMESTAMP}, "more than 20 maps and arrays"),
    "a map that raises": (Wicked(a=1), "ZeroDivisionError"),
    "a vector of 2,049": (Vector([0.5] * 2049), "1 to 2048 numbers"),
    "a vector of nothing": (Vector([]), "1 to 2048 numbers"),
    "a vector with a NaN": (Vector([float("nan")]), "has a NaN"),
    "a collection's reference": (reference("a/b").parent, "CollectionReference"),
    "a snapshot": (object.__new__(type("DocumentSnapshot", (), {})), "DocumentSnapshot"),
    "a time before year 1": (datetime.min.replace(tzinfo=FAR), "years 1 to 9999"),
    "a time after year 9999": (datetime.max.replace(tzinfo=timezone(-timedelta(hours=1))), "years 1 to 9999"),
    "a sentinel in an array": ([SERVER_TIMESTAMP], "sentinel"),
    "a removal in an array": ([DELETE_FIELD], "sentinel"),
    "an increment deep in an array": ([{"a": Increment(1)}], "sentinel"),
    "the official sentinel in an array": ([official.SERVER_TIMESTAMP], "sentinel"),
    "a class of a sentinel": (Increment, "type type"),
    "an increment beyond 64 bits": (Increment(2**70), "64 bits"),
    "a union with a set": (ArrayUnion([{1}]), "A set has no order"),
    "a union with an array": (ArrayUnion([[1]]), "directly in an array"),
    "a removal of a set": (ArrayRemove([{1}]), "A set has no order"),
    "an official union with an array": (official.ArrayUnion([[1]]), "directly in an array"),
    "a document of 2 MB": ("x" * 2_000_000, "1,048,576"),
}


def named(name: Any) -> Transform:
    """Give a field this name."""
    return lambda document, db: document.__setitem__(name, 1)


def raises(error: BaseException | type[BaseException]) -> Transform:
    def transform(document: Document, db: Database) -> None:
        raise error

    return transform


def endless(document: Document, db: Database) -> None:
    endless(document, db)


def seen(document: Document, db: Database) -> None:
    view = db.get(document.path)
    assert view is not None
    view["x"] = 1


def merged(document: Document, db: Database) -> None:
    db.set(document.path, {"a": 1}, merge=["b"])


ACTS: dict[str, tuple[Transform, str]] = {
    "field: a number": (named(5), "a str, not int"),
    "field: empty": (named(""), "a key is empty"),
    "field: reserved": (named("__x__"), "a key is reserved"),
    "field: too long": (named("k" * 1501), "1500 bytes"),
    "field: a surrogate": (named("\ud800"), "lone surrogate"),
    "field: deleted twice": (lambda document, db: document.__delitem__("nothing"), "KeyError at test_data.py:"),
    "field: read and missing": (lambda document, db: document["do-not-tell"], "KeyError at test_data.py:"),
    "field: renamed onto another": (lambda document, db: document.rename("n", "m"), "DocumentError"),
    "increment: of a text": (lambda document, db: Increment("1"), "Increment takes a number"),  # type: ignore[arg-type]
    "union: of a text": (lambda document, db: ArrayUnion("ab"), "A list of values is needed"),
    "path: a collection": (lambda document, db: db.set("users", {}), "not the path of a document"),
    "path: a slash at the end": (lambda document, db: db.set("users/", {}), "not the path of a document"),
    "path: a slash at the front": (lambda document, db: db.set("/users/a", {}), "not the path of a document"),
    "path: empty": (lambda document, db: db.set("", {}), "not the path of a document"),
    "path: an empty id": (lambda document, db: db.set("a//b/c", {}), "not the path of a document"),
    "path: a dot": (lambda document, db: db.set("users/.", {}), "the id '.' is reserved"),
    "path: two dots": (lambda document, db: db.create("users/..", {}), "the id '..' is reserved"),
    "path: reserved": (lambda document, db: db.set("users/__x__", {}), "the id '__x__' is reserved"),
    "path: a reserved collection": (lambda document, db: db.set("__c__/x", {}), "the id '__c__' is reserved"),
    "path: 1,501 bytes": (lambda document, db: db.set("users/" + "é" * 751, {}), "1,500 bytes"),
    "path: a surrogate": (lambda document, db: db.set("users/\ud800", {}), "lone surrogate"),
    "path: a number": (lambda document, db: db.set(5, {}), "not by int"),  # type: ignore[arg-type]
    "path: None": (lambda document, db: db.delete(None), "not by NoneType"),  # type: ignore[arg-type]
    "path: bytes": (lambda document, db: db.get(b"users/a"), "not by bytes"),  # type: ignore[arg-type]
    "path: another database": (lambda document, db: db.delete(reference("users/a")), "another database"),
    "path: the audit": (lambda document, db: db.set("_migrations/v001", {}), "audit trail"),
    "path: the lease": (lambda document, db: db.delete("_migrations/_lease"), "audit trail"),
    "path: a batch's record": (lambda document, db: db.create("_migrations/v001/runs/r/batches/x", {}), "audit trail"),
    "data: None": (lambda document, db: db.set("t/x", None), "not a dict"),  # type: ignore[arg-type]
    "data: a list": (lambda document, db: db.create("t/x", [1]), "not a dict"),  # type: ignore[arg-type]
    "data: a text": (lambda document, db: db.update(document.path, "x"), "not a dict"),  # type: ignore[arg-type]
    "data: a set in it": (lambda document, db: db.set("t/x", {"a": {1}}), "A set has no order"),
    "data: a number for a key": (lambda document, db: db.set("t/x", {1: 1}), "str"),  # type: ignore[dict-item]
    "data: a map in itself": (lambda document, db: db.set("t/x", circle()), "more than 20 maps and arrays"),
    "data: an array in itself": (lambda document, db: db.set("t/x", {"a": ring()}), "more than 20 maps"),
    "data: an empty key": (lambda document, db: db.create("t/x", {"": 1}), "a key is empty"),
    "data: an empty key inside": (lambda document, db: db.create("t/x", {"a": {"": 1}}), "a key is empty"),
    "data: a sentinel in an array": (lambda document, db: db.set("t/x", {"a": [Increment(1)]}), "sentinel"),
    "data: a removal inside": (lambda document, db: db.set("t/x", {"a": {"b": DELETE_FIELD}}), "replaced as a whole"),
    "update: of what is missing": (lambda document, db: db.update("t/none", {"a": 1}), "is missing"),
    "update: no field path": (lambda document, db: db.update(document.path, {"a..b": 1}), "not a field path"),
    "update: an empty path": (lambda document, db: db.update(document.path, {"": 1}), "field path"),
    "update: a number for a path": (lambda document, db: db.update(document.path, {5: 1}), "field path"),  # type: ignore[dict-item]
    "update: a map and a field in it": (lambda document, db: db.update(document.path, {"a": {}, "a.b": 1}), "twice"),
    "merge: a field that is not there": (merged, "which is to be merged"),
    "get: changed in place": (seen, "db.get()"),
    "transaction": (lambda document, db: db.transaction(), "no transactions"),
    "collection: of a document": (lambda document, db: list(db.collection("users/a").stream()), "DocumentError"),
    "fail": (lambda document, db: db.fail("for a reason"), "for a reason"),
    "ValueError": (raises(ValueError("do-not-tell")), "ValueError at test_data.py:"),
    "KeyError": (raises(KeyError("do-not-tell")), "KeyError at test_data.py:"),
    "AssertionError": (raises(AssertionError), "AssertionError at test_data.py:"),
    "StopIteration": (raises(StopIteration), "StopIteration at test_data.py:"),
    "SystemExit": (raises(SystemExit(0)), "SystemExit at test_data.py:"),
    "GeneratorExit": (raises(GeneratorExit), "GeneratorExit at test_data.py:"),
    "MemoryError": (raises(MemoryError), "MemoryError at test_data.py:"),
    "RecursionError": (endless, "RecursionError at test_data.py:"),
    "OSError": (raises(OSError(28, "do-not-tell")), "OSError at test_data.py:"),
    "UnicodeError": (raises(UnicodeError("do-not-tell")), "UnicodeError at test_data.py:"),
    "TimeoutError": (raises(TimeoutError("do-not-tell")), "TimeoutError at test_data.py:"),
    "an error that cannot be told": (raises(Unspeakable), "Unspeakable at test_data.py:"),
    "a class that is no error": (raises(int), "TypeError at test_data.py:"),  # type: ignore[arg-type]
}


def assigns(value: Any) -> Transform:
    return lambda document, db: document.__setitem__("x", value)


ROWS = {f"value: {name}": (assigns(value), said) for name, (value, said) in VALUES.items()} | ACTS


@each_document("bad")
def break_it(document: Document, db: Database) -> None:
    ROWS[document.id][0](document, db)


@pytest.fixture(scope="module")
def failures(world: World) -> dict[str, str]:
    """Why each document failed, by its row; all rows are documents of one run."""
    world.write({f"bad/{name}": {"n": 1, "m": 2} for name in ROWS} | {"good/x": {}})
    before = fingerprint(world)
    with pytest.raises(TooManyFailures) as caught:
        world.run(break_it, run_id="all")
    assert_says(str(caught.value), "documents of v001", "Mend the migration", "report.md")
    after = fingerprint(world, but_the_audit=True)
    assert after == before
    records = world.records()
    assert records["v001/runs/all"]["state"] == "failed"
    assert records["_lease"]["holder"] == ""
    assert "do-not-tell" not in str(records) + str(caught.value)
    return {
        record["path"].removeprefix("bad/"): record["error"]
        for path, record in records.items()
        if path.startswith("v001/runs/all/failures/")
    }


@pytest.mark.parametrize("name", ROWS)
def test_a_document_that_cannot_be_made_is_a_failure_with_its_reason(failures: dict[str, str], name: str) -> None:
    assert_says(failures[name], ROWS[name][1])


def writes(document: Document, db: Database) -> None:
    document.reference.set({"stolen": True})


def gathers(document: Document, db: Database) -> None:
    db.set("t/sum", {"last": document.id})


def counts(document: Document, db: Database) -> None:
    document["n"] += 1


WHOLE: dict[str, tuple[Transform, Kind, str]] = {
    "it writes by itself": (writes, WriteRefused, "this connection only reads"),
    "two documents write a third": (gathers, WrittenTwice, "t/sum"),
    "it counts on": (counts, NotIdempotent, "users/ada"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_step_that_cannot_be_planned_at_all_stops_the_plan(world: World, name: str) -> None:
    transform, kind, said = WHOLE[name]
    before = fingerprint(world, but_the_audit=True)
    refused(lambda: world.run(each_document("users")(transform)), kind, said)
    assert fingerprint(world, but_the_audit=True) == before
    assert world.records()["_lease"]["holder"] == ""


SCRIPTS: dict[str, tuple[Callable[[Database], Any], Kind, str]] = {
    "raises": (lambda db: 1 / 0, PlanError, "ZeroDivisionError at test_data.py:"),
    "exits": (lambda db: raises(SystemExit)(None, db), PlanError, "SystemExit at test_data.py:"),  # type: ignore[arg-type]
    "fails": (lambda db: db.fail("for a reason"), PlanError, "for a reason"),
    "writes a set": (lambda db: db.set("t/x", {"a": {1}}), InvalidValue, "A set has no order"),
    "writes the audit": (lambda db: db.document("_migrations/v001").delete(), PlanError, "audit trail"),
    "writes a collection": (lambda db: db.document("users"), PlanError, "not the path of a document"),
    "updates what is missing": (lambda db: db.update("t/none", {"a": 1}), DocumentError, "is missing"),
    "reads a document as a collection": (lambda db: list(db.collection("users/ada").stream()), PlanError, "users"),
    "reads by an unknown operator": (
        lambda db: list(db.collection("users").where("n", "=", 1).stream()),
        PlanError,
        "ValueError at",
    ),
    "reads a negative number": (
        lambda db: list(db.collection("users").limit(-1).stream()),
        PlanError,
        "ValueError at test_data.py:",
    ),
    "orders by no field": (
        lambda db: list(db.collection("users").order_by("a..b").stream()),
        PlanError,
        "ValueError at",
    ),
    "counts on": (lambda db: db.update("users/ada", {"n": Increment(1)}), NotIdempotent, "users/ada"),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_that_cannot_be_planned_stops_the_plan(world: World, name: str) -> None:
    work, kind, said = SCRIPTS[name]
    before = fingerprint(world, but_the_audit=True)

    @script
    def tidy(db: Database) -> None:
        work(db)

    refused(lambda: world.run(tidy), kind, said)
    assert fingerprint(world, but_the_audit=True) == before
    assert world.records()["_lease"]["holder"] == ""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.firestore import And, DocumentReference, FieldFilter, GeoPoint, Or, Query
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import firestore_migrations as ours
from firestore_migrations.authoring.client import answer
from firestore_migrations.errors import DocumentError
from tests.authoring.scripting import NOW, database, official, on, plain, plain_snapshots, planned_by

VALUES = st.sampled_from(
    [
        *(None, True, False, 0, 1, 2, 1.0, 1.5, -0.0, math.nan, math.inf, -(2**63), 2**53 + 1, float(2**53)),
        *("", "a", "b", "é", b"", b"a", GeoPoint(1, 2), GeoPoint(1, -2), NOW, NOW + timedelta(microseconds=1)),
        *([], [1], [1, "a"], [1.0], ["a"], {}, {"x": 1}, {"x": 2}, {"y": 1}),
    ]
)
FIELDS = ("a", "b", "m.x")
DOCUMENTS = st.fixed_dictionaries(
    {}, optional={"a": VALUES, "b": VALUES, "m": st.one_of(st.fixed_dictionaries({"x": VALUES}), VALUES)}
)
IDS = st.sampled_from(["a", "b", "B", "a-", "aa", "__id1__", "__id-2__", "__id10__", "é", "1"])
COMPARABLE = VALUES.filter(lambda value: value is not None and value == value)  # noqa: PLR0124 - only NaN is not
FILTERS = st.one_of(
    st.builds(FieldFilter, st.sampled_from(FIELDS), st.sampled_from(["==", "!="]), VALUES),
    st.builds(FieldFilter, st.sampled_from(FIELDS), st.sampled_from(["<", "<=", ">", ">="]), COMPARABLE),
    st.builds(FieldFilter, st.sampled_from(FIELDS), st.just("array_contains"), COMPARABLE),
    st.builds(
        FieldFilter,
        st.sampled_from(FIELDS),
        st.sampled_from(["in", "not-in", "array_contains_any"]),
        st.lists(COMPARABLE, min_size=1, max_size=3, unique_by=repr),
    ),
)
COMPOSITES = st.sampled_from([And, Or])


def composed(inner: Any) -> Any:
    return st.builds(lambda kind, parts: kind(parts), COMPOSITES, st.lists(inner, min_size=2, max_size=3))


TREES = st.recursive(FILTERS, composed, max_leaves=4)
DIRECTIONS = st.sampled_from(["ASCENDING", "DESCENDING"])
ORDERS = st.lists(st.tuples(st.sampled_from(FIELDS), DIRECTIONS), max_size=2, unique_by=lambda order: order[0])
CURSORS = st.sampled_from(["start_at", "start_after", "end_at", "end_before"])


@st.composite
def queries(draw: Any) -> list[tuple[str, Any]]:
    """The calls that build a query; ("cursor", (method, id)) stands for a snapshot of that document."""
    calls: list[tuple[str, Any]] = [("where", tree) for tree in draw(st.lists(TREES, max_size=2))]
    orders = draw(ORDERS)
    calls += [("order_by", order) for order in orders]
    if draw(st.booleans()):
        if orders and draw(st.booleans()):
            values = draw(st.lists(VALUES, min_size=1, max_size=len(orders)))
            calls.append((draw(CURSORS), values))
        else:
            calls.append(("cursor", (draw(CURSORS), draw(IDS))))
    for name, numbers in (("limit", st.integers(1, 5)), ("offset", st.integers(0, 3))):
        if draw(st.booleans()):
            calls.append((name, draw(numbers)))
    if draw(st.booleans()):
        calls.append(("select", draw(st.lists(st.sampled_from(FIELDS), max_size=2, unique=True))))
    return calls


def built(root: Any, calls: list[tuple[str, Any]]) -> Any:
    query = root
    for name, argument in calls:
        if name == "where":
            query = query.where(filter=argument)
        elif name == "order_by":
            query = query.order_by(argument[0], direction=argument[1])
        elif name == "cursor":
            snapshot = root.document(argument[1]).get()
            query = getattr(query, argument[0])(snapshot) if snapshot.exists else query
        else:
            query = getattr(query, name)(argument)
    return query


def answers(root: Any, calls: list[tuple[str, Any]]) -> Any:
    """What a query gives; a refusal where there is one."""
    try:
        return plain_snapshots(built(root, calls).stream())
    except (GoogleAPICallError, ValueError, KeyError):
        return "refused"


def fill(client: Any, documents: dict[str, Any]) -> None:
    batch = client.batch()
    for name, data in documents.items():
        batch.set(client.document(f"c/{name}"), data)
    batch.set(client.document("d/other"), {"a": 1})
    batch.set(client.document("c/a/c/below"), {"a": 1})
    batch.commit()


SLOW = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@SLOW
@given(documents=st.dictionaries(IDS, DOCUMENTS, max_size=8), asked=st.lists(queries(), min_size=4, max_size=4))
def test_queries_answer_as_the_official_client_does(emulator, documents: Any, asked: Any) -> None:
    project = f"demo-{uuid4().hex[:12]}"
    client = official(emulator.host, project)
    fill(client, documents)
    db = database(emulator.host, project)
    for calls in asked:
        expected = answers(client.collection("c"), calls)
        if expected != "refused":
            assert answers(db.collection("c"), calls) == expected


WRITES = st.lists(
    st.tuples(st.sampled_from(["set", "merge", "update", "delete"]), IDS, DOCUMENTS), min_size=1, max_size=6
)


def write(root: Any, writes: Any) -> None:
    for kind, name, data in writes:
        document = root.document(name)
        if kind == "delete":
            document.delete()
        elif kind == "update" and not document.get().exists:
            continue
        elif kind == "update" and data:
            document.update(data)
        elif kind != "update":
            document.set(data, merge=kind == "merge")


@SLOW
@given(
    documents=st.dictionaries(IDS, DOCUMENTS, max_size=8),
    writes=WRITES,
    second=WRITES,
    asked=st.lists(queries(), min_size=3, max_size=3),
    planned=st.booleans(),
)
def test_queries_see_what_was_recorded_as_if_it_had_been_written(
    emulator, documents: Any, writes: Any, second: Any, asked: Any, planned: bool
) -> None:
    project = f"demo-{uuid4().hex[:12]}"
    client, written = official(emulator.host, project), official(emulator.host, f"{project}-w")
    fill(client, documents)
    fill(written, documents)
    db = database(emulator.host, project)
    for part in (writes, second):
        write(written.collection("c"), part)
        write(db.collection("c"), part)
        if planned:
            db = on(planned_by(db))
            planned = False
        for calls in asked:
            expected = answers(written.collection("c"), calls)
            if expected != "refused":
                assert answers(db.collection("c"), calls) == expected
        count = db.collection("c").count().get()[0][0].value
        assert count == written.collection("c").count().get()[0][0].value


def numbered(client: Any, count: int, collection: str = "c") -> None:
    batch = client.batch()
    for number in range(count):
        batch.set(client.document(f"{collection}/{number:04}"), {"n": number, "state": "old", "half": number // 2})
    batch.commit()


@pytest.mark.parametrize("order", [None, "n", "half"])
def test_paging_while_writing_reads_each_document_once(emulator, project: str, order: str | None) -> None:
    numbered(official(emulator.host, project), 100)
    db = database(emulator.host, project)
    query = db.collection("c").limit(10) if order is None else db.collection("c").order_by(order).limit(10)
    seen: list[str] = []
    page = query.get()
    while page:
        for snapshot in page:
            seen.append(snapshot.id)
            snapshot.reference.update({"state": "new"})
        page = query.start_after(page[-1]).get()
    assert seen == [f"{number:04}" for number in range(100)]
    assert db._base.at.reads <= 101
    assert len(list(db._drafts.changes())) == 100
    assert db._base.at.reads <= 101, "a document that a query has read is not read again for the plan"


@pytest.mark.parametrize("size", [1, 10])
def test_taking_the_next_old_ones_until_there_are_none_stays_linear(emulator, project: str, size: int) -> None:
    numbered(official(emulator.host, project), 60)
    db = database(emulator.host, project)
    rounds = 0
    query = db.collection("c").where(filter=FieldFilter("state", "==", "old")).limit(size)
    while page := query.get():
        rounds += 1
        for snapshot in page:
            snapshot.reference.update({"state": "new"})
    assert rounds == 60 // size
    assert db._base.at.reads <= 60 * 2 + rounds


def test_a_stream_does_not_see_what_is_recorded_while_it_runs(emulator, project: str) -> None:
    numbered(official(emulator.host, project), 10)
    db = database(emulator.host, project)
    db.document("c/0005").update({"state": "first"})
    seen = []
    for snapshot in db.collection("c").stream():
        seen.append((snapshot.id, snapshot.get("state")))
        db.document("c/0007").delete()
        db.document("c/0005").update({"state": "second"})
        db.document("c/9999").set({"state": "new"})
    assert seen == [(f"{n:04}", "first" if n == 5 else "old") for n in range(10)]
    assert db.collection("c").count().get()[0][0].value == 10


def test_a_plain_stream_holds_no_more_than_it_gives(emulator, project: str) -> None:
    numbered(official(emulator.host, project), 50)
    db = database(emulator.host, project)
    stream = db.collection("c").stream()
    next(stream)
    assert db._base.at.reads == 1


def test_a_long_ordered_answer_comes_in_pages(emulator, project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    numbered(official(emulator.host, project), 25)
    monkeypatch.setattr(answer, "_PAGE", 4)
    db = database(emulator.host, project)
    for direction in ("ASCENDING", "DESCENDING"):
        numbers = [s.get("n") for s in db.collection("c").order_by("half", direction=direction).order_by("n").stream()]
        client = official(emulator.host, project).collection("c").order_by("half", direction=direction).order_by("n")
        assert numbers == [s.get("n") for s in client.stream()]


def test_limit_to_last_gives_the_end_in_order(emulator, project: str) -> None:
    client = official(emulator.host, project)
    numbered(client, 9)
    db = database(emulator.host, project)
    db.document("c/0004").update({"n": 100})
    client.document("c/0004").update({"n": 100})
    expected = plain_snapshots(client.collection("c").order_by("n").limit_to_last(3).get())
    assert plain_snapshots(db.collection("c").order_by("n").limit_to_last(3).get()) == expected
    ending = db.collection("c").order_by("n").end_before({"n": 7}).start_at({"n": 2}).limit_to_last(3).get()
    assert [s.get("n") for s in ending] == [3, 5, 6]
    with pytest.raises(DocumentError, match="stream"):
        db.collection("c").order_by("n").limit_to_last(3).stream()
    with pytest.raises(DocumentError, match="order"):
        db.collection("c").limit_to_last(3).get()


def test_a_group_query_finds_every_level_but_the_audit(emulator, project: str) -> None:
    client = official(emulator.host, project)
    for path in ("runs/a", "users/u/runs/b", "users/u/runs/b/runs/c", "_migrations/v001/runs/r", "x/runs"):
        client.document(path).set({"n": 1})
    db = database(emulator.host, project)
    runs = db.collection_group("runs")
    assert [s.reference.path for s in runs.stream()] == ["runs/a", "users/u/runs/b", "users/u/runs/b/runs/c"]
    assert runs.count().get()[0][0].value == 3
    assert [s.reference.path for s in runs.order_by("n").limit(1).get()] == ["runs/a"]
    db.document("_a/1/runs/z").set({"n": 1})
    db.document("users/u/runs/b").delete()
    assert [s.reference.path for s in runs.limit(2).get()] == ["_a/1/runs/z", "runs/a"]
    assert [s.reference.path for s in runs.order_by("n").offset(1).get()] == ["runs/a", "users/u/runs/b/runs/c"]
    last = runs.limit(2).get()[-1]
    assert [s.reference.path for s in runs.start_after(last).get()] == ["users/u/runs/b/runs/c"]


@pytest.mark.parametrize("aim", ["_migrations", "_migrations/v001/runs"])
def test_the_audit_cannot_be_queried(emulator, project: str, aim: str) -> None:
    db = database(emulator.host, project)
    with pytest.raises(DocumentError, match="audit"):
        db.collection(aim)
    with pytest.raises(DocumentError):
        db.collection_group("_migrations")


def test_conditions_on_names_see_what_was_recorded(emulator, project: str) -> None:
    client, db = official(emulator.host, project), database(emulator.host, project)
    numbered(client, 5)
    db = database(emulator.host, project)
    db.document("c/0003").update({"n": 30})
    db.document("c/00035").set({"n": 35})
    collection = db.collection("c")
    above = collection.where(filter=FieldFilter("__name__", ">", collection.document("0002")))
    assert [(s.id, s.get("n")) for s in above.get()] == [("0003", 30), ("00035", 35), ("0004", 4)]
    some = collection.where(filter=FieldFilter("__name__", "in", [collection.document(i) for i in ("0003", "9")]))
    assert [(s.id, s.get("n")) for s in some.get()] == [("0003", 30)]
    by_id = collection.order_by("__name__").start_at({"__name__": "0003"}).limit(2)
    assert [s.id for s in by_id.get()] == ["0003", "00035"]


@pytest.mark.parametrize("is_touched", [False, True])
def test_sums_and_means_are_the_official_ones(emulator, project: str, is_touched: bool) -> None:
    client = official(emulator.host, project)
    for name, value in {"a": 1, "b": 2, "c": "text", "d": None, "f": 40}.items():
        client.document(f"c/{name}").set({"n": value})
    client.document("c/e").set({"other": 1})
    db = database(emulator.host, project)
    if is_touched:
        db.document("c/b").update({"n": 2.5})
        client.document("c/b").update({"n": 2.5})
    for field, kind in (("n", "sum"), ("n", "avg"), ("other", "sum"), ("missing", "avg"), ("missing", "sum")):
        mine = getattr(db.collection("c"), kind)(field, alias="it").get()[0][0]
        theirs = getattr(client.collection("c"), kind)(field, alias="it").get()[0][0]
        assert (mine.alias, plain(mine.value)) == (theirs.alias, plain(theirs.value)), (field, kind)
    few = db.collection("c").order_by("n").limit(3).count(alias="few").get()[0][0]
    assert (few.alias, few.value) == ("few", 3)


def test_listings_show_what_was_recorded(emulator, project: str) -> None:
    client, written = official(emulator.host, project), official(emulator.host, f"{project}-w")
    for one in (client, written):
        for path in ("c/a", "c/b", "c/b/d/1", "c/ghost/d/1", "c/gone/d/1", "e/x", "_migrations/v001"):
            one.document(path).set({"n": 1})
    db = database(emulator.host, project)
    for root in (written, db):
        root.document("c/b").delete()
        root.document("c/a").delete()
        root.document("c/gone/d/1").delete()
        root.document("e/x").delete()
        root.document("c/new/f/1").set({})
        root.document("g/h").set({})
    paths = [reference.path for reference in db.collection("c").list_documents()]
    assert paths == [reference.path for reference in written.collection("c").list_documents()]
    assert paths == ["c/b", "c/ghost", "c/new"]
    assert [collection.id for collection in db.collections()] == ["c", "g"]
    assert [collection.path for collection in db.document("c/new").collections()] == ["c/new/f"]
    assert [collection.path for collection in db.document("c/gone").collections()] == []


def test_a_snapshot_is_exact(emulator, project: str) -> None:
    """What the official client cannot read or moves by a second: other databases, times before 1970."""
    client, other = official(emulator.host, project), official(emulator.host, f"{project}-other")
    before = datetime(1969, 12, 31, 23, 59, 58, 250_000, tzinfo=timezone.utc)
    db = database(emulator.host, project)
    db.document("c/a").set({"at": before, "far": other.document("x/y"), "near": db.document("c/b"), "m": {"k": [1]}})
    snapshot = db.document("c/a").get()
    assert snapshot.get("at") == before
    assert snapshot.get("far") == other.document("x/y") or snapshot.get("far").path == "x/y"
    assert snapshot.get("near") == db.document("c/b") == db._base.codec.reference(db.document("c/b")._document_path)
    assert snapshot.to_dict() is not snapshot.to_dict()
    snapshot.to_dict()["m"]["k"].append(2)
    assert snapshot.get("m.k") == snapshot["m.k"] == [1]
    with pytest.raises(KeyError):
        snapshot.get("m.nothing")
    assert (snapshot.id, snapshot.exists, snapshot.create_time) == ("a", True, None)
    found = db.collection("c").where(filter=FieldFilter("at", "==", before)).get()
    assert [s.id for s in found] == ["a"]
    assert [s.id for s in db.collection("c").order_by("at").start_at({"at": before}).get()] == ["a"]
    assert db.collection("c").order_by("at").start_after(snapshot).get() == []
    missing = db.document("c/none").get()
    assert (missing.exists, missing.to_dict(), missing.get("x"), missing.update_time) == (False, None, None, None)
    assert client.document("c/a").get().exists is False


def test_a_stored_time_before_1970_is_a_cursor_and_a_condition(emulator, project: str) -> None:
    before = datetime(1969, 12, 31, 23, 59, 58, 250_000, tzinfo=timezone.utc)
    first = database(emulator.host, project)
    first.document("c/a").set({"at": before})
    from firestore_migrations.firestore.connection import Address, Writer

    with Writer(Address(project, "(default)", emulator.host)) as writer:
        writer.commit([change.write for _, _, change in first._drafts.changes()], 10)
    db = database(emulator.host, project)
    (stored,) = db.collection("c").where(filter=FieldFilter("at", "==", before)).get()
    assert stored.get("at") == before
    assert stored.create_time == stored.update_time
    assert stored.read_time >= stored.update_time
    assert len(db.collection("c").order_by("at").start_at(stored).get()) == 1
    assert len(db.collection("c").order_by("at").start_after(stored).get()) == 0


def test_references_lead_up_and_down(emulator, project: str) -> None:
    db = database(emulator.host, project)
    deep = db.document("a/b").collection("c").document("d")
    assert isinstance(deep, DocumentReference)
    assert (deep.path, deep.id, deep.parent.path, deep.parent.id) == ("a/b/c/d", "d", "a/b/c", "c")
    assert deep.parent.parent == db.document("a/b")
    assert db.collection("a").parent is None
    assert db.collection("a", "b", "c") == deep.parent
    assert db.collection("a/b/c").document("d") == deep
    assert len({deep, db.document("a", "b", "c", "d")}) == 1
    with pytest.raises(DocumentError, match="odd number"):
        db.collection("a/b")


def test_a_second_pass_pages_over_what_is_planned(emulator, project: str) -> None:
    numbered(official(emulator.host, project), 30)

    def up(db: Any) -> None:
        query = db.collection("c").order_by("n").limit(7)
        page = query.get()
        while page:
            for snapshot in page:
                if snapshot.get("state") == "old":
                    snapshot.reference.update({"state": "new", "n": snapshot.get("n") + 1000})
                    db.collection("log").add({"of": snapshot.reference})
            page = [] if len(page) < 7 else query.start_after(page[-1]).get()

    db = database(emulator.host, project)
    up(db)
    assert len(list(db._drafts.changes())) == 60
    again = on(planned_by(db))
    assert again.collection("log").count().get()[0][0].value == 30
    up(again)
    assert list(again._drafts.changes()) == []


def test_a_sentinel_is_no_condition(emulator, project: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        database(emulator.host, project).collection("c").where("n", "==", ours.SERVER_TIMESTAMP)
    assert Query.ASCENDING == database(emulator.host, project).collection("c").ASCENDING

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import firestore

import firestore_migrations as ours
from firestore_migrations.errors import DocumentError, InvalidValue
from firestore_migrations.firestore import wire
from tests.authoring.scripting import NOW, database, official, on, plain, planned_by

STORED = {
    "n": 5,
    "d": 2.5,
    "text": "x",
    "tags": [1, "a", 3, 3.0],
    "m": {"x": 1, "y": {"z": [1]}, "tags": ["a"]},
    "a.b": 1,
    "none": None,
}
PAIRS = {
    "increment": (ours.Increment(2), firestore.Increment(2)),
    "increment by a double": (ours.Increment(0.5), firestore.Increment(0.5)),
    "union": (ours.ArrayUnion([3.0, "b", "b", 1]), firestore.ArrayUnion([3.0, "b", "b", 1])),
    "remove": (ours.ArrayRemove([3.0, "a"]), firestore.ArrayRemove([3.0, "a"])),
    "maximum": (firestore.Maximum(4), firestore.Maximum(4)),
    "minimum": (firestore.Minimum(4), firestore.Minimum(4)),
    "value": ({"k": [1, {"l": None}]}, {"k": [1, {"l": None}]}),
    "empty map": ({}, {}),
    "delete": (ours.DELETE_FIELD, firestore.DELETE_FIELD),
}
FIELDS = ["n", "d", "text", "tags", "missing", "m.x", "m.y", "m.new", "m.y.z", "missing.deep.er", "text.in", "none"]


def compare(emulator, project: str, act: Any, act_officially: Any = None) -> Any:
    """Act on both; the documents must be the same afterwards, or both must have refused."""
    client = official(emulator.host, project)
    client.document("c/a").set(STORED)
    db = database(emulator.host, project)
    refused = refused_officially = False
    try:
        (act_officially or act)(client.document("c/a"))
    except (ValueError, TypeError, GoogleAPICallError):
        refused_officially = True
    try:
        act(db.document("c/a"))
        list(db._drafts.changes())
    except (DocumentError, InvalidValue):
        refused = True
    assert refused == refused_officially
    if not refused:
        assert plain(db.document("c/a").get().to_dict()) == plain(client.document("c/a").get().to_dict())
    return db


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("field", FIELDS)
def test_update_does_what_the_official_client_does(emulator, project: str, kind: str, field: str) -> None:
    mine, theirs = PAIRS[kind]
    compare(emulator, project, lambda r: r.update({field: mine}), lambda r: r.update({field: theirs}))
    compare(emulator, project, lambda r: r.update({field: theirs}))


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("merge", [True, False])
def test_set_does_what_the_official_client_does(emulator, project: str, kind: str, field: str, merge: bool) -> None:
    def nested(value: Any) -> dict[str, Any]:
        for name in reversed(field.split(".")):
            value = {name: value}
        return {**value, "also": 1}

    mine, theirs = map(nested, PAIRS[kind])
    compare(emulator, project, lambda r: r.set(mine, merge=merge), lambda r: r.set(theirs, merge=merge))


@pytest.mark.parametrize("kind", PAIRS)
def test_an_update_of_a_whole_map_does_what_the_official_client_does(emulator, project: str, kind: str) -> None:
    mine, theirs = PAIRS[kind]
    compare(emulator, project, lambda r: r.update({"m": {"x": mine}}), lambda r: r.update({"m": {"x": theirs}}))


@pytest.mark.parametrize(
    "data",
    [
        {"a.b": 2},
        {"`a.b`": 2},
        {"n": 1, "n.x": 2},
        {"m": {}, "m.x": 2},
        {"m.x": 2, "m.y": 3},
        {"": 1},
        {"a..b": 1},
        {"é": 1, "1num": 2},
        {"m.a-b": 1},
        {"x~y": 1},
        {"none": {}},
    ],
)
def test_field_paths_are_read_as_the_official_client_reads_them(emulator, project: str, data: Any) -> None:
    compare(emulator, project, lambda r: r.update(data))
    compare(emulator, project, lambda r: r.set(data, merge=True) if "" not in data else r.update(data))


@pytest.mark.parametrize("merge", [["n"], ["m.x"], ["m"], ["nowhere"], ["m", "n"]])
def test_a_merge_of_named_fields_takes_those_alone(emulator, project: str, merge: list[str]) -> None:
    data = {"n": 9, "m": {"x": 8, "new": 7}}
    chosen = {"m": {"x": 8, "new": 7}} if merge == ["m"] else {"n": 9} if merge == ["n"] else data
    if merge == ["m.x"]:
        chosen = {"m": {"x": 8}}
    compare(emulator, project, lambda r: r.set(chosen, merge=merge))


@pytest.mark.parametrize("times", [(1, 2), (3, 3.0), (2**62, 2**62), (-(2**62) - 5, -(2**62) - 5)])
def test_two_increments_add_up(emulator, project: str, times: tuple[float, float]) -> None:
    def act(reference: Any) -> None:
        for number in times:
            reference.update({"n": firestore.Increment(number), "new": firestore.Increment(number)})

    compare(emulator, project, act)


def test_writes_in_turn_see_each_other(emulator, project: str) -> None:
    def act(reference: Any) -> None:
        reference.update({"n": 10, "tags": ["q"]})
        reference.update({"n": firestore.Increment(1), "tags": firestore.ArrayUnion([3, "q"])})
        reference.update({"tags": firestore.ArrayUnion([3.0, 4]), "m.n": firestore.Increment(1)})
        reference.set({"m": {"n": firestore.Increment(1), "x": firestore.DELETE_FIELD}}, merge=True)
        reference.update({"tags": firestore.ArrayRemove(["q"])})

    compare(emulator, project, act)


def test_a_document_can_go_and_come_back(emulator, project: str) -> None:
    def act(reference: Any) -> None:
        reference.delete()
        reference.set({"n": firestore.Increment(1), "tags": firestore.ArrayUnion([1, 1.0])})

    compare(emulator, project, act)


def test_a_deleted_document_cannot_be_updated(emulator, project: str) -> None:
    def act(reference: Any) -> None:
        reference.delete()
        reference.update({"n": 1})

    compare(emulator, project, act)


def test_create_refuses_an_existing_document_and_db_create_leaves_it_alone(emulator, project: str) -> None:
    db = compare(emulator, project, lambda r: r.create({"n": 1}))
    db.create("c/a", {"n": 1})
    db.create("c/new", {"n": 1})
    assert [(path, change.operation) for path, _, change in db._drafts.changes()] == [("c/new", "created")]


def test_the_servers_time_is_the_stamp_until_it_is_known(emulator, project: str) -> None:
    db = database(emulator.host, project)
    for sentinel in (ours.SERVER_TIMESTAMP, firestore.SERVER_TIMESTAMP):
        db.set("c/a", {"at": sentinel, "m": {"at": sentinel}})
        assert db.document("c/a").get().to_dict() == {"at": NOW, "m": {"at": NOW}}
        ((_, _, change),) = db._drafts.changes()
        write = wire.Write.FromString(change.write)
        assert [t.field_path for t in write.update_transforms] == ["at", "m.at"]


def test_data_is_taken_as_it_is_when_it_is_recorded(emulator, project: str) -> None:
    db = database(emulator.host, project)
    data = {"list": [1], "m": {}}
    db.set("c/a", data)
    data["list"].append(2)
    data["m"]["x"] = 1
    assert db.document("c/a").get().to_dict() == {"list": [1], "m": {}}


def test_an_update_of_a_missing_document_is_refused_when_the_plan_is_made(emulator, project: str) -> None:
    db = database(emulator.host, project)
    db.update("c/missing", {"n": 1})
    with pytest.raises(DocumentError, match="c/missing is missing"):
        list(db._drafts.changes())


def test_a_document_that_was_read_cannot_be_changed_in_place(emulator, project: str) -> None:
    official(emulator.host, project).document("c/a").set({"list": [1], "n": 1})
    db = database(emulator.host, project)
    found = db.get("c/a")
    assert found is not None
    with pytest.raises(DocumentError, match=r"db\.update"):
        found["n"] = 2
    found["list"].append(2)
    with pytest.raises(DocumentError, match="changed in place"):
        list(db._drafts.changes())


@pytest.mark.parametrize(
    "path",
    [
        "c",
        "c/a/b",
        "",
        "/c/a",
        "c//a",
        "c/.",
        "c/__x__",
        "c/__xy7__",
        "c/__id0__",
        "c/__id9223372036854775808__",
        "__id7__/a",
        "_migrations/v001",
        "_migrations/v001/runs/x",
        7,
        None,
    ],
)
def test_what_names_no_document_of_the_author_is_refused(emulator, project: str, path: Any) -> None:
    db = database(emulator.host, project)
    for act in (db.get, db.delete, lambda p: db.set(p, {}), lambda p: db.update(p, {}), lambda p: db.create(p, {})):
        with pytest.raises(DocumentError):
            act(path)


def test_numeric_ids_of_the_server_are_no_reserved_ids(emulator, project: str) -> None:
    official(emulator.host, project).document("c/__id7__").set({"n": 1})
    assert database(emulator.host, project).get("c/__id7__") == {"n": 1}


def test_a_document_of_another_database_is_refused(emulator, project: str) -> None:
    other = official(emulator.host, f"{project}-other").document("c/a")
    with pytest.raises(DocumentError, match="another database"):
        database(emulator.host, project).set(other, {})


def test_a_transaction_is_refused_with_the_reason(emulator, project: str) -> None:
    with pytest.raises(DocumentError, match="atomic"):
        database(emulator.host, project).transaction()


def test_a_batch_records_when_it_is_committed(emulator, project: str) -> None:
    official(emulator.host, project).document("c/old").set({"n": 1})
    db = database(emulator.host, project)
    batch = db.batch()
    batch.set(db.document("c/a"), {"n": 1})
    batch.update(db.document("c/a"), {"n": ours.Increment(1)})
    batch.delete(db.collection("c").document("old"))
    batch.create(db.document("c/b"), {})
    assert len(batch) == 4
    assert db.get("c/a") is None
    assert batch.commit() == []
    assert {path: change.operation for path, _, change in db._drafts.changes()} == {
        "c/a": "created",
        "c/old": "deleted",
        "c/b": "created",
    }
    assert db.get("c/a") == {"n": 2}


def test_a_bulk_writer_records_at_once(emulator, project: str) -> None:
    db = database(emulator.host, project)
    writer = db.bulk_writer()
    writer.set(db.document("c/a"), {"n": 1})
    writer.flush()
    writer.close()
    assert db.get("c/a") == {"n": 1}


def test_preconditions_are_refused_and_tuning_is_not(emulator, project: str) -> None:
    client = official(emulator.host, project)
    client.document("c/a").set({"n": 1})
    reference = database(emulator.host, project).document("c/a")
    reference.update({"n": 2}, retry=None, timeout=3)
    for act in (reference.delete, lambda option: reference.update({"n": 3}, option=option)):
        with pytest.raises(DocumentError, match="option"):
            act(client.write_option(exists=True))
    with pytest.raises(DocumentError, match="read_time"):
        reference.get(read_time=datetime.now(timezone.utc))


def test_automatic_ids_are_the_same_each_time(emulator, project: str) -> None:
    def ids() -> list[str]:
        db = database(emulator.host, project)
        return [*(db.collection("c").document().id for _ in range(3)), db.collection("d").add({})[1].id]

    first = ids()
    assert first == ids()
    assert len(set(first)) == 4
    assert {len(name) for name in first} == {20}


def test_adding_in_a_second_pass_adds_nothing(emulator, project: str) -> None:
    db = database(emulator.host, project)
    db.collection("c").add({"n": 1})
    again = on(planned_by(db))
    again.collection("c").add({"n": 1})
    assert list(again._drafts.changes()) == []


def test_get_all_gives_missing_documents_and_recorded_ones(emulator, project: str) -> None:
    official(emulator.host, project).document("c/a").set({"n": 1, "m": {"x": 1, "y": 2}})
    db = database(emulator.host, project)
    db.set("c/b", {"n": 2})
    asked = [db.document(path) for path in ("c/b", "c/none", "c/a")]
    assert [(s.id, s.exists, s.to_dict()) for s in db.get_all(asked, field_paths=["m.x"])] == [
        ("b", True, {}),
        ("none", False, None),
        ("a", True, {"m": {"x": 1}}),
    ]

"""What a migration may do to documents, from preflight to finish."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from google.cloud.firestore import FieldFilter

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
from firestore_migrations.errors import WrittenTwice
from firestore_migrations.runs.snapshot import ROWS_AT_ONCE
from tests.runs.world import World

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def test_documents_change_in_place_nested_ones_too(world: World) -> None:
    world.write(
        {
            "users/ada": {"name": "Ada", "settings": {"email": {"on": False}}, "tags": ["a", {"n": 1}]},
            "users/bob": {"name": "Bob", "legacy": 1},
            "users/eve": {},
            "other/x": {"name": "Ada"},
        }
    )

    @each_document("users")
    def up(user: Document, db: Database) -> None:
        if "settings" in user:
            user["settings"]["email"]["on"] = True
            user["settings"].setdefault("theme", "dark")
            user["tags"][1]["n"] = 2
            if len(user["tags"]) == 2:
                user["tags"].append("c")
        if "legacy" in user:
            del user["legacy"]
        user.rename("name", "fullName")

    life = world.run(up)

    assert world.data() == {
        "users/ada": {
            "fullName": "Ada",
            "settings": {"email": {"on": True}, "theme": "dark"},
            "tags": ["a", {"n": 2}, "c"],
        },
        "users/bob": {"fullName": "Bob"},
        "users/eve": {},
        "other/x": {"name": "Ada"},
    }
    assert life.results["finish"]["counts"] == {
        "scanned": 3,
        "created": 0,
        "updated": 2,
        "deleted": 0,
        "unchanged": 1,
        "drifted": 0,
        "conflicts": 0,
        "failed": 0,
    }
    assert life.results["finish"]["state"] == "verified"


def test_other_documents_are_created_set_merged_updated_and_deleted(world: World) -> None:
    world.write(
        {
            "users/ada": {"n": 1},
            "stats/ada": {"kept": 1},
            "profile/ada": {"a": {"x": 1}, "b": 1},
            "counts/ada": {"m": {"x": 1, "y": 2}},
            "old/ada": {"z": 1},
        }
    )

    @each_document("users")
    def up(user: Document, db: Database) -> None:
        db.create(f"stats/{user.id}", {"kept": 0})
        db.create(f"fresh/{user.id}", {"n": user["n"]})
        db.set(f"whole/{user.id}", {"only": True})
        db.set(f"profile/{user.id}", {"a": {"y": 2}}, merge=True)
        db.update(f"counts/{user.id}", {"m.x": DELETE_FIELD, "m.z": 3})
        db.delete(f"old/{user.id}")
        db.delete(f"missing/{user.id}")

    life = world.run(up)

    assert world.data() == {
        "users/ada": {"n": 1},
        "stats/ada": {"kept": 1},
        "fresh/ada": {"n": 1},
        "whole/ada": {"only": True},
        "profile/ada": {"a": {"x": 1, "y": 2}, "b": 1},
        "counts/ada": {"m": {"y": 2, "z": 3}},
    }
    assert life.results["review"]["counts"]["scanned"] == 1
    assert {k: life.results["finish"]["counts"][k] for k in ("created", "updated", "deleted")} == {
        "created": 2,
        "updated": 2,
        "deleted": 1,
    }


def test_a_document_may_delete_itself_and_move_elsewhere(world: World) -> None:
    world.write({"old/1": {"a": 1}, "old/2": {"b": {"c": [1]}}})

    @each_document("old")
    def up(document: Document, db: Database) -> None:
        db.set(f"new/{document.id}", document.to_dict())
        db.delete(document.path)

    life = world.run(up)

    assert world.data() == {"new/1": {"a": 1}, "new/2": {"b": {"c": [1]}}}
    assert life.results["verify"]["held"] == 4


SCOPES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "top": ({"collection": "invoices"}, {"invoices/1"}),
    "wildcard": ({"collection": "users/{uid}/invoices"}, {"users/a/invoices/1", "users/ghost/invoices/1"}),
    "fixed parent": ({"collection": "users/a/invoices"}, {"users/a/invoices/1"}),
    "two wildcards": (
        {"collection": "users/{uid}/invoices/{id}/invoices"},
        {"users/a/invoices/1/invoices/9"},
    ),
    "fixed, then wildcard": (
        {"collection": "users/a/invoices/{id}/invoices"},
        {"users/a/invoices/1/invoices/9"},
    ),
    "group": (
        {"collection": "invoices", "group": True},
        {
            "invoices/1",
            "users/a/invoices/1",
            "users/a/invoices/1/invoices/9",
            "users/ghost/invoices/1",
            "teams/t/users/a/invoices/1",
        },
    ),
}


@pytest.mark.parametrize("name", SCOPES)
@pytest.mark.parametrize("shards", [1, 3])
def test_a_scope_is_exactly_its_documents(world: World, name: str, shards: int) -> None:
    arguments, expected = SCOPES[name]
    everywhere = [
        "invoices/1",
        "invoices2/1",
        "users/a",
        "users/a/invoices/1",
        "users/a/invoices/1/invoices/9",
        "users/a/other/1",
        "users/ghost/invoices/1",
        "teams/t/users/a/invoices/1",
    ]
    world.write({path: {"old": 1} for path in everywhere})

    @each_document(**arguments)
    def up(document: Document, db: Database) -> None:
        document.rename("old", "new")

    life = world.run(up, shards=shards)

    assert {path for path, data in world.data().items() if data == {"new": 1}} == expected
    assert life.results["finish"]["counts"]["scanned"] == len(expected)


@pytest.mark.parametrize("group", ["runs", "events", "batches", "failures"])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_group_never_matches_the_audit(world: World, group: str, shards: int) -> None:
    @each_document("warm")
    def warm(document: Document, db: Database) -> None:
        document["seen"] = True

    world.write({f"warm/{n}": {} for n in range(3)})
    world.run(world.migration(warm, version="v001"))
    world.write({f"teams/{n}/{group}/1": {"a": 1} for n in range(3)})
    before = world.records()

    @each_document(group, group=True)
    def up(document: Document, db: Database) -> None:
        document["seen"] = True

    world.run(world.migration(up, version="v002"), shards=shards)

    assert {path: data for path, data in world.data().items() if path.startswith("teams")} == {
        f"teams/{n}/{group}/1": {"a": 1, "seen": True} for n in range(3)
    }
    after = world.records()
    assert {path: after[path] for path in before if path != "_lease"} == {
        path: data for path, data in before.items() if path != "_lease"
    }


CONDITIONS: dict[str, tuple[Any, set[str]]] = {
    "equality": (("status", "==", "open"), {"1", "2", "4"}),
    "filter": (FieldFilter("status", "==", "open"), {"1", "2", "4"}),
    "two equalities": ([("status", "==", "open"), FieldFilter("n", "==", 1)], {"1"}),
    "inequality": (FieldFilter("n", ">", 1), {"2", "3"}),
    "equality and inequality": ([("status", "==", "open"), ("n", "<=", 1)], {"1"}),
    "in": (("status", "in", ["paid", "draft"]), {"3"}),
    "nested": (("m.k", "==", None), {"4"}),
    "not equal": (("status", "!=", "open"), {"3"}),
}


@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("shards", [1, 2])
def test_where_selects_what_the_server_would(world: World, name: str, shards: int) -> None:
    where, expected = CONDITIONS[name]
    world.write(
        {
            "invoices/1": {"status": "open", "n": 1},
            "invoices/2": {"status": "open", "n": 2},
            "invoices/3": {"status": "paid", "n": 3.5},
            "invoices/4": {"status": "open", "n": "text", "m": {"k": None}},
            "invoices/5": {},
        }
    )

    @each_document("invoices", where=where)
    def up(invoice: Document, db: Database) -> None:
        invoice["hit"] = True

    world.run(up, shards=shards)

    assert {path.split("/")[1] for path, data in world.data().items() if data.get("hit")} == expected


def test_a_transform_may_move_its_document_out_of_the_filter(world: World) -> None:
    world.write({f"invoices/{n}": {"status": "sent" if n % 2 else "paid"} for n in range(6)})

    @each_document("invoices", where=("status", "==", "sent"))
    def up(invoice: Document, db: Database) -> None:
        invoice["status"] = "open"

    life = world.run(up)

    assert world.data() == {f"invoices/{n}": {"status": "open" if n % 2 else "paid"} for n in range(6)}
    assert life.results["verify"] == {
        "residue": 0,
        "residue_applied": 0,
        "held": 3,
        "changed_since": 0,
        "born_since": 0,
        "checks": 0,
        "reads": life.results["verify"]["reads"],
    }


def test_two_steps_of_one_version_are_planned_from_one_snapshot(world: World) -> None:
    world.write({"users/a": {"n": 1}, "clients/a": {"n": 1}})

    @each_document("users")
    def first(user: Document, db: Database) -> None:
        user["n"] = 2

    @each_document("clients")
    def second(client: Document, db: Database) -> None:
        seen = db.get(f"users/{client.id}")
        client["seen"] = client.get("seen", seen["n"] if seen else None)

    world.run(world.migration(first, second))

    assert world.data() == {"users/a": {"n": 2}, "clients/a": {"n": 1, "seen": 1}}


def test_two_steps_that_write_one_document_are_refused_by_name(world: World) -> None:
    world.write({"users/a": {"n": 1}, "clients/a": {"n": 1}})
    before = world.read()

    @each_document("users")
    def first(user: Document, db: Database) -> None:
        user["n"] = 2

    @each_document("clients")
    def second(client: Document, db: Database) -> None:
        db.set(f"users/{client.id}", {"n": 3})

    with pytest.raises(WrittenTwice, match=r"users/a by 'first' and 'second'") as refused:
        world.run(world.migration(first, second))

    assert refused.value.facts == {"path": "users/a", "steps": ("first", "second")}
    assert world.read() == before


@pytest.mark.parametrize("shards", [1, 2])
def test_two_documents_that_write_one_third_differently_are_refused(world: World, shards: int) -> None:
    world.write({"users/a": {}, "users/b": {}})
    before = world.read()

    @each_document("users")
    def up(user: Document, db: Database) -> None:
        db.set("totals/all", {"last": user.id})

    with pytest.raises(WrittenTwice, match="totals/all") as refused:
        world.run(up, shards=shards)

    assert refused.value.facts["path"] == "totals/all"
    assert world.read() == before


def test_many_documents_may_write_the_same_to_others(world: World) -> None:
    count = ROWS_AT_ONCE + 3
    world.write({f"users/{n:03}": {"n": n} for n in range(count)} | {"totals/old": {f"f{n}": n for n in range(9)}})

    @each_document("users")
    def up(user: Document, db: Database) -> None:
        names = [f"f{n}" for n in range(9)]
        fields = dict.fromkeys(names if user["n"] % 2 else reversed(names), 1)
        db.update("totals/old", fields)
        if db.get("totals/new") is None:
            db.set("totals/new", {**fields, "at": SERVER_TIMESTAMP, "in": {"it": SERVER_TIMESTAMP}})

    life = world.run(up)

    assert (life.results["finish"]["counts"]["created"], life.results["finish"]["counts"]["updated"]) == (1, 1)
    assert set(world.data()["totals/old"].values()) == {1}
    assert set(world.data()["totals/new"]) == {*(f"f{n}" for n in range(9)), "at", "in"}


def test_two_documents_may_create_one_third(world: World) -> None:
    world.write({f"users/{n}": {"team": "t"} for n in range(3)})

    @each_document("users")
    def up(user: Document, db: Database) -> None:
        db.create(f"teams/{user['team']}", {"made": True})

    life = world.run(up)

    assert world.data()["teams/t"] == {"made": True}
    assert life.results["finish"]["counts"] == {
        "scanned": 3,
        "created": 1,
        "updated": 0,
        "deleted": 0,
        "unchanged": 2,
        "drifted": 0,
        "conflicts": 0,
        "failed": 0,
    }


def test_every_sentinel_is_worked_out(world: World) -> None:
    world.write({"c/a": {"n": 5, "f": 0.5, "tags": ["a", "b"], "gone": 1, "m": {"gone": 1, "kept": 1, "n": 1}}})

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        if "done" in document:
            return
        document["n"] = Increment(2)
        document["f"] = Increment(1)
        document["tags"] = ArrayUnion(["b", "c"])
        document["fewer"] = ArrayRemove(["x"])
        document["gone"] = DELETE_FIELD
        document["m"] = {"gone": DELETE_FIELD, "kept": 1, "n": Increment(1), "at": SERVER_TIMESTAMP}
        document["done"] = SERVER_TIMESTAMP

    start = world.write({"tick/1": {}})
    world.run(up)
    found = world.data()["c/a"]
    end = world.write({"tick/1": {"a": 1}})

    for at in (found.pop("done"), found["m"].pop("at")):
        moment = int(at.timestamp() * 1_000_000)
        assert start - 20_000 <= moment <= end
    assert found == {"n": 7, "f": 1.5, "tags": ["a", "b", "c"], "fewer": [], "m": {"kept": 1, "n": 2}}


def test_the_servers_time_on_a_stored_document_leaves_its_other_fields(world: World) -> None:
    world.write({"c/a": {"a": 1, "b": {"c": [1, 2]}}})

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        document.setdefault("at", SERVER_TIMESTAMP)

    world.run(up)

    found = world.data()["c/a"]
    assert found.pop("at").year >= 2025
    assert found == {"a": 1, "b": {"c": [1, 2]}}


NAMES = ["a.b", "`", "a`b.c", "back\\slash", "\\`", "__a", "a__", "é", "\U0001f600", " ", "1st", "a-b", "\x00", "_"]


def test_every_field_name_is_written_as_it_is(world: World) -> None:
    world.write({"c/a": dict.fromkeys(NAMES, 1) | {"m": dict.fromkeys(NAMES, 1)}, "c/b": {"a": {"b": 1}}})

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        for name in NAMES:
            if name in document:
                document[name] = 2
                document["m"][name] = 3
                if name + "+" not in document:
                    document[name + "+"] = "new"

    world.run(up)

    assert world.data() == {
        "c/a": {
            **dict.fromkeys(NAMES, 2),
            **{name + "+": "new" for name in NAMES},
            "m": dict.fromkeys(NAMES, 3),
        },
        "c/b": {"a": {"b": 1}},
    }


IDS = ["1", "007", "__id7__", "__id-3__", "\U0001f600", "a b", "\x00", "a\x00b", "é", "x" * 1500, "__a", ".a", "%2F"]


@pytest.mark.parametrize("shards", [1, 4])
def test_every_document_id_is_migrated_and_taken_back(world: World, shards: int) -> None:
    world.write({f"c/{name}": {"n": 1} for name in IDS} | {f"c/{name}/sub/{name}": {} for name in IDS[:11]})
    before = world.read()

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        document["n"] = 2
        db.create(f"twin/{document.id}", {"of": document.reference})

    life = world.run(up, shards=shards)

    assert life.results["verify"]["held"] == 2 * len(IDS)
    assert {path: data["n"] for path, data in world.data().items() if path.count("/") == 1 and path[0] == "c"} == {
        f"c/{name}": 2 for name in IDS
    }
    world.run(up, direction="down")
    assert world.read() == before


def test_a_script_runs_a_whole_life(world: World) -> None:
    world.write({f"users/{n}": {"plan": "pro" if n % 2 else "free"} for n in range(7)})
    before = world.read()

    @script
    def up(db: Database) -> None:
        total = 0
        for snapshot in db.collection("users").where("plan", "==", "pro").stream():
            db.collection("user_stats").document(snapshot.id).set({"plan": snapshot.get("plan")})
            total += 1
        db.set("totals/pro", {"count": total})
        db.collection("log").add({"what": "counted"})

    @up.verify
    def counted(db: Database) -> None:
        assert db.get("totals/pro")["count"] == 3

    life = world.run(up)

    data = world.data()
    (log,) = [path for path in data if path.startswith("log/")]
    assert {path: value for path, value in data.items() if path not in before} == {
        **{f"user_stats/{n}": {"plan": "pro"} for n in (1, 3, 5)},
        "totals/pro": {"count": 3},
        log: {"what": "counted"},
    }
    assert life.results["verify"]["held"] == 5
    assert life.results["finish"]["state"] == "verified"
    world.run(up, direction="down")
    assert world.read() == before


def test_documents_that_two_scripts_add_get_ids_of_their_own(world: World) -> None:
    def adding(word: str) -> Any:
        @script
        def up(db: Database) -> None:
            db.collection("log").add({"what": word})

        return up

    world.run(world.migration(adding("one"), version="v001"))
    world.run(world.migration(adding("two"), version="v002"))

    assert sorted(data["what"] for data in world.data().values()) == ["one", "two"]


def test_db_now_is_one_instant_for_the_whole_run(world: World) -> None:
    world.write({f"c/{n}": {} for n in range(3)})

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        document.setdefault("at", db.now)

    world.run(up, now=NOW, shards=3)

    assert world.data() == {f"c/{n}": {"at": NOW} for n in range(3)}


def test_skip_leaves_a_document_and_everything_recorded_with_it(world: World) -> None:
    world.write({"c/a": {"n": 1}, "c/b": {"n": 2}})

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        n = document["n"]
        document["seen"] = True
        db.create(f"twin/{document.id}", {})
        if n == 1:
            db.skip("it is done already")

    life = world.run(up)

    assert world.data() == {"c/a": {"n": 1}, "c/b": {"n": 2, "seen": True}, "twin/b": {}}
    assert life.results["finish"]["counts"]["unchanged"] == 1

"""What a plan holds: exactly the differences, the same ones each time, and proof that a second run changes nothing."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from firestore_migrations import SERVER_TIMESTAMP, Database, Document, Increment, each_document, script
from firestore_migrations.errors import NotIdempotent, PlanError
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.values import canonical
from firestore_migrations.runs.committed import batches_of, parts_of
from firestore_migrations.runs.plan import Row
from firestore_migrations.runs.snapshot import ROWS_AT_ONCE
from tests.runs.extremes import extremes
from tests.runs.world import Life, World

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def rows(life: Life) -> list[Row]:
    return [row for part in parts_of(life.folder) for batch in batches_of(life.folder, part) for row in batch.content]


def masks(life: Life) -> dict[str, list[str]]:
    """The update mask of each planned write, by path."""
    return {row.path: list(wire.Write.FromString(row.write).update_mask.field_paths) for row in rows(life)}


def test_a_write_carries_exactly_the_fields_that_differ(world: World) -> None:
    world.write({"c/a": {"n": 1, "same": 1, "m": {"x": {"y": 1, "z": 1}, "k": 1}, "l": [1, 2], "gone": 1, "a.b": 1}})

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        document["n"] = 2
        document["same"] = 1
        document["m"]["x"]["y"] = 2
        document["m"].pop("k", None)
        document["l"][0] = 9
        document.pop("gone", None)
        document["a.b"] = 2
        document["new"] = {}
        _ = document["m"]["x"]["z"]

    life = world.run(up, mode="dry_run")

    (row,) = rows(life)
    write = wire.Write.FromString(row.write)
    assert list(write.update_mask.field_paths) == ["`a.b`", "gone", "l", "m.k", "m.x.y", "n", "new"]
    assert sorted(write.update.fields) == ["a.b", "l", "m", "n", "new"]
    assert list(write.update.fields["m"].map_value.fields["x"].map_value.fields) == ["y"]
    assert wire.micros(write.current_document.update_time) == row.update_time == world.update_times()["c/a"]


def test_a_field_that_was_only_read_or_set_to_itself_is_no_change(world: World) -> None:
    world.write({"c/a": extremes(world.address.project), "c/b": {}})

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        for name in list(document):
            document[name] = document[name]

    life = world.run(up)

    assert rows(life) == []
    assert life.results["finish"]["counts"]["unchanged"] == 2


def as_stored(world: World, fields: dict[str, Any]) -> dict[str, Any]:
    """What Firestore makes of fields: it keeps microseconds of a time, and one NaN."""
    world.write({"as/stored": fields})
    found = world.writer.get(["as/stored"])[0]["as/stored"]
    world.delete("as/stored")
    return {} if found is None else dict(wire.Document.FromString(found.raw).fields)


def test_untouched_fields_keep_every_byte_through_apply_and_rollback(world: World) -> None:
    untouched = as_stored(world, extremes(world.address.project))
    world.write({"c/a": {**untouched, "n": 1}, "c/gone": untouched, "d/a": untouched})
    before = world.read()

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        if document.id == "gone":
            db.delete(document.path)
        else:
            document["n"] = 2
            db.update("d/a", {"n": 2})

    life = world.run(up)

    expected = canonical({**untouched, "n": wire.Value(integer_value=2)})
    assert world.read() == {"c/a": expected, "d/a": expected}
    assert masks(life) == {"c/a": ["n"], "c/gone": [], "d/a": ["n"]}
    world.run(up, direction="down")
    assert world.read() == before


def test_a_renamed_field_moves_without_being_decoded(world: World) -> None:
    fields = as_stored(world, extremes(world.address.project))
    world.write({"c/a": fields})

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        for name in list(document):
            if not name.endswith("!"):
                document.rename(name, name + "!")

    world.run(up)

    assert world.read() == {"c/a": canonical({f"{name}!": value for name, value in fields.items()})}


def test_the_same_snapshot_and_now_give_the_same_digest_however_often(world: World) -> None:
    world.write({f"c/{n:03}": {"n": n, "m": {str(k): k for k in range(20)}} for n in range(40)})

    def adding(word: str) -> Any:
        @each_document("c")
        def up(document: Document, db: Database) -> None:
            document["m"].update({f"{word}{k}": db.now for k in range(20)}) if f"{word}0" not in document["m"] else None
            db.create(f"twin/{document.id}", {str(k): {word: k} for k in range(20)})
            db.collection("log").add({"of": document.id})

        return up

    def digest(what: Any, **facts: Any) -> str:
        return str(world.run(what, mode="dry_run", **facts).results["review"]["plan_digest"])

    first = digest(adding("a"), now=NOW)
    assert digest(adding("a"), now=NOW) == first
    assert len({first, digest(adding("b"), now=NOW), digest(adding("a"), now=NOW.replace(year=2027))}) == 3
    world.change("c/000", n=1)
    assert digest(adding("a"), now=NOW) != first


def test_a_step_that_is_not_idempotent_is_refused_with_step_document_and_fields(world: World) -> None:
    world.write({"c/a": {"n": 1, "m": {"k": 1}}})
    before = world.read()

    @each_document("c")
    def count_up(document: Document, db: Database) -> None:
        document["n"] += 1
        document["m"]["k"] += 1

    with pytest.raises(NotIdempotent, match=r"'count_up' .* c/a again .*m.k, n") as refused:
        world.run(count_up)

    assert refused.value.facts == {"step": "count_up", "path": "c/a", "fields": ("m.k", "n")}
    assert "idempotent=False" in refused.value.next_step
    assert world.read() == before


def _append(document: Document, db: Database) -> None:
    document["tags"] = [*document.get("tags", []), "x"]


def _clock(document: Document, db: Database) -> None:
    document["at"] = db.now


def _stamp(document: Document, db: Database) -> None:
    document["at"] = SERVER_TIMESTAMP


def _increment(document: Document, db: Database) -> None:
    document["n"] = Increment(1)


def _other(document: Document, db: Database) -> None:
    seen = db.get("totals/all")
    db.set("totals/all", {"n": (seen["n"] if seen else 0) + 1})


def _flip(document: Document, db: Database) -> None:
    document["on"] = not document.get("on", False)


def _its_own_shape(document: Document, db: Database) -> None:
    document["n"] = {"value": document["n"] + 1}


def _moved(document: Document, db: Database) -> None:
    db.update(f"twin/{document.id}", {"n": 1})
    db.delete(f"twin/{document.id}")


@pytest.mark.parametrize(
    "transform", [_append, _clock, _stamp, _increment, _other, _flip, _its_own_shape, _moved], ids=lambda f: f.__name__
)
def test_what_would_change_again_is_refused(world: World, transform: Any) -> None:
    world.write({"c/a": {"n": 1}, "twin/a": {}})
    before = world.read()

    with pytest.raises(NotIdempotent) as refused:
        world.run(each_document("c")(transform))

    assert refused.value.facts["step"] == transform.__name__
    assert world.read() == before


def _late(document: Document, db: Database) -> None:
    """The last document writes to another one, which the first has written, only when it is migrated itself."""
    if document["n"] == 0:
        db.update("twin/all", {"seen": True})
    if document["n"] == ROWS_AT_ONCE + 1:
        if document.get("done"):
            db.delete("twin/all")
        document["done"] = True


def _late_clock(document: Document, db: Database) -> None:
    if document["n"] == 0 and "at" not in db.get("twin/all"):
        db.update("twin/all", {"at": db.now})
    if document["n"] == ROWS_AT_ONCE + 1:
        db.update("twin/all", {"at": db.now})


def _to_and_fro(document: Document, db: Database) -> None:
    if document["n"] == 0:
        db.delete("twin/all")
    if document["n"] == 1:
        db.create("twin/all", {})


@pytest.mark.parametrize("transform", [_late, _late_clock, _to_and_fro], ids=lambda f: f.__name__)
def test_what_would_change_another_document_again_is_refused(world: World, transform: Any) -> None:
    world.write({f"c/{n:03}": {"n": n} for n in range(ROWS_AT_ONCE + 2)} | {"twin/all": {"k": 1}})
    before = world.read()

    with pytest.raises(NotIdempotent, match="twin/all again"):
        world.run(each_document("c")(transform))

    assert world.read() == before


def test_a_script_that_would_change_something_again_is_refused(world: World) -> None:
    world.write({"c/a": {"n": 1}})

    @script
    def up(db: Database) -> None:
        for snapshot in db.collection("c").stream():
            snapshot.reference.update({"n": Increment(1)})

    with pytest.raises(NotIdempotent, match=r"'up' .* c/a again .fields n") as refused:
        world.run(up)

    assert "idempotent=False" not in refused.value.next_step


def test_a_script_that_fails_says_so_and_writes_nothing(world: World) -> None:
    world.write({"c/a": {"n": 1}})

    @script
    def up(db: Database) -> None:
        db.set("c/b", {})
        raise LookupError("secret-4711")

    with pytest.raises(PlanError, match=r"Script 'up' failed: LookupError at test_plan.py:\d+") as refused:
        world.run(up)

    assert "4711" not in str(refused.value)
    assert list(world.data()) == ["c/a"]


def test_a_step_declared_not_idempotent_is_applied_exactly_once(world: World) -> None:
    world.write({f"c/{n}": {"n": n} for n in range(5)})

    @each_document("c", idempotent=False)
    def up(document: Document, db: Database) -> None:
        document["n"] += 100

    life = world.run(up, batch_size=2)
    for phase in ("apply", "verify", "finish"):
        life.perform(phase)

    assert world.data() == {f"c/{n}": {"n": n + 100} for n in range(5)}
    assert life.results["verify"]["held"] == 5

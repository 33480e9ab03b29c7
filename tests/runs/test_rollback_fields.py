"""The law of rollback: apply, then rollback, leaves what people's edits alone would have made of the documents.

Where the run and a person wrote the same field, the person's value stays, and the document is listed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from firestore_migrations import Database, Document, each_document
from firestore_migrations.authoring.migration import Step
from firestore_migrations.emulator import Emulator
from firestore_migrations.firestore import values, wire
from firestore_migrations.firestore.fields import api_path, put_field
from tests.runs.world import World

Data = dict[str, Any]
Place = tuple[str, ...]
GONE = object()
DOCUMENTS = 30


class Operation(NamedTuple):
    """One thing that the transform does: set a place to a value, remove it, or rename a field."""

    kind: str
    place: Place


class Edits(NamedTuple):
    """What a person does to one document: its removal, its renewal, or values of places; GONE removes one."""

    kind: str
    places: dict[Place, Any]


class Chance:
    """Documents, transforms and edits, drawn at random; the same ones from the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def document(self) -> Data:
        data = {name: self._leaf() for name in "abcde" if self._random.random() < 0.6}
        for name in data:
            if self._random.random() < 0.4:
                data[name] = {key: self._leaf() for key in "xyz" if self._random.random() < 0.6}
        return data

    def program(self) -> list[Operation]:
        """Operations on different fields, so that the transform leaves its own result alone."""
        names = self._random.sample("abcde", self._random.randint(1, 4))
        return [
            Operation(self._random.choice(["set", "set", "remove", "rename"]), (name, *self._place()[1:]))
            for name in names
        ]

    def edits(self) -> Edits:
        kind = self._random.choice(["fields"] * 5 + ["none", "none", "remove", "renew"])
        if kind != "fields":
            return Edits(kind, {})
        places: dict[Place, Any] = {}
        for _ in range(self._random.randint(1, 3)):
            place = self._place()
            if not any(are_related(place, other) for other in places):
                places[place] = self._random.choice(["theirs", "of theirs", GONE])
        return Edits(kind, places)

    def _place(self) -> Place:
        name = self._random.choice("abcde")
        return (name,) if self._random.random() < 0.5 else (name, self._random.choice("xyz"))

    def _leaf(self) -> Any:
        return self._random.choice([0, 1, 2, [], [0, 1]])


def are_related(one: Place, other: Place) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def at(tree: Any, place: Place) -> Any:
    for name in place:
        if not isinstance(tree, dict) or name not in tree:
            return GONE
        tree = tree[name]
    return tree


def edited(data: Data | None, change: Edits) -> Data | None:
    """What a person's edits make of a document, as Firestore does it."""
    if change.kind == "remove":
        return None
    if change.kind == "renew":
        return {"theirs": "anew"}
    if data is None or change.kind == "none":
        return data
    data = deepcopy(data)
    for place, value in change.places.items():
        _put(data, place, value)
    return data


def _put(data: Data, place: Place, value: Any) -> None:
    inner: Any = data
    for name in place[:-1]:
        if not isinstance(inner.get(name), dict):
            if value is GONE:
                return
            inner[name] = {}
        inner = inner[name]
    if value is GONE:
        inner.pop(place[-1], None)
    else:
        inner[place[-1]] = value


def transform(program: list[Operation]) -> Step:
    @each_document("c")
    def up(document: Document, db: Database) -> None:
        db.create(f"twin/{document.id}", {"a": "of the run", "b": {"x": "of the run"}})
        if document.get("e") == 0:
            db.delete(document.path)
            return
        for kind, place in program:
            name = place[0]
            if kind == "rename":
                document.rename(name, f"{name}-new")
            elif len(place) == 1:
                if kind == "set":
                    document[name] = "of the run"
                else:
                    document.pop(name, None)
            elif kind == "set" and isinstance(document.get(name, {}), dict):
                document.setdefault(name, {})[place[1]] = "of the run"
            elif isinstance(document.get(name), dict):
                document[name].pop(place[1], None)

    return up


def write(world: World, path: str, change: Edits) -> None:
    """Do to a document what a person does."""
    if change.kind in ("remove", "renew"):
        world.delete(path)
    if change.kind == "renew":
        world.write({path: {"theirs": "anew"}})
    if change.places:
        update = wire.Write()
        update.update.name = world.writer.full_name(path)
        update.current_document.exists = True
        for place, value in change.places.items():
            update.update_mask.field_paths.append(api_path(place))
            if value is not GONE:
                put_field(update.update.fields, place, values.encode(value, ""))
        world.writer.commit([update.SerializeToString()], timeout=30)


class Story:
    """One document: what it was, what the run made of it, and what people did to it before and during the rollback."""

    def __init__(self, path: str, original: Data | None, migrated: Data | None, chosen: tuple[Edits, Edits]) -> None:
        self.path = path
        self.original = original
        self.migrated = migrated
        self.present = migrated
        self.alone = original
        self.edits = []
        for change in chosen:
            if self.present is None and change.kind != "renew":
                self.edits.append(Edits("none", {}))
                continue
            seen = {place: value for place, value in change.places.items() if at(self.present, place) != value}
            self.edits.append(Edits(change.kind, seen))
            self.present, self.alone = edited(self.present, self.edits[-1]), edited(self.alone, self.edits[-1])
            if original is None and self.alone is None and change.kind == "fields":
                self.alone = edited({}, self.edits[-1]) or None

    @property
    def is_theirs(self) -> bool:
        """Whether a person removed it or created it anew."""
        return any(change.kind in ("remove", "renew") for change in self.edits)

    def check(self, found: Data | None, *, is_listed: bool) -> None:
        """The law, for this document."""
        if not is_listed or self.is_theirs:
            assert found == self.alone, self.path
            return
        assert found is not None, self.path
        written = {place: value for change in self.edits for place, value in change.places.items()}
        for place in written:
            assert at(found, place) == at(self.present, place), (self.path, place)
        for name in {*(self.original or {}), *found} - {place[0] for place in written}:
            assert at(found, (name,)) == at(self.original, (name,)), (self.path, name)


@settings(
    max_examples=12,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # there is nothing smaller than a seed
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_apply_then_rollback_leaves_the_live_edits_alone(emulator: Emulator, tmp_path: Path, seed: int) -> None:
    chance = Chance(seed)
    world = World(emulator.host, f"demo-{uuid4().hex[:12]}", tmp_path / uuid4().hex)
    before = {f"c/{number:02}": chance.document() for number in range(DOCUMENTS)}
    up = transform(chance.program())
    world.write(before)
    world.run(up)
    after = world.data()
    paths = [f"{collection}/{number:02}" for collection in ("c", "twin") for number in range(DOCUMENTS)]
    told = [Story(path, before.get(path), after.get(path), (chance.edits(), chance.edits())) for path in paths]

    for story in told:
        write(world, story.path, story.edits[0])
    down = world.run(up, direction="down", up_to="review")
    for story in told:
        write(world, story.path, story.edits[1])
    down.go_on()

    found = world.data()
    listed = {failure.path: failure.error for failure in world.audit.failures(down.run)}
    for story in told:
        story.check(found.get(story.path), is_listed=story.path in listed)
    assert all(error.startswith("conflict: ") for error in listed.values())
    assert found.keys() <= set(paths)
    world.close()


@pytest.mark.parametrize("batch_size", [7, 500])
def test_no_edit_is_lost_that_is_made_while_the_rollback_writes(world: World, batch_size: int) -> None:
    """Every document ends as it was, and with the last thing that a person has written into it."""
    paths = [f"c/{number:03}" for number in range(300)]
    world.write({path: {"old": number, "m": {"k": 1}} for number, path in enumerate(paths)})

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        document.rename("old", "new")
        document["m"]["k"] = 2

    world.run(up)
    down = world.run(up, direction="down", up_to="review", batch_size=batch_size)
    random, edits_made = Random(7), dict[str, int]()

    def live(is_over: Callable[[], bool]) -> None:
        number = 0
        while not is_over() or number < 200:
            number += 1
            path = random.choice(paths)
            world.change(path, theirs=number)
            edits_made[path] = number

    with ThreadPoolExecutor(1) as people:
        work = people.submit(live, lambda: "apply" in down.results)
        down.perform("apply")
        work.result()
    down.go_on()

    wanted = {path: {"old": number, "m": {"k": 1}} for number, path in enumerate(paths)}
    for path, number in edits_made.items():
        wanted[path]["theirs"] = number
    assert world.data() == wanted
    assert world.audit.failures(down.run) == []
    assert down.results["finish"]["counts"]["updated"] == len(paths)

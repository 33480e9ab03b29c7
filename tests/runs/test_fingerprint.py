"""The fingerprint sees every bit of every document, and nothing else."""

from __future__ import annotations

from pathlib import Path

from firestore_migrations.emulator import Emulator
from firestore_migrations.firestore import wire
from firestore_migrations.runs.fingerprint import take_fingerprint
from tests.runs.world import World


def test_it_counts_and_tells_apart_what_is_hardly_different(world: World) -> None:
    world.write({"a/1": {"n": 0.0}, "a/1/b/2": {"n": 1}, "c/3": {}, "_migrations/v001": {"state": "verified"}})
    first = take_fingerprint(world.writer)

    world.write({"a/1": {"n": -0.0}, "c/3": {}, "_migrations/v001": {"state": "failed"}})
    second = take_fingerprint(world.writer)

    assert (dict(first.counts), first.documents) == ({"a": 2, "c": 1}, 3)
    assert first.differing(second) == ("a",)
    assert first.digest != second.digest


def test_two_databases_with_the_same_documents_have_one_fingerprint(
    emulator: Emulator, project: str, tmp_path: Path
) -> None:
    """A reference into the database itself counts by its path."""
    found = []
    for name in ("(default)", "other"):
        world = World(emulator.host, project, tmp_path, name)
        world.write({"a/1": {"to": wire.Value(reference_value=world.writer.full_name("a/2")), "nan": float("nan")}})
        found.append(take_fingerprint(world.writer))
        world.close()

    assert found[0] == found[1]

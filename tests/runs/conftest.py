"""What the tests of runs may ask for besides: a world of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firestore_migrations.emulator import Emulator
from tests.runs.world import World


@pytest.fixture
def world(emulator: Emulator, project: str, tmp_path: Path) -> Iterator[World]:
    made = World(emulator.host, project, tmp_path / "storage")
    yield made
    made.close()

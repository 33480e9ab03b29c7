"""What the tests of faults may ask for besides: how long to go on, from which seed, and where their figures go."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from firestore_migrations.emulator import Emulator
from tests.runs.world import World

_FIGURES = pytest.StashKey[list[str]]()
_MANY = 100


@pytest.fixture
def world(emulator: Emulator, project: str, tmp_path: Path) -> Iterator[World]:
    made = World(emulator.host, project, tmp_path / "storage")
    yield made
    made.close()


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many workers are to be killed in all, in each direction."""
    return int(request.config.getoption("--kills"))


@pytest.fixture
def is_long(kills: int) -> bool:
    """Whether there is time to wait for real deadlines, and for more documents."""
    return kills >= _MANY


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> str:
    """What all chance of this test is drawn from; pytest prints it where the test fails, and with the figures."""
    return f"{request.config.getoption('--seed')}/{request.node.name}"


@pytest.fixture
def chance(seed: str) -> random.Random:
    return random.Random(seed)


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Adds a line of figures to the summary of the test run."""
    lines = request.config.stash.setdefault(_FIGURES, [])

    def add(**numbers: Any) -> None:
        told = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in numbers.items())
        lines.append(f"{request.node.name}: {told}")

    return add


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lines = config.stash.get(_FIGURES, [])
    if lines:
        terminalreporter.section(f"faults, --seed {config.getoption('--seed')}")
        for line in lines:
            terminalreporter.write_line(line)

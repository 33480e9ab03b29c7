"""What the tests of the wire may ask for besides: the server in plain protobuf."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from firestore_migrations.emulator import Emulator
from tests.firestore.raw_server import RawServer


@pytest.fixture
def server(emulator: Emulator, project: str) -> Iterator[RawServer]:
    raw = RawServer(emulator.host, project)
    with raw.channel:
        yield raw

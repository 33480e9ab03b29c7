"""The benchmark runs, checks what its contenders did, and counts what they send. Its figures are not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.counting import CountingProxy
from benchmarks.ours import LIFE
from benchmarks.workload import WORKLOADS
from firestore_migrations.emulator import Emulator
from firestore_migrations.firestore.connection import Address, Writer

PROJECT = Path(__file__).parent.parent


def test_the_floor_and_ours_race(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--parts", "race", "--workloads", "creates", "--rounds", "1"]
    options = ["--documents", "300", "--contenders", "nobody else", "--json", str(figures)]
    done = subprocess.run([*command, *options], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(figures.read_text())["race"]["creates"]["rows"]
    assert {(row["contender"], row["phase"]) for row in rows} == {
        *((one, phase) for one in ("floor", "floor, sources pinned") for phase in ("read", "write", "whole")),
        *((one, phase) for one in ("ours", "ours, two workers") for phase in (*LIFE, "whole")),
    }
    assert all(row["documents_per_second"] > 0 for row in rows)
    assert "ours" in done.stdout


def test_a_proxy_counts_rpcs_and_bytes(emulator: Emulator, project: str) -> None:
    with CountingProxy(emulator.host) as proxy:
        with Writer(Address(project, emulator_host=proxy.host)) as writer:
            WORKLOADS["small"].of(600).load(writer)
            writer.get(["users/00000000"])
        assert proxy.rpcs == 3  # commits of 499 and of 101, and the reading
        assert proxy.sent > 600 * 900
        assert 5_000 < proxy.received < 50_000  # an answer a write, and a document


@pytest.mark.parametrize(("documents", "workers"), [(1_000_000, 2), (3_000_000, 20)])
def test_the_simulated_workers_keep_to_the_rule_and_to_the_model(documents: int, workers: int) -> None:
    applied = scale.simulate(documents, workers)
    assert applied.operations >= documents
    assert applied.nearest <= 1.000001
    assert applied.seconds == pytest.approx(scale.model(documents, workers)["apply"], rel=0.1)


def test_a_simulated_server_refuses_more_than_the_rule_allows() -> None:
    server = scale.Server(seed=1)
    server.take(1.0, 500)
    with pytest.raises(SystemExit, match=r"1,000 operations after 1\.5 s; 750 are allowed"):
        server.take(1.5, 500)

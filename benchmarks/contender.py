"""One contender in a process of its own: what it costs is what the process costs from its first request on."""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.workload import WORKLOADS
from firestore_migrations.firestore.connection import Address


class Cost(NamedTuple):
    """What one phase cost: seconds, and CPU seconds of the client."""

    seconds: float
    cpu: float


class Contender:
    """Measures the phases of one contender.

    Attributes:
        costs: of each phase.
        peak_mib: the most memory that one of its other processes had.
    """

    def __init__(self) -> None:
        self.costs: dict[str, Cost] = {}
        self.peak_mib = 0.0

    def timed(self, phase: str, work: Callable[[], Any]) -> Any:
        """Do one phase, and note what it cost."""
        began, cpu = time.perf_counter(), _cpu_seconds()
        result = work()
        self.costs[phase] = Cost(time.perf_counter() - began, _cpu_seconds() - cpu)
        return result


def _cpu_seconds() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    """`python -m benchmarks.contender NAME …` runs one, and prints its costs as one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", help="a module that has a function `run`, or MODULE:WAY")
    parser.add_argument("host")
    parser.add_argument("project")
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("documents", type=int)
    options = parser.parse_args()
    contender = Contender()
    module, *way = options.name.split(":")
    work = importlib.import_module(f"benchmarks.{module}").run
    workload = WORKLOADS[options.workload].of(options.documents)
    work(contender, workload, Address(options.project, emulator_host=options.host), *way)
    print(json.dumps({"phases": contender.costs, "peak_mib": max(contender.peak_mib, peak_mib())}))


def peak_mib() -> float:
    """The most memory that this process had; `ru_maxrss` would count the one that started it too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()

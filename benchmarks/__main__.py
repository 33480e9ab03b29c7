"""`python -m benchmarks`: the phases of a run beside the raw floor, interleaved in one process on one emulator."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import data, floor
from firestore_migrations import Database, Document, each_document, emulator
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.firestore.connection import Address, Writer
from firestore_migrations.runs.phases import perform
from firestore_migrations.runs.run import Run, Target

PHASES = ("backup", "dry_run", "apply", "verify")
ROWS = ("floor read", "floor write", *PHASES, "whole life")


@each_document("users")
def up(user: Document, db: Database) -> None:  # noqa: ARG001 -- a transform takes both
    """Change two fields, as the floor does."""
    if user["tier"] == "professional":
        user["tier"] = "growth"
        user["visits"] = 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    runs: list[dict[str, tuple[float, float]]] = []
    for repeat in range(options.repeats):
        with emulator.start(heap="4g") as server, tempfile.TemporaryDirectory() as storage:
            runs.append(measure(server.host, Path(storage), options.documents))
        print(f"repeat {repeat + 1} of {options.repeats} done", file=sys.stderr)
    figures = summarise(runs, options.documents)
    show(figures, options.documents)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def measure(host: str, storage: Path, count: int) -> dict[str, tuple[float, float]]:
    """Seconds and CPU seconds of this process, by row, on fresh data for the floor and for ours."""
    took: dict[str, tuple[float, float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began, cpu = time.perf_counter(), time.process_time()
        result = work()
        took[name] = (time.perf_counter() - began, time.process_time() - cpu)
        return result

    with Writer(Address("demo-floor", emulator_host=host)) as writer:
        data.load(writer, "users", count)
        documents = timed("floor read", lambda: floor.read(writer, "users"))
        timed("floor write", lambda: floor.write(writer, documents))
    target = Target("bench", Address("demo-ours", emulator_host=host), storage, writes_per_second=0)
    with Writer(target.address) as writer:
        data.load(writer, "users", count)
    run = Run("bench", Migration("v001", "bench", "Bench.", Path("v001_bench.py"), "", "", (up,)), target)
    perform(run, "preflight")
    timed("backup", lambda: perform(run, "backup", 0))
    timed("dry_run", lambda: perform(run, "dry_run", 0))
    planned = perform(run, "review")
    timed("apply", lambda: perform(run, "apply", 0))
    verified = timed("verify", lambda: perform(run, "verify"))
    if planned["counts"]["updated"] != count or verified["held"] != count:
        raise SystemExit(f"the run did not change what it should: {planned['counts']} {verified}")
    took["whole life"] = tuple(sum(took[phase][i] for phase in PHASES) for i in (0, 1))  # type: ignore[assignment]
    return took


def summarise(runs: list[dict[str, tuple[float, float]]], count: int) -> dict[str, dict[str, float]]:
    """Medians by row: documents a second, CPU microseconds a document, and ratios to the floor of the same repeat."""
    base = {"backup": "floor read", "apply": "floor write"}
    figures: dict[str, dict[str, float]] = {}
    for row in ROWS:
        rates = [count / run[row][0] for run in runs]
        figures[row] = {
            "documents_per_second": statistics.median(rates),
            "slowest": min(rates),
            "fastest": max(rates),
            "cpu_microseconds": statistics.median(run[row][1] / count * 1e6 for run in runs),
        }
        if row in base:
            figures[row]["of_floor"] = statistics.median(run[base[row]][0] / run[row][0] for run in runs)
    figures["process"] = {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    return figures


def show(figures: dict[str, dict[str, float]], count: int) -> None:
    """Print the table."""
    print(f"{count:,} documents of 1 KB, two fields changed; medians, and the slowest and fastest repeat")
    print(f"{'':12} {'documents/s':>12} {'from':>8} {'to':>8} {'CPU us/document':>16} {'of the floor':>13}")
    for row in ROWS:
        line = figures[row]
        ratio = f"{line['of_floor']:.2f}" if "of_floor" in line else ""
        print(
            f"{row:12} {line['documents_per_second']:12,.0f} {line['slowest']:8,.0f} {line['fastest']:8,.0f} "
            f"{line['cpu_microseconds']:16.0f} {ratio:>13}"
        )
    print(f"peak memory {figures['process']['peak_mib']:.0f} MiB")


if __name__ == "__main__":
    main()

"""Whether memory is flat: a run of ten times as many documents, each run in a process of its own."""

from __future__ import annotations

from benchmarks.race import Contender, command_of, run_once
from benchmarks.table import Promise
from benchmarks.workload import WORKLOADS
from firestore_migrations import emulator

_FEW, _MANY = 20_000, 200_000
_WORKLOAD = WORKLOADS["small"]


def measure() -> dict[int, float]:
    """The peak in MiB, by the number of documents."""
    ours = Contender("ours", command_of("ours"))
    with emulator.start(heap="6g") as server:
        return {
            documents: float(run_once(ours, server, server.host, _WORKLOAD.of(documents))["peak_mib"])
            for documents in (_FEW, _MANY)
        }


def promises(peaks: dict[int, float]) -> list[Promise]:
    """That memory does not grow, and how much one worker takes."""
    grown = peaks[_MANY] - peaks[_FEW]
    return [
        Promise(f"MiB more at {_MANY:,} documents than at {_FEW:,}", grown, 50, is_most=True),
        Promise(f"peak MiB of a worker at {_MANY:,} documents", peaks[_MANY], 300, is_most=True),
    ]


def show(peaks: dict[int, float]) -> None:
    """Print the peaks, and what became of the promises."""
    print("\nMemory of one worker through all phases")
    for documents, peak in peaks.items():
        print(f"{documents:10,} documents: {peak:.0f} MiB")
    for promise in promises(peaks):
        print(promise.line())

"""Scale-out: the same documents in one shard on one worker, and in two shards on two.

Server and workers share the cores here, so what a second worker brings to the phases that wait for the server cannot be
seen. The dry run waits for nobody: it shows what two workers bring. Of every phase the CPU a document is told: where
that does not grow with the shards, the workers do not stand in each other's way.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from benchmarks.ours import change, run_of
from benchmarks.table import Promise
from benchmarks.workload import WORKLOADS
from firestore_migrations import emulator
from firestore_migrations.firestore.connection import Address, Writer
from firestore_migrations.runs.phases import perform

_PROJECT = "demo-bench"
_WORKLOAD = WORKLOADS["small"]
_OF_SHARDS = ("backup", "dry_run", "apply")
Costs = dict[str, tuple[float, float]]
"""Seconds, and CPU seconds of all workers, by phase."""


def measure(rounds: int) -> dict[int, list[Costs]]:
    """What each phase took, by the number of shards, in each round."""
    found: dict[int, list[Costs]] = {1: [], 2: []}
    with emulator.start(heap="4g") as server:
        for _ in range(rounds):
            for shards, costs in found.items():
                server.reset()
                with Writer(Address(_PROJECT, emulator_host=server.host)) as writer:
                    _WORKLOAD.load(writer)
                costs.append(_life(server.host, shards))
    return found


def promises(found: dict[int, list[Costs]]) -> list[Promise]:
    """What a second worker brings to the phase that is the client's alone."""
    one, two = (statistics.median(costs["dry_run"][0] for costs in found[shards]) for shards in (1, 2))
    return [Promise("dry run in 2 shards on 2 workers / in 1 on 1", one / two, 1.6)]


def show(found: dict[int, list[Costs]]) -> None:
    """Print what each phase took, and what became of the promise."""
    print(f"\nShards: {_WORKLOAD.title}; medians")
    for shards, rounds in found.items():
        for phase in _OF_SHARDS:
            seconds, cpu = (statistics.median(costs[phase][which] for costs in rounds) for which in (0, 1))
            rate, each = _WORKLOAD.documents / seconds, cpu / _WORKLOAD.documents * 1e6
            print(f"{shards} shards, {shards} workers {phase:8} {rate:9,.0f} documents/s {each:7.0f} CPU us/document")
    for promise in promises(found):
        print(promise.line())


def _life(host: str, shards: int) -> Costs:
    """All phases; those of shards in a process for each, begun together when all are ready."""
    costs: Costs = {}
    with tempfile.TemporaryDirectory() as storage:
        run = _run(host, storage, shards)
        perform(run, "preflight")
        for phase in _OF_SHARDS:
            costs[phase] = _together(host, storage, shards, phase)
            if phase == "dry_run":
                perform(run, "review")
        perform(run, "verify")
        perform(run, "finish")
    return costs


def _together(host: str, storage: str, shards: int, phase: str) -> tuple[float, float]:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(shards), context.Queue()
    arguments = [(host, storage, shards, phase, shard, start, results) for shard in range(shards)]
    workers = [context.Process(target=_work, args=one) for one in arguments]
    for worker in workers:
        worker.start()
    told = [results.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join()
    return max(end for _, end, _ in told) - min(begin for begin, _, _ in told), sum(cpu for _, _, cpu in told)


def _work(  # noqa: PLR0913 -- all that crosses into the process
    host: str, storage: str, shards: int, phase: str, shard: int, start: Barrier, results: Any
) -> None:
    run = _run(host, storage, shards)
    start.wait()
    began, cpu = time.time(), time.process_time()
    perform(run, phase, shard)
    results.put((began, time.time(), time.process_time() - cpu))


def _run(host: str, storage: str, shards: int) -> Any:
    return run_of(change, Address(_PROJECT, emulator_host=host), Path(storage), shards)

"""Workers: the shards of a phase, each in a process of its own, as Airflow's are."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from typing import Any, NamedTuple

from benchmarks.contender import Cost, peak_mib


class Worked(NamedTuple):
    """What the workers of one phase took: from when all were ready, CPU of all, and the largest peak in MiB."""

    cost: Cost
    peak_mib: float


def together(work: Callable[[int], Any], shards: int) -> Worked:
    """Let a worker for each shard do its work, begun together when all have loaded what they need.

    Args:
        work: is given the number of a shard; it crosses into another process.
        shards: how many.
    """
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(shards), context.Queue()
    workers = [context.Process(target=_work, args=(work, shard, start, results)) for shard in range(shards)]
    for worker in workers:
        worker.start()
    told = [results.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join()
    began, ended, cpu, peaks = zip(*told, strict=True)
    return Worked(Cost(max(ended) - min(began), sum(cpu)), max(peaks))


def _work(work: Callable[[int], Any], shard: int, start: Barrier, results: Any) -> None:
    start.wait()
    began, cpu = time.time(), time.process_time()
    work(shard)
    results.put((began, time.time(), time.process_time() - cpu, peak_mib()))

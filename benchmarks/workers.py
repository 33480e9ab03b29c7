"""Workers: the shards of a phase, each in a process of its own, as Airflow's are."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import Any, NamedTuple

from benchmarks.contender import Cost, peak_mib

_start: Barrier | None = None


class Worked(NamedTuple):
    """What the workers of one phase took: from when all were ready, CPU of all, and the largest peak in MiB."""

    cost: Cost
    peak_mib: float


class Workers:
    """A process for each shard, which it keeps through all phases.

    Args:
        shards: how many.
    """

    def __init__(self, shards: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._shards = shards
        self._pool = ProcessPoolExecutor(shards, context, initializer=_begin, initargs=(context.Barrier(shards),))

    def together(self, work: Callable[[int], Any]) -> Worked:
        """Let each do the work of its shard, begun together.

        Args:
            work: is given the number of a shard; it crosses into the process.
        """
        began, ended, cpu, peaks = zip(*self._pool.map(_work, [work] * self._shards, range(self._shards)), strict=True)
        return Worked(Cost(max(ended) - min(began), sum(cpu)), max(peaks))

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown()


def _begin(start: Barrier) -> None:
    global _start  # noqa: PLW0603 -- a barrier reaches a process only while it is started
    _start = start


def _work(work: Callable[[int], Any], shard: int) -> tuple[float, float, float, float]:
    """Each process takes one shard: none begins before all are here."""
    assert _start is not None
    _start.wait()
    began, cpu = time.time(), time.process_time()
    work(shard)
    return began, time.time(), time.process_time() - cpu, peak_mib()

"""Killing: phases are performed by workers that die at random points, until each phase is done all the same."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from tests.chaos.worker import Order, Worker
from tests.runs.world import World

_KILLED = ("backup", "dry_run", "apply", "verify")
_SHARE_OF_APPLY = 0.6
_SECONDS = 0.5
_MOST_MISSES = 12


class Killer:
    """Performs a run from its first phase to its last, and kills so many of its workers.

    Kills of `apply` are spread over its batches: one comes when a random share of them is committed, and a few random
    milliseconds later. Those of the other phases come after random times, shorter ones where a phase proved short.

    Args:
        world: where.
        order: what.
        chance: random numbers.
        kills: how many workers.
        batches: how many the run will commit.
    """

    def __init__(self, world: World, order: Order, chance: random.Random, kills: int, batches: int) -> None:
        self._world, self._order, self._chance, self._batches = world, order, chance, batches
        self._planned = Counter(apply=round(kills * _SHARE_OF_APPLY))
        self._planned.update(
            chance.choices([phase for phase in _KILLED if phase != "apply"], k=kills - self._planned.total())
        )
        self.killed: Counter[str] = Counter()

    def life(self) -> tuple[Any, Any]:
        """The whole run; what `verify` and `finish` returned."""
        self._order.perform("preflight")
        for phase in ("backup", "dry_run"):
            self._die_at_any_time(phase)
        self._order.perform("review")
        self._die_between_batches()
        self._planned["verify"] += self._planned["apply"]  # those that ended before they could be killed
        verified = self._die_at_any_time("verify")
        return verified, self._order.perform("finish")

    def _die_at_any_time(self, phase: str) -> object:
        longest, misses = _SECONDS, 0
        while self._planned[phase] and misses < _MOST_MISSES:
            workers = self._begin(phase)
            victim = self._chance.choice(workers)
            victim.wait(self._chance.uniform(0.02, longest))
            if self._end(phase, victim, workers):
                self._clear(phase)
            else:
                longest, misses = longest / 2, misses + 1
        self._planned["apply"] += self._planned[phase]  # a snapshot is taken once, and may have been too quick
        return self._finish(phase)

    def _die_between_batches(self) -> None:
        shares = sorted(self._chance.random() for _ in range(self._planned["apply"]))
        for share in shares:
            workers = self._begin("apply")
            victim = self._chance.choice(workers)
            while self._committed() < share * self._batches and not victim.wait(0.002):
                continue
            victim.wait(self._chance.uniform(0, 0.06))
            if self._end("apply", victim, workers):
                self._clear("apply")
        self._finish("apply")

    def _committed(self) -> int:
        return self._world.audit.count_batches(self._order.run().version, self._order.run_id)

    def _begin(self, phase: str) -> list[Worker]:
        return [Worker(self._order, phase, place) for place in self._order.places(phase)]

    def _end(self, phase: str, victim: Worker, workers: list[Worker]) -> bool:
        """Kill one worker; the others end by themselves. Whether it was still at work."""
        is_killed = victim.kill()
        self._planned[phase] -= is_killed
        self.killed[phase] += is_killed
        for worker in workers:
            if worker is not victim:
                _refuse_errors(worker)
        return is_killed

    def _finish(self, phase: str) -> object:
        """Perform the phase once more, undisturbed."""
        workers = self._begin(phase)
        results = [_refuse_errors(worker) for worker in workers]
        return results[-1]

    def _clear(self, phase: str) -> None:
        """What may happen between the death of a worker and the next one: nothing, `finish`, or all tasks anew."""
        what = self._chance.choices(("retry", "finish", "anew"), (8, 2, 1))[0]
        if what == "retry":
            return
        self._order.perform("finish")
        if what == "anew":
            self._order.perform("preflight")
            for earlier in _KILLED[: _KILLED.index(phase)]:
                self._finish(earlier)
                if earlier == "dry_run":
                    self._order.perform("review")


def _refuse_errors(worker: Worker) -> object:
    result = worker.result()
    assert isinstance(result, dict), result
    return result

"""Weather: networks whose faults are drawn from a seed, by method and number of the call."""

from __future__ import annotations

import random
from collections.abc import Callable

import grpc

from tests.bad_network import Fault, Schedule, late, refused, slow, unanswered

_UNAVAILABLE, _DEADLINE = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED
_PUSHES = (_DEADLINE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED)
_BURST_EVERY, _BURST = 20, 4


def lost_answers(seed: str) -> Schedule:
    """Every third commit is carried out, and the client is not told."""
    return _some(seed, "Commit", 0.33, lambda chance: unanswered(chance.choice([_UNAVAILABLE, _DEADLINE])))


def late_commits(seed: str) -> Schedule:
    """Every third commit arrives after the client was told that it failed: soon, or when it has been sent again."""
    return _some(
        seed,
        "Commit",
        0.33,
        lambda chance: late(chance.choice([0, chance.uniform(0, 0.6)]), chance.choice([_UNAVAILABLE, _DEADLINE])),
    )


def refusals(_seed: str) -> Schedule:
    """Of every twenty commits four in a row are refused, each time for another reason."""

    def schedule(method: str, number: int) -> Fault | None:
        burst, place = divmod(number, _BURST_EVERY)
        return refused(_PUSHES[burst % len(_PUSHES)]) if method == "Commit" and place < _BURST else None

    return schedule


def storm(seed: str) -> Schedule:
    """Everything at once, reads too: they are refused, delayed, and their streams are cut at any message."""

    def writing(chance: random.Random) -> Fault:
        code = chance.choice([_UNAVAILABLE, *_PUSHES])
        arrives = [unanswered(_UNAVAILABLE), unanswered(_DEADLINE), late(chance.uniform(0, 0.4), _DEADLINE)]
        return chance.choice([refused(code), slow(chance.uniform(0, 0.05)), *arrives])

    def reading(chance: random.Random) -> Fault:
        cut = unanswered(_UNAVAILABLE, messages=chance.randrange(40))
        return chance.choice([refused(_UNAVAILABLE), slow(0.02), cut])

    commits, reads = _some(seed, "Commit", 0.25, writing), _some(seed, "", 0.25, reading)
    return lambda method, number: (commits if method == "Commit" else reads)(method, number)


def _some(seed: str, method: str, share: float, fault: Callable[[random.Random], Fault]) -> Schedule:
    """A fault for a share of the calls of a method, or of all methods."""

    def schedule(name: str, number: int) -> Fault | None:
        chance = random.Random(f"{seed}/{name}/{number}")
        return fault(chance) if method in ("", name) and chance.random() < share else None

    return schedule


WEATHERS: dict[str, Callable[[str], Schedule]] = {
    "lost answers": lost_answers,
    "late commits": late_commits,
    "refusals": refusals,
    "storm": storm,
}

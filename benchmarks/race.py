"""A race: every contender on the same emulator and data, one after the other, in an order that changes every round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import node_peers
from benchmarks.counting import CountingProxy
from benchmarks.workload import Workload
from firestore_migrations import emulator
from firestore_migrations.firestore.connection import Address, Writer

_SLOW = 2_000
"""Documents of the loop, which takes as long for each of them."""
_WARM = 5_000
_COUNTED = 2_000


def command_of(name: str) -> Callable[[str, str, Workload], list[str]]:
    return lambda host, project, workload: [
        sys.executable,
        "-m",
        "benchmarks.contender",
        name,
        host,
        project,
        workload.name,
        str(workload.documents),
    ]


def _node(way: str) -> Callable[[str, str, Workload], list[str]]:
    return lambda host, project, workload: node_peers.command(way, host, project, creates=workload.creates)


@dataclass
class Contender:
    """One way to change the documents.

    Attributes:
        name: for people.
        command: of a host, a project and a workload, what runs it.
        most: documents that it is measured over.
        needs_node: whether it runs in Node.
        only_creates: whether it has a part only where documents are created beside others.
    """

    name: str
    command: Callable[[str, str, Workload], list[str]]
    most: int = sys.maxsize
    needs_node: bool = False
    only_creates: bool = False


@dataclass
class Result:
    """What a contender came to: of each round seconds and CPU seconds by phase, and the peak of its memory in MiB.

    Attributes:
        rpcs: a document; so are the bytes sent and received. All are counted in a run of their own.
    """

    documents: int
    rounds: list[dict[str, tuple[float, float]]] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    rpcs: float = 0.0
    sent: float = 0.0
    received: float = 0.0


CONTENDERS = (
    Contender("loop, Python", command_of("peers:loop"), _SLOW),
    Contender("pages + batch, Python", command_of("peers:pages")),
    Contender("loop, Node", _node("loop"), _SLOW, needs_node=True),
    Contender("pages + batch, Node", _node("pages"), needs_node=True),
    Contender("stream + BulkWriter, Node", _node("bulk"), needs_node=True),
    Contender("floor", command_of("floor")),
    Contender("floor, sources pinned", command_of("floor:pins"), only_creates=True),
    Contender("ours", command_of("ours")),
    Contender("ours, two workers", command_of("ours:2")),
)


def race(workload: Workload, entered: Sequence[Contender], rounds: int, packages: Path | None) -> dict[str, Result]:
    """Run all contenders so many times, each on fresh documents, on an emulator that is warm and else empty."""
    entered = [one for one in entered if workload.creates or not one.only_creates]
    results = {one.name: Result(min(one.most, workload.documents)) for one in entered}
    with emulator.start(heap="4g") as server:
        _warm(server.host, workload)
        for one in _in_turn(entered, rounds):
            result = results[one.name]
            told = run_once(one, server, server.host, workload.of(result.documents), packages)
            result.rounds.append({phase: (seconds, cpu) for phase, (seconds, cpu) in told["phases"].items()})
            result.peaks.append(told["peak_mib"])
            _say(f"{workload.name}: {one.name}: {sum(seconds for seconds, _ in result.rounds[-1].values()):.1f} s")
        for one in entered:
            _count(one, server, workload.of(min(_COUNTED, workload.documents)), results[one.name], packages)
    return results


def _in_turn(entered: Sequence[Contender], rounds: int) -> Iterator[Contender]:
    """Each of them once a round; who begins a round ends the next one."""
    for number in range(rounds):
        first = number % len(entered)
        yield from [*entered[first:], *entered[:first]]


def _count(one: Contender, server: Any, workload: Workload, result: Result, packages: Path | None) -> None:
    with CountingProxy(server.host) as proxy:
        run_once(one, server, proxy.host, workload, packages)
        result.rpcs = proxy.rpcs / workload.documents
        result.sent = proxy.sent / workload.documents
        result.received = proxy.received / workload.documents


def run_once(
    one: Contender, server: Any, host: str, workload: Workload, packages: Path | None = None
) -> dict[str, Any]:
    """One run on fresh data; the check of what it did comes after the clock."""
    server.reset()
    project = "demo-bench"
    with Writer(Address(project, emulator_host=server.host)) as writer:
        workload.load(writer)
        environment = {**os.environ, "NODE_PACKAGES": str(packages or "")}
        done = subprocess.run(
            one.command(host, project, workload), env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{one.name} failed:\n{done.stderr}")
        if not workload.is_done(writer, workload.documents):
            raise SystemExit(f"{one.name} did not change every document of {workload.title}")
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def _warm(host: str, workload: Workload) -> None:
    """Let the server's virtual machine compile what every contender uses."""
    with Writer(Address("demo-warm", emulator_host=host)) as writer:
        workload.of(min(_WARM, workload.documents)).load(writer)
    subprocess.run(command_of("floor")(host, "demo-warm", workload.of(_WARM)), stdout=subprocess.DEVNULL, check=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

"""The figures of a race: medians, their spread, and the ratios that the design promises."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.ours import LIFE
from benchmarks.race import Result

WHOLE = "whole"
_UNSAFE = "stream + BulkWriter, Node"
_PINNED = "floor, sources pinned"
_TWO = "ours, two workers"


@dataclass(frozen=True)
class Row:
    """What one phase of a contender cost a document."""

    contender: str
    phase: str
    documents_per_second: float
    slowest: float
    fastest: float
    cpu_microseconds: float
    peak_mib: float | None = None
    rpcs: float | None = None
    sent_bytes: float | None = None
    received_bytes: float | None = None


@dataclass(frozen=True)
class Promise:
    """A figure of one run, and what it must be."""

    what: str
    figure: float
    limit: float
    is_most: bool = False

    @property
    def holds(self) -> bool:
        """Whether it is kept."""
        return self.figure <= self.limit if self.is_most else self.figure >= self.limit

    def line(self) -> str:
        """The promise, and whether it is kept, for people."""
        sign = "<=" if self.is_most else ">="
        return f"{'held    ' if self.holds else 'NOT HELD'} {self.what}: {self.figure:.2f} ({sign} {self.limit:g})"


def rows(results: dict[str, Result]) -> Iterator[Row]:
    """One row a phase, and one of the whole contender."""
    for name, result in results.items():
        phases = [phase for phase in result.rounds[0] if name not in ("ours", _TWO) or phase in LIFE]
        for phase in phases if len(phases) > 1 else ():
            yield Row(name, phase, *_of(result, [phase]))
        yield Row(
            name,
            WHOLE,
            *_of(result, phases),
            statistics.median(result.peaks),
            result.rpcs,
            result.sent,
            result.received,
        )


def promises(results: dict[str, Result]) -> Iterator[Promise]:
    """The ratios, each within its round, and the median over the rounds."""
    ours, floor = results["ours"], results["floor"]
    if _PINNED in results:
        pinned = results[_PINNED]
        yield Promise(
            "apply / the writing of the floor that pins as well", _ratio(ours, ["apply"], pinned, ["write"]), 0.9
        )
    else:
        yield Promise("apply / the floor's writing", _ratio(ours, ["apply"], floor, ["write"]), 0.9)
    yield Promise("backup / the floor's reading", _ratio(ours, ["backup"], floor, ["read"]), 0.9)
    if _UNSAFE in results:
        unsafe = results[_UNSAFE]
        yield Promise("whole life / Node's stream + BulkWriter", _ratio(ours, LIFE, unsafe, ["pass"]), 1.0)
        cpu = _of(ours, LIFE)[3] / _of(unsafe, ["pass"])[3]
        yield Promise("CPU of the whole life / Node's stream + BulkWriter", cpu, 1.0, is_most=True)
    yield Promise("CPU us of the whole life a document", _of(ours, LIFE)[3], 150, is_most=True)
    yield Promise("peak MiB of a worker", max(ours.peaks), 300, is_most=True)
    if _TWO in results:
        two = results[_TWO]
        yield Promise("dry run in 2 shards on 2 workers / in 1 on 1", _ratio(two, ["dry_run"], ours, ["dry_run"]), 1.6)
        if _UNSAFE in results:
            ratio = _ratio(two, LIFE, results[_UNSAFE], ["pass"])
            yield Promise("whole life on 2 workers / Node's stream + BulkWriter", ratio, 1.0)


def show(title: str, results: dict[str, Result]) -> None:
    """Print the table and what became of the promises."""
    print(f"\n{title}")
    print(
        f"{'':26} {'':8} {'documents/s':>11} {'from':>7} {'to':>7} {'CPU us':>7} {'peak MiB':>9} "
        f"{'RPCs':>7} {'B sent':>7} {'B read':>7}"
    )
    for row in rows(results):
        line = (
            f"{row.contender:26} {row.phase:8} {row.documents_per_second:11,.0f} {row.slowest:7,.0f} "
            f"{row.fastest:7,.0f} {row.cpu_microseconds:7,.0f}"
        )
        if row.peak_mib is not None:
            line += f" {row.peak_mib:9,.0f} {row.rpcs:7.4f} {row.sent_bytes:7,.0f} {row.received_bytes:7,.0f}"
        print(line)
    for promise in promises(results):
        print(promise.line())


def _of(result: Result, phases: list[str] | tuple[str, ...]) -> tuple[float, float, float, float]:
    """Documents a second: median, slowest, fastest; and CPU microseconds a document, median."""
    rates = [result.documents / _seconds(costs, phases) for costs in result.rounds]
    cpu = statistics.median(sum(costs[phase][1] for phase in phases) for costs in result.rounds)
    return statistics.median(rates), min(rates), max(rates), cpu / result.documents * 1e6


def _ratio(
    one: Result, phases: list[str] | tuple[str, ...], other: Result, others: list[str] | tuple[str, ...]
) -> float:
    """How many times as fast one is as the other."""
    return statistics.median(
        _seconds(theirs, others) / other.documents / (_seconds(mine, phases) / one.documents)
        for mine, theirs in zip(one.rounds, other.rounds, strict=True)
    )


def _seconds(costs: dict[str, tuple[float, float]], phases: list[str] | tuple[str, ...]) -> float:
    return sum(costs[phase][0] for phase in phases)

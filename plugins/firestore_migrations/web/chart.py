"""The chart of documents a second over time: points of a line in a picture of fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 600, 120


class Points(NamedTuple):
    """A line, and what its axes say.

    Attributes:
        line: points as SVG has them.
        most: documents a second at the top.
        seconds: at the right end.
    """

    line: str
    most: float
    seconds: float


def points_of(series: Sequence[tuple[float, float]]) -> Points | None:
    """The line of a series of seconds and rates, as steps; None where there is nothing to draw."""
    if not series:
        return None
    width = series[1][0] - series[0][0] if len(series) > 1 else 1.0
    end = series[-1][0] + width
    most = max(rate for _, rate in series) or 1.0
    corners: list[str] = [f"0,{HEIGHT}"]
    for second, rate in series:
        left, right, top = second / end * WIDTH, (second + width) / end * WIDTH, HEIGHT - rate / most * HEIGHT
        corners += [f"{left:.1f},{top:.1f}", f"{right:.1f},{top:.1f}"]
    return Points(" ".join([*corners, f"{WIDTH},{HEIGHT}"]), most, end)

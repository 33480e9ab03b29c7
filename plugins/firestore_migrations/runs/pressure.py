"""Pressure: how much a worker sends at once: less when the server pushes back, more when it takes what it gets."""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

import threading

import grpc

FLIGHTS = 2
_SLOW = 10.0  # seconds: a third of what a commit may take
_CALM = 8
PUSHED_BACK = frozenset(
    {grpc.StatusCode.ABORTED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
)
"""What a server answers that is asked too much at once: contention, time, quota or size."""


class Pressure:
    """The size of commits and how many are under way, for one worker; its threads share it.

    Halved when the server answers one of `PUSHED_BACK` or takes long, doubled after some commits in a row that it took
    easily; within what the run allows.

    Args:
        most_rows: of one commit, by the run's options.
    """

    def __init__(self, most_rows: int) -> None:
        self._most_rows = most_rows
        self._lock = threading.Lock()
        self._calm = 0
        self.rows = most_rows
        self.flights = FLIGHTS
        self.reason = ""

    def pushed_back(self, code: grpc.StatusCode) -> None:
        """The server refused a commit for now."""
        self._less(f"the server answers {code.name}")

    def took(self, seconds: float) -> None:
        """The server took a commit in so many seconds."""
        if seconds > _SLOW:
            self._less(f"a commit takes {seconds:.0f} s")
            return
        with self._lock:
            self._calm += 1
            if self._calm >= _CALM and self.reason:
                self.rows = min(self._most_rows, self.rows * 2)
                self.flights = FLIGHTS
                self._calm = 0
                if self.rows == self._most_rows:
                    self.reason = ""

    def _less(self, reason: str) -> None:
        with self._lock:
            self.rows = max(1, self.rows // 2)
            self.flights = 1
            self._calm = 0
            self.reason = f"{reason}: commits of {self.rows} documents"

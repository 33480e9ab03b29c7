"""What operations cost: counted reads, writes and deletes times a table of prices."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prices:
    """US dollars for 100,000 operations.

    The defaults are the list prices of the multi-region locations nam5 and eur3
    (cloud.google.com/firestore/pricing, read in 2025); single regions cost about half. Set your own in Airflow's
    section `[firestore_migrations]`.
    """

    reads: float = 0.06
    writes: float = 0.18
    deletes: float = 0.02

    def of(self, usage: Usage) -> float:
        """The price of what was used, in US dollars."""
        dollars = usage.reads * self.reads + usage.writes * self.writes + usage.deletes * self.deletes
        return round(dollars / 100_000, 6)


@dataclass(frozen=True)
class Usage:
    """Billed operations."""

    reads: int = 0
    writes: int = 0
    deletes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.reads + other.reads, self.writes + other.writes, self.deletes + other.deletes)


def in_dollars(price: float) -> str:
    """A price to read, as exact as it is kept."""
    return f"{price:.6f}".rstrip("0").rstrip(".") + " USD"

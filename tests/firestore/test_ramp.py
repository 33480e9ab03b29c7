"""The ramp: by no moment is more sent than the rule allowed until then."""

from __future__ import annotations

import pytest

from firestore_migrations.firestore.ramp import Ramp, allowed_rate, seconds_for


class Clock:
    """Seconds that go on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("minutes", "rate"),
    [(0, 500), (4.99, 500), (5, 750), (10, 1125), (15, 1687.5), (30, 5695.3125), (60, 64873.17), (90, 738945.95)],
)
def test_it_begins_at_500_and_adds_half_every_five_minutes(minutes: float, rate: float) -> None:
    assert allowed_rate(minutes * 60) == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize(
    ("operations", "seconds"),
    [(500, 1), (150_000, 300), (150_000 + 750, 301), (150_000 + 225_000, 600), (150_000 + 225_000 + 337_500, 900)],
)
def test_what_the_rule_allows_by_a_time_takes_that_time(operations: int, seconds: float) -> None:
    assert seconds_for(operations) == pytest.approx(seconds)
    assert seconds_for(operations, share=0.25) > seconds


def test_a_limit_of_the_target_does_not_grow() -> None:
    assert (seconds_for(1000, limit=100), seconds_for(1000, limit=100, share=0.5)) == (10, 20)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_everything_is_earned_before_it_is_sent(share: float) -> None:
    clock = Clock()
    ramp = Ramp(None, clock(), clock)
    ramp.share = share
    sent = 0
    for _ in range(1500):
        clock.now = ramp.reserve(500)
        sent += 500
        elapsed = clock.now - 1000
        allowed = sum(
            allowed_rate(step * 300) * min(300, elapsed - step * 300) for step in range(int(elapsed // 300) + 1)
        )
        assert sent <= allowed * share * (1 + 1e-9)
    assert sent == pytest.approx(allowed * share)


def test_time_that_was_not_used_is_not_made_up_for() -> None:
    clock = Clock()
    ramp = Ramp(100, clock(), clock)
    clock.now += 3600
    assert [ramp.reserve(50) - clock.now for _ in range(3)] == [0.5, 1.0, 1.5]


def test_without_a_limit_nothing_waits() -> None:
    clock = Clock()
    ramp = Ramp(0, clock(), clock)
    assert (ramp.reserve(10**9), ramp.rate, ramp.is_unlimited) == (clock.now, float("inf"), True)

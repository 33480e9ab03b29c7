"""Two runs at one target: one writes. One that stood still while another took over writes nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest

from firestore_migrations.errors import LeaseHeld
from tests.chaos.lives import batches, do, fill, go_through
from tests.chaos.worker import COUNT_UP, WHOLE_AMOUNTS, Order, Worker
from tests.runs.world import World

LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)


@contextmanager
def stopped_in_apply(world: World, order: Order, after: int) -> Iterator[Worker]:
    """A worker that stands still when so many batches are committed, and goes on when the block ends."""
    go_through(order, "preflight", "review")
    with Worker(order, "apply", 0) as worker:
        while len(batches(world, order)) < after:
            assert worker.is_alive, worker.result()
        worker.stop()
        yield worker


def test_a_second_run_is_refused_and_told_who_holds_the_target(world: World) -> None:
    fill(world, {f"orders/{n:04}": {"amount": str(n)} for n in range(400)})
    first = Order.of(world, WHOLE_AMOUNTS, "first", batch_size=5)
    second = Order.of(world, WHOLE_AMOUNTS, "second", batch_size=5)

    with stopped_in_apply(world, first, after=3) as worker:
        with pytest.raises(LeaseHeld, match="v002/first") as refused:
            second.perform("preflight")
        worker.go_on()
        assert isinstance(worker.result(), dict)

    assert refused.value.facts["holder"] == "v002/first"
    do(first, "verify")
    assert do(first, "finish")["counts"]["updated"] == 400


@pytest.mark.parametrize(
    ("file", "direction"),
    [(WHOLE_AMOUNTS, "up"), (COUNT_UP, "down")],
    ids=lambda v: Path(v).stem,
)
def test_a_worker_that_stood_still_while_its_lease_ran_out_writes_nothing_more(
    world: World, file: Path, direction: str
) -> None:
    """The second run goes on from what is there, or takes it back; the first one wakes up when that is over."""
    collection, field, old = ("c", "n", 0) if file == COUNT_UP else ("orders", "amount", "0")
    before = {f"{collection}/{n:04}": {field: old} for n in range(400)}
    fill(world, before)
    first = Order.of(world, file, "first", batch_size=5)
    second = Order.of(world, file, "second", batch_size=5, direction=direction)

    with stopped_in_apply(world, first, after=5) as worker:
        world.lease(expires_at=LONG_AGO)
        ended = go_through(second)
        then = world.read(), world.update_times(), batches(world, first)
        worker.go_on()
        result = worker.result()

    assert "LeaseHeld" in result or "Refused" in result, result
    assert (world.read(), world.update_times(), batches(world, first)) == then
    after = before if direction == "down" else {path: {field: 0} for path in before}
    assert (world.data(), ended["state"]) == (after, "rolled_back" if direction == "down" else "verified")

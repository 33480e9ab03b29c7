"""Ours: the phases of a run, by the engine alone, as Airflow's tasks perform them."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.contender import Contender
from benchmarks.workers import Workers
from benchmarks.workload import COLLECTION, Workload
from firestore_migrations import Database, Document, each_document
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.firestore.connection import Address
from firestore_migrations.runs.options import Options
from firestore_migrations.runs.phases import OF_SHARD, perform
from firestore_migrations.runs.run import Run, Target

LIFE = ("backup", "dry_run", "apply", "verify")
_ALL = ("preflight", "backup", "dry_run", "review", "apply", "verify", "finish")


@each_document(COLLECTION)
def change(user: Document, db: Database) -> None:  # noqa: ARG001 -- a transform takes both
    """Change two fields, as the others do."""
    if user["tier"] == "professional":
        user["tier"] = "growth"
        user["visits"] = 0


@each_document(COLLECTION)
def create(user: Document, db: Database) -> None:
    """Create a document beside each, as Recoup's v001 does."""
    statistics = {"totalInvoices": 0, "totalRevenue": 0.0, "averagePaymentTime": 0.0, "createdAt": db.now}
    db.create(f"user_stats/{user.id}", statistics)


def run(contender: Contender, workload: Workload, address: Address, way: str = "1") -> None:
    """Perform every phase, each timed by itself; `way` is the number of shards, with as many workers."""
    with tempfile.TemporaryDirectory() as storage:
        perform_all(contender, address, Path(storage), creates=workload.creates, shards=int(way))


def perform_all(
    contender: Contender, address: Address, storage: Path, *, creates: bool = False, shards: int = 1
) -> None:
    """Perform every phase of a run of one step; where there are several shards, each in a process of its own."""
    one = _run(address, storage, creates=creates, shards=shards)
    workers = Workers(shards)
    for phase in _ALL:
        if phase not in OF_SHARD:
            contender.timed(phase, partial(perform, one, phase))
        elif shards == 1:
            contender.timed(phase, partial(perform, one, phase, 0))
        else:
            work = partial(_perform, address, storage, phase, creates=creates, shards=shards)
            contender.costs[phase], peak = workers.together(work)
            contender.peak_mib = max(contender.peak_mib, peak)
    workers.close()


def _perform(  # noqa: PLR0913 -- all that crosses into the process
    address: Address, storage: Path, phase: str, shard: int, *, creates: bool, shards: int
) -> None:
    perform(_run(address, storage, creates=creates, shards=shards), phase, shard)


def _run(address: Address, storage: Path, *, creates: bool, shards: int) -> Run:
    """A run of one step on a database, as fast as it goes."""
    step = create if creates else change
    migration = Migration("v001", "bench", "Bench.", Path("v001_bench.py"), "", "", (step,))
    target = Target("bench", address, storage, writes_per_second=0)
    return Run("bench", migration, target, Options(shards=shards))

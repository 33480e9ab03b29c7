"""Ours: the phases of a run, by the engine alone, as Airflow's tasks perform them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.contender import Contender
from benchmarks.workload import COLLECTION, Workload
from firestore_migrations import Database, Document, each_document
from firestore_migrations.authoring.migration import Migration, Step
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


def run(contender: Contender, workload: Workload, address: Address) -> None:
    """Perform every phase, each timed by itself."""
    with tempfile.TemporaryDirectory() as storage:
        perform_all(contender, create if workload.creates else change, address, Path(storage))


def perform_all(contender: Contender, step: Step, address: Address, storage: Path) -> None:
    """Perform every phase of a run of one step."""
    one = run_of(step, address, storage)
    for phase in _ALL:
        shard = (0,) if phase in OF_SHARD else ()
        contender.timed(phase, lambda phase=phase, shard=shard: perform(one, phase, *shard))


def run_of(step: Step, address: Address, storage: Path, shards: int = 1) -> Run:
    """A run of one step on a database, as fast as it goes."""
    migration = Migration("v001", "bench", "Bench.", Path("v001_bench.py"), "", "", (step,))
    target = Target("bench", address, storage, writes_per_second=0)
    return Run("bench", migration, target, Options(shards=shards))

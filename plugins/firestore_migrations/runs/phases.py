"""The phases of a run by name, and the one way to perform one: the audit hears of what goes wrong first."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from firestore_migrations.errors import FirestoreMigrationsError, RunCancelled, RunPaused
from firestore_migrations.firestore.connection import Writer
from firestore_migrations.runs.apply import apply
from firestore_migrations.runs.approval import ask
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.backup import backup
from firestore_migrations.runs.dry_run import dry_run
from firestore_migrations.runs.finish import finish
from firestore_migrations.runs.lease import Lease
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.preflight import course_of, preflight
from firestore_migrations.runs.review import review
from firestore_migrations.runs.run import Run
from firestore_migrations.runs.status import refuse_cancelled
from firestore_migrations.runs.verify import verify

OF_RUN: dict[str, Callable[[Run], Any]] = {
    "preflight": preflight,
    "review": review,
    "approve": ask,
    "verify": verify,
    "finish": finish,
}
OF_SHARD: dict[str, Callable[[Run, int], Any]] = {"backup": backup, "dry_run": dry_run, "apply": apply}
_AT_THE_ENDS = frozenset({"preflight", "finish"})  # which take the lease, and give it back


def perform(run: Run, phase: str, shard: int | None = None) -> Any:
    """Perform one phase and return its result, plain data without documents. The run's lease is renewed meanwhile.

    Raises:
        RunPaused: somebody paused the run. It keeps its lease; perform the phase again later.
        RunCancelled: somebody cancelled the run; only `finish` is still performed.
        FirestoreMigrationsError: what the phase raises; it is recorded first where the target can be reached.
    """
    try:
        with Writer(run.target.address) as writer:
            ledger = Ledger(writer)
            lease = Lease(ledger, run.holder, run.path)
            if phase != "finish":
                refuse_cancelled(Audit(ledger).run(run) or {})
            try:
                with ExitStack() as stack:
                    if phase not in _AT_THE_ENDS:
                        stack.enter_context(lease.kept())
                        stack.enter_context(
                            run.pulse.told(ledger, run.path, phase, shard or 0, lambda: len(course_of(run).shards))
                        )
                    stack.enter_context(_loaded_modules_left_alone())
                    return OF_RUN[phase](run) if shard is None else OF_SHARD[phase](run, shard)
            except RunPaused:
                lease.acquire()
                raise
    except (RunPaused, RunCancelled):
        raise  # whoever told the run is in the audit
    except FirestoreMigrationsError as error:
        if "free_in" in error.facts:
            raise  # it waits for the target, which is no error
        _record(run, phase, f"{type(error).__name__}: {error}")
        raise
    except KeyboardInterrupt:
        _record(run, phase, "Interrupted: stopped with Ctrl-C; a new run plans what is left")
        raise
    except Exception as error:
        _record(run, phase, type(error).__name__)
        raise


@contextmanager
def _loaded_modules_left_alone() -> Iterator[None]:
    """Look for garbage among what the phase makes alone.

    Every few thousand documents Python looks through all objects that there are. With Airflow and the client libraries
    loaded that is most of a million, and a seventh of the time of a dry run.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _record(run: Run, phase: str, message: str) -> None:
    """Record an error of a run that has begun; the target itself may be what is out of reach."""
    try:
        with Writer(run.target.address) as writer:
            audit = Audit(Ledger(writer))
            if audit.run(run) is not None:
                audit.record(run, phase, message, error=message)
    except FirestoreMigrationsError:
        return  # the first error is the one that counts

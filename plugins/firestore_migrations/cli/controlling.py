"""`pause`, `resume`, `cancel` and `unlock`: what a person tells a run from outside of it."""

from __future__ import annotations

import getpass
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from firestore_migrations.clearing import Cleared, let_go_on
from firestore_migrations.cli import place
from firestore_migrations.cli.performing import Answer
from firestore_migrations.cli.states import painted
from firestore_migrations.errors import ConfigurationError
from firestore_migrations.runs.words import when

if TYPE_CHECKING:
    from rich.console import Console

    from firestore_migrations.runs.control import Controlled
    from firestore_migrations.runs.ledger import Ledger
    from firestore_migrations.runs.run import Target


def pause(arguments: Namespace) -> Answer:
    """Let the run at work stop between two batches."""
    from firestore_migrations.runs import control

    done = _told(arguments, control.pause, control.PAUSABLE)
    return _answer(done, f"Go on with `firestore-migrations resume {done.version}`.")


def resume(arguments: Namespace) -> Answer:
    """Let a paused run go on, or one that failed, with another budget."""
    from firestore_migrations.runs import budget, control, status

    if arguments.budget is None:
        done = _told(arguments, control.resume, control.RESUMABLE)
    else:
        raised = partial(control.resume, budget=budget.checked(arguments.budget))
        done = _told(arguments, raised, control.RESUMABLE | {status.FAILED})
    cleared = let_go_on(done.dag_id, done.run, has_ended=done.has_ended)
    return _answer(done, _how_it_goes_on(done, cleared), cleared_tasks=cleared.tasks)


def cancel(arguments: Namespace) -> Answer:
    """End a run for good."""
    from firestore_migrations.runs import control

    done = _told(arguments, control.cancel, control.UNFINISHED)
    return _answer(
        done,
        f"What it has written stays: `firestore-migrations run {done.version}` migrates the rest, "
        f"`firestore-migrations rollback {done.version}` takes it back.",
    )


def unlock(arguments: Namespace) -> Answer:
    """Take the target from the run that holds it."""
    from firestore_migrations.runs import unlock as verb
    from firestore_migrations.runs.holder import COMMIT_SECONDS

    with _ledger(arguments) as (target, ledger):
        found = verb.unlock(ledger, getpass.getuser(), surely=arguments.yes)
    result = {"target": target.name, "unlocked": None if found is None else asdict(found)}

    def show(console: Console) -> None:
        if found is None:
            console.print(f"Nobody holds [bold]{target.name}[/].")
            return
        since = f", which had it since {when(found.since)}" if found.since else ""
        console.print(
            f"[green]✓[/] [bold]{target.name}[/] was taken from run {found.run}{since}.\n"
            f"  Its worker writes nothing more; the target is free in {COMMIT_SECONDS} s.",
            soft_wrap=True,
        )

    return Answer(result, show)


@contextmanager
def _ledger(arguments: Namespace) -> Iterator[tuple[Target, Ledger]]:
    from firestore_migrations.firestore.connection import Writer
    from firestore_migrations.runs.ledger import Ledger

    target = place.target_of(place.target_name(arguments))
    with Writer(target.address) as writer:
        yield target, Ledger(writer)


def _told(arguments: Namespace, verb: Callable[..., Controlled], wanted: frozenset[str]) -> Controlled:
    """Tell the run that is meant."""
    from firestore_migrations.runs.amend import RunName
    from firestore_migrations.runs.audit import Audit
    from firestore_migrations.runs.meant import find_run

    with _ledger(arguments) as (_, ledger):
        version = None
        if arguments.version is not None:
            version = place.version_of(arguments.version, place.known_versions(Audit(ledger)))
        if arguments.run is None:
            name = find_run(ledger, wanted, version)
        elif version is None:
            raise ConfigurationError("--run names a run of a version.", "Name the version before it.")
        else:
            name = RunName(version, arguments.run)
        return verb(ledger, name, getpass.getuser())


def _how_it_goes_on(done: Controlled, cleared: Cleared) -> str:
    if not cleared.is_known:
        if not done.has_ended:
            return "Its tasks go on within seconds."
        return f"Its tasks have ended: clear the failed ones of run {done.run} in Airflow, where {done.dag_id} runs."
    if not cleared.is_scheduled and (cleared.tasks or done.has_ended):
        return "Its tasks had ended and are cleared: they go on as soon as a scheduler runs (`airflow scheduler`)."
    if cleared.tasks:
        return f"Its tasks had ended: {cleared.tasks} are cleared, and the scheduler goes on with them."
    return "Its tasks go on within seconds."


def _answer(done: Controlled, next_step: str, **facts: Any) -> Answer:
    result = {"version": done.version, "run": done.run, "before": done.before, "state": done.state, **facts}

    def show(console: Console) -> None:
        console.print(
            f"[green]✓[/] run {done.run} of {done.version}: {painted(done.before)} → {painted(done.state)}",
            soft_wrap=True,
        )
        console.print(f"  {next_step}", markup=False, soft_wrap=True)

    return Answer({**result, "next": next_step}, show)

"""`baseline` and `repair`: a person's word in the audit, where no run can tell it."""

from __future__ import annotations

import getpass
from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from firestore_migrations.authoring.discovery import discover
from firestore_migrations.cli import place
from firestore_migrations.cli.performing import Answer
from firestore_migrations.cli.states import painted

if TYPE_CHECKING:
    from rich.console import Console


def baseline(arguments: Namespace) -> Answer:
    """Mark every version up to and with one as applied, without running any."""
    from firestore_migrations.firestore.connection import Writer
    from firestore_migrations.runs import baseline as verb
    from firestore_migrations.runs.ledger import Ledger

    discovered = discover(place.folder())
    version = place.version_of(arguments.version, discovered.versions)
    target = place.target_of(place.target_name(arguments))
    with Writer(target.address) as writer:
        marked = verb.baseline(Ledger(writer), target, discovered, version, getpass.getuser())

    def show(console: Console) -> None:
        if not marked:
            console.print(f"{version} and those before it were applied on {target.name} already.")
        for name in marked:
            console.print(f"[green]✓[/] {name}: {painted('baseline')} on [bold]{target.name}[/]; it was not run")

    return Answer({"target": target.name, "version": version, "marked": marked}, show)


def repair(arguments: Namespace) -> Answer:
    """Accept what is wrong with a version."""
    from firestore_migrations.firestore.connection import Writer
    from firestore_migrations.runs import repair as verb
    from firestore_migrations.runs.audit import Audit
    from firestore_migrations.runs.ledger import Ledger

    discovered = discover(place.folder())
    target = place.target_of(place.target_name(arguments))
    with Writer(target.address) as writer:
        ledger = Ledger(writer)
        version = place.version_of(arguments.version, place.known_versions(Audit(ledger), discovered))
        done = verb.repair(ledger, target, discovered, version, getpass.getuser())

    def show(console: Console) -> None:
        console.print(f"[green]✓[/] {done.version}: {painted(done.state)} on [bold]{target.name}[/]", soft_wrap=True)
        console.print(f"  {done.message}", markup=False, soft_wrap=True)

    return Answer({"target": target.name, **asdict(done)}, show)

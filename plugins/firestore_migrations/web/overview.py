"""The versions on every target: where every version stands, and the next safe thing to do with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from firestore_migrations import configuration
from firestore_migrations.authoring.discovery import Discovered
from firestore_migrations.errors import FirestoreMigrationsError
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.runs.advice import Action, Adviser
from firestore_migrations.runs.holder import Holder
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.overview import VersionStatus
from firestore_migrations.runs.run import Target
from firestore_migrations.web import files
from firestore_migrations.web.access import Visitor
from firestore_migrations.web.places import PLACES


@dataclass(frozen=True)
class Cell:
    """One version on one target.

    Attributes:
        status: where it stands.
        checksum: `as applied`, `edited since`, `no file`, or empty where nothing is applied.
        next: the next safe thing to do; None where there is nothing, or nothing is allowed.
        refusal: why nothing is allowed; empty where something is, or nothing is to be done.
    """

    status: VersionStatus
    checksum: str
    next: Action | None
    refusal: str


@dataclass(frozen=True)
class Column:
    """One target.

    Attributes:
        name: of the connection.
        target: None where it cannot be asked.
        error: why it cannot be asked.
        held: the run that holds it.
        cells: by version.
    """

    name: str
    target: Target | None = None
    error: FirestoreMigrationsError | None = None
    held: Holder | None = None
    cells: Mapping[str, Cell] | None = None


@dataclass(frozen=True)
class Table:
    """The whole table.

    Attributes:
        columns: the targets.
        versions: name of each version in order, by version, of the rows that are shown.
        states: all states that there are, for the filter.
        errors: files that cannot be used.
    """

    columns: tuple[Column, ...]
    versions: Mapping[str, str]
    states: tuple[str, ...]
    errors: tuple[FirestoreMigrationsError, ...]


def table(visitor: Visitor, state: str = "") -> Table:
    """Ask every target, and put together what the visitor may see.

    Args:
        visitor: who looks.
        state: only the versions that are in this state somewhere; empty for all.
    """
    discovered = files.discovered()

    def look(target: Target, reader: Reader) -> Column:
        return _column(target, reader, discovered)

    answers = PLACES.ask_all(PLACES.names(), look)
    columns = tuple(
        Column(name, error=answer) if isinstance(answer, FirestoreMigrationsError) else answer
        for name, answer in answers.items()
    )
    names = {migration.version: migration.name for migration in discovered.migrations}
    for column in columns:
        for version, cell in (column.cells or {}).items():
            names.setdefault(version, cell.status.name)
    dag_ids = {version: files.dag_id_of(version, name) for version, name in names.items()}
    readable = visitor.readable(dag_ids.values())
    seen = {version: name for version, name in names.items() if dag_ids[version] in readable}
    states = {version: _states(version, columns) for version in seen}
    shown = [version for version in seen if not state or state in states[version]]
    return Table(
        columns=columns,
        versions={version: seen[version] for version in sorted(shown, key=lambda version: int(version[1:]))},
        states=tuple(sorted({name for found in states.values() for name in found})),
        errors=tuple(discovered.errors) if len(readable) == len(set(dag_ids.values())) else (),
    )


def _column(target: Target, reader: Reader, discovered: Discovered) -> Column:
    adviser = Adviser(target, Ledger(reader), discovered, configuration.rehearsals())
    cells = {version.version: _cell(version, adviser) for version in adviser.versions}
    return Column(target.name, target, held=adviser.held, cells=cells)


def _cell(version: VersionStatus, adviser: Adviser) -> Cell:
    return Cell(version, _checksum(version), adviser.next(version), adviser.obstacle(version))


def _checksum(version: VersionStatus) -> str:
    """Whether the file is what was applied."""
    if version.state == "changed":
        return "edited since"
    if version.checksum is None:
        return "no file"
    return "as applied" if version.is_done or version.state == "partial" else ""


def _states(version: str, columns: tuple[Column, ...]) -> set[str]:
    cells = [column.cells[version] for column in columns if column.cells and version in column.cells]
    return {cell.status.state for cell in cells}

"""`new` and `check`: the verbs that need nothing but the files."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firestore_migrations.authoring import template
from firestore_migrations.authoring.discovery import discover, find
from firestore_migrations.authoring.lint import Finding, lint
from firestore_migrations.cli import place
from firestore_migrations.cli.performing import DONE, FAILED, Answer
from firestore_migrations.errors import AuthoringError

if TYPE_CHECKING:
    from rich.console import Console

# What lint says of a file in its own words.
_SAID_BY_LINT = {"BadFileName": "file-name", "NoDocstring": "docstring", "CannotLoad": "syntax"}


def new(arguments: Namespace) -> Answer:
    """Write the next migration and its test."""
    folder = place.folder_to_begin()
    tests = Path(arguments.tests) if arguments.tests else folder.parent / "tests" / "migrations"
    migration, test = template.create(folder, arguments.title, tests)

    def show(console: Console) -> None:
        for path in filter(None, (migration, test)):
            console.print(_short(path), soft_wrap=True)

    return Answer({"migration": migration, "test": test}, show)


def check(_arguments: Namespace) -> Answer:
    """Read every migration; errors fail the check, advice does not."""
    folder = place.folder()
    files = find(folder)
    findings = sorted(_findings(folder, files), key=lambda finding: (str(finding.file), finding.line, finding.rule))
    failing = sum(finding.fails for finding in findings)

    def show(console: Console) -> None:
        for finding in findings:
            colour = "red" if finding.fails else "yellow"
            where = f"{_short(finding.file)}:{finding.line}"
            console.print(f"[bold]{where}[/]: [{colour}]{finding.rule}[/]: ", end="", soft_wrap=True)
            console.print(f"{finding.message} {finding.remedy}", markup=False, soft_wrap=True)
        console.print(f"{len(files)} migrations: {failing} errors, {len(findings) - failing} advices.")

    return Answer([_plain(finding) for finding in findings], show, FAILED if failing else DONE)


def _findings(folder: Path, files: list[Path]) -> Iterator[Finding]:
    said: set[tuple[str, str]] = set()
    for path in files:
        for finding in lint(path):
            said.add((str(path), finding.rule))
            yield finding
    discovered = discover(folder)
    for error in discovered.errors:
        if (error.facts["file"], _SAID_BY_LINT.get(type(error).__name__, "")) not in said:
            yield _finding(error)
    for migration in discovered.migrations:
        try:
            migration.refuse_bad_filters()
        except AuthoringError as error:
            yield _finding(error)


def _finding(error: AuthoringError) -> Finding:
    """A file that cannot be used, as a finding; the place is not said twice."""
    kind = type(error).__name__
    rule = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind).lstrip("-")
    file, line = error.facts["file"], error.facts.get("line", 1)
    message = error.what.removeprefix(file).removeprefix(f", line {line}").removeprefix(":").strip()
    return Finding(Path(file), line, rule, message[:1].upper() + message[1:], error.next_step)


def _plain(finding: Finding) -> dict[str, Any]:
    return {**vars(finding), "file": str(finding.file)}


def _short(path: Path) -> str:
    """The path from here, where it lies below."""
    here = Path.cwd()
    absolute = path.absolute()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else path)

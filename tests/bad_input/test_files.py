"""Files that cannot be migrations: each is one clear error of that file, and nothing runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firestore_migrations.authoring.discovery import discover
from firestore_migrations.errors import (
    BadStep,
    CannotLoad,
    ConfigurationError,
    DuplicateVersion,
    NoDocstring,
    NoStep,
    UnknownVersion,
)
from tests.bad_input.clear import Kind, assert_failed, assert_says, nothing_written
from tests.cli.conftest import Terminal
from tests.runs.world import World

pytestmark = pytest.mark.usefixtures("airflow_home")

DOC = '"""Does nothing."""\n'
IMPORTS = "from firestore_migrations import each_document, script\n"
BODY = "    pass\n"


def step(decorator: str = '@each_document("users")', head: str = "def up(user, db):", body: str = BODY) -> str:
    """A migration of one step."""
    return f"{DOC}{IMPORTS}\n{decorator}\n{head}\n{body}"


def where(condition: str) -> str:
    """A migration whose step has this `where`."""
    return step(f'@each_document("users", where={condition})')


def below(text: str) -> str:
    """A good step and something below it."""
    return f"{step()}\n{text}"


GOOD = step()

CONTENTS: dict[str, tuple[str | bytes | Callable[[Path], Any], Kind, str]] = {
    "a syntax error": (f"{DOC}def up(:\n", CannotLoad, "line 2: this is not Python"),
    "a merge conflict": (f"<<<<<<< HEAD\n{GOOD}", CannotLoad, "line 1: this is not Python"),
    "Python 2": (f"{DOC}print 'done'\n", CannotLoad, "line 2: this is not Python"),
    "JSON": ('{"up": true}', NoDocstring, "no docstring"),
    "return at the top": (f"{DOC}return\n", CannotLoad, "line 2: this is not Python"),
    "tabs and spaces": (f"{DOC}if True:\n\tx = 1\n        y = 2\n", CannotLoad, "line 4: this is not Python"),
    "a thousand brackets": (f"{DOC}x = {'(' * 1000}{')' * 1000}\n", CannotLoad, "this is not Python"),
    "nothing": ("", NoDocstring, "in a docstring at the top"),
    "blank lines": ("\n\n\n", NoDocstring, "in a docstring at the top"),
    "a comment only": ("# later\n", NoDocstring, "in a docstring at the top"),
    "a byte order mark only": (b"\xef\xbb\xbf", NoDocstring, "in a docstring at the top"),
    "UTF-16": (GOOD.encode("utf-16"), CannotLoad, "this is not Python"),
    "Latin-1 undeclared": (DOC.replace("nothing", "n\xf6thing").encode("latin-1"), CannotLoad, "this is not Python"),
    "an unknown encoding": (f"# coding: klingon\n{GOOD}", CannotLoad, "this is not Python"),
    "a NUL": (f"{DOC}x = '\0'\n", CannotLoad, "this is not Python"),
    "a binary": (bytes(range(256)) * 40, CannotLoad, "this is not Python"),
    "no docstring": (GOOD.removeprefix(DOC), NoDocstring, "in a docstring at the top"),
    "a blank docstring": (GOOD.replace("Does nothing.", " \n "), NoDocstring, "in a docstring at the top"),
    "a formatted docstring": (f"f{GOOD}", NoDocstring, "in a docstring at the top"),
    "two megabytes": (GOOD + "# padding\n" * 200_000, CannotLoad, "is larger than"),
    "no step": (DOC, NoStep, "@each_document"),
    "a step in a class": (f"{DOC}{IMPORTS}class A:\n    @script\n    def up(db): pass\n", NoStep, "at the top level"),
    "a step behind an if": (f"{DOC}{IMPORTS}if 0:\n    @script\n    def up(db): pass\n", NoStep, "at the top level"),
    "two steps of one name": (f"{GOOD}one = up\n{GOOD.removeprefix(DOC)}", BadStep, "two steps named 'up'"),
    "import of nothing": (f"{DOC}import nowhere_to_be_found\n", CannotLoad, "line 2: the import raised ModuleNotFound"),
    "import of a name that is not": (
        f"{DOC}from firestore_migrations import each_documents\n",
        CannotLoad,
        "the import raised ImportError",
    ),
    "import that raises": (f"{DOC}1 / 0\n", CannotLoad, "line 2: the import raised ZeroDivisionError"),
    "import that exits": (f"{DOC}raise SystemExit(0)\n", CannotLoad, "line 2: the import raised SystemExit"),
    "import that leaves": (f"{DOC}raise GeneratorExit\n", CannotLoad, "line 2: the import raised GeneratorExit"),
    "import that recurses": (
        f"{DOC}def f(): f()\nf()\n",
        CannotLoad,
        "the import raised RecursionError",
    ),
    "import that reads a file": (
        f"{DOC}import os\nopen('/nowhere/at/all')\n",
        CannotLoad,
        "line 3: the import raised FileNotFoundError",
    ),
    "a transform of one argument": (step(head="def up(user):"), BadStep, "def up(document, db)"),
    "a transform of three arguments": (step(head="def up(user, db, x):"), BadStep, "def up(document, db)"),
    "a transform that wants a keyword": (step(head="def up(user, db, *, x):"), BadStep, "def up(document, db)"),
    "a script of two arguments": (step("@script"), BadStep, "def up(db)"),
    "a check of one argument": (below("@up.verify\ndef holds(user): pass\n"), BadStep, "def holds(document, db)"),
    "a down of no argument": (below("@up.down\ndef back(): pass\n"), BadStep, "def back(document, db)"),
    "two downs": (below("@up.down\ndef a(d, db): pass\n@up.down\ndef b(d, db): pass\n"), BadStep, "two @up.down"),
    "async def": (step(head="async def up(user, db):"), BadStep, "`async def`"),
    "a generator": (step(body="    yield user\n"), BadStep, "`yield`"),
    "an async generator": (step(head="async def up(user, db):", body="    yield user\n"), BadStep, "`async def`"),
    "a class for a step": (step(head="class up:"), BadStep, "A step is a function"),
    "a decorator without a call": (step("@each_document"), BadStep, "names no collection"),
    "a decorator without a collection": (step("@each_document()"), CannotLoad, "missing 1 required positional"),
    "a decorator with a typo": (step('@each_document("users", were=())'), CannotLoad, "'were'"),
    "script with a call": (step("@script()"), CannotLoad, "missing 1 required positional"),
    "script of a collection": (step('@script("users")'), BadStep, "A step is a function"),
    "decorated twice": (step('@script\n@each_document("users")'), BadStep, "Decorate a plain"),
    "collection: empty": (step('@each_document("")'), BadStep, "collection"),
    "collection: a number": (step("@each_document(5)"), BadStep, "not int"),
    "collection: a document": (step('@each_document("users/ada")'), BadStep, "names a document"),
    "collection: a slash at the end": (step('@each_document("users/")'), BadStep, "empty path segment"),
    "collection: a slash at the front": (step('@each_document("/users")'), BadStep, "empty path segment"),
    "collection: a wildcard": (step('@each_document("{any}")'), BadStep, "wildcard in place of a collection"),
    "collection: the audit": (step('@each_document("_migrations")'), BadStep, "audit trail"),
    "collection: below the audit": (step('@each_document("_migrations/v001/runs")'), BadStep, "audit trail"),
    "collection: a group of a path": (step('@each_document("a/b/c", group=True)'), BadStep, "group=True"),
    "collection: reserved": (step('@each_document("__users__")'), BadStep, "reserved"),
    "collection: a dot": (step('@each_document("users/../x")'), BadStep, "reserved"),
    "collection: too long": (step(f'@each_document("{"u" * 1501}")'), BadStep, "1,500 bytes"),
    "collection: a surrogate": (step(r'@each_document("\ud800")'), BadStep, "surrogate"),
    "group: a word": (step('@each_document("users", group="yes")'), BadStep, "group is True or False"),
    "idempotent: a word": (step('@each_document("users", idempotent="no")'), BadStep, "idempotent is True or False"),
    "window: a number": (step('@each_document("users", window=7)'), BadStep, "window"),
    "window: empty": (step('@each_document("users", window="")'), BadStep, "window"),
    "window: no path": (step('@each_document("users", window="a..b")'), BadStep, "window"),
    "where: a number": (where("5"), BadStep, "cannot be a int"),
    "where: a text": (where("'n > 1'"), BadStep, "cannot be a str"),
    "where: a dict": (where("{'n': 1}"), BadStep, "cannot be a str"),
    "where: two parts": (where("[('n', 1)]"), BadStep, "cannot be a tuple"),
    "where: four parts": (where("[('n', '==', 1, 2)]"), BadStep, "cannot be a tuple"),
    "where: an unknown operator": (where("[('n', '=', 1)]"), BadStep, "operator '='"),
    "where: no operator": (where("[('n', None, 1)]"), BadStep, "operator 'None'"),
    "where: no field": (where("[('', '==', 1)]"), BadStep, "not a field path"),
    "where: a bad field": (where("[('a..b', '==', 1)]"), BadStep, "not a field path"),
    "where: by name": (where("[('__name__', '==', 'x')]"), BadStep, "by name"),
    "where: in a number": (where("[('n', 'in', 1)]"), BadStep, "needs a list"),
    "where: in nothing": (where("[('n', 'in', [])]"), BadStep, "not empty"),
    "where: in a set": (where("[('n', 'in', {1})]"), BadStep, "A set has no order"),
    "where: not in null": (where("[('n', 'not-in', [None])]"), BadStep, "null"),
    "where: less than null": (where("[('n', '<', None)]"), BadStep, "null or NaN"),
    "where: a date": (where("[('n', '==', __import__('datetime').date(2026, 1, 1))]"), BadStep, "type date"),
    "where: an integer of 65 bits": (where("[('n', '==', 2**64)]"), BadStep, "64 bits"),
    "where: or": (
        step(
            f"{IMPORTS}from google.cloud.firestore_v1.base_query import FieldFilter as F, Or\n"
            '@each_document("users", where=[Or([F("n", "==", 1), F("n", "==", 2)])])'
        ),
        BadStep,
        "has an Or",
    ),
    "a folder": (Path.mkdir, CannotLoad, "is not a file"),
    "a link to nowhere": (lambda path: path.symlink_to("nowhere.py"), CannotLoad, "cannot be read"),
    "a link to itself": (lambda path: path.symlink_to(path.name), CannotLoad, "cannot be read"),
    "a pipe that nobody writes to": (os.mkfifo, CannotLoad, "is not a file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), CannotLoad, "is not a file"),
}


def put(path: Path, content: str | bytes | Callable[[Path], Any]) -> None:
    if callable(content):
        content(path)
    else:
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@pytest.mark.parametrize("name", CONTENTS)
def test_a_file_that_cannot_be_a_migration_fails_alone_and_nothing_runs(
    terminal: Terminal, world: World, name: str
) -> None:
    content, kind, said = CONTENTS[name]
    put(terminal.folder / "migrations" / "v001_bad.py", content)
    terminal.write("v002_good.py", GOOD)
    with nothing_written(world):
        run = terminal.type("run", "v001", "--output", "json")
        check = terminal.type("check", "--output", "json")
    assert_failed(run, 1, kind, "v001_bad.py", said)
    assert run.json["error"]["message"].rstrip().endswith((".", "`"))
    assert check.code == 1
    findings = [finding for finding in check.json if finding["level"] == "error"]
    assert {Path(finding["file"]).name for finding in findings} == {"v001_bad.py"}
    assert all(finding["remedy"] for finding in findings)


NAMES = ("v1_bad.py", "001_bad.py", "v001.py", "v001_.py", "v001_Bad.py", "v001-bad.py", "v001_b\xe4d.py", "a b.py")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_not_named_like_a_migration_is_named_and_never_run(
    terminal: Terminal, world: World, name: str
) -> None:
    terminal.write(name, "raise SystemExit")
    with nothing_written(world):
        run = terminal.type("run", "v001", "--output", "json")
        check = terminal.type("check", "--output", "json")
    assert_failed(run, 2, UnknownVersion, "'v001'", "migrations")
    assert check.code == 1
    assert_says(str(check.json), name, "file-name", "vNNN_some_name.py")


def test_two_files_of_one_version_are_refused_by_both_names(terminal: Terminal, world: World) -> None:
    terminal.write("v001_one.py", GOOD)
    terminal.write("v001_other.py", GOOD)
    with nothing_written(world):
        run = terminal.type("run", "v001", "--output", "json")
    assert_failed(run, 1, DuplicateVersion, "v001_one.py", "v001_other.py", "next free number")


FOLDERS: dict[str, Callable[[Path], Any]] = {
    "missing": lambda _: None,
    "a file": Path.touch,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("command", ["check", "status", "run v001"])
def test_a_folder_of_migrations_that_is_none_is_named(
    terminal: Terminal, world: World, monkeypatch: pytest.MonkeyPatch, name: str, command: str
) -> None:
    folder = terminal.folder / "elsewhere"
    FOLDERS[name](folder)
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__MIGRATIONS_FOLDER", str(folder))
    with nothing_written(world):
        typed = terminal.type(*command.split(), "--output", "json")
    assert_failed(typed, 2, ConfigurationError, str(folder), "firestore-migrations new")


def test_of_every_bad_file_in_one_folder_none_hides_another(terminal: Terminal) -> None:
    for number, (content, _, _) in enumerate(CONTENTS.values(), start=1):
        put(terminal.folder / "migrations" / f"v{number:03}_bad.py", content)
    found = discover(terminal.folder / "migrations")
    assert len(found.versions) == len(CONTENTS)
    refused = {error.facts["version"]: type(error) for error in found.errors}
    expected = {f"v{number:03}": kind for number, (_, kind, _) in enumerate(CONTENTS.values(), start=1)}
    assert [error for error in found.errors if not error.next_step] == []
    only_when_run = {f"v{number:03}" for number, name in enumerate(CONTENTS, start=1) if name.startswith("where: ")}
    assert refused == {version: kind for version, kind in expected.items() if version not in only_when_run}

"""Loading: from one file to its migration."""

from __future__ import annotations

import ast
import errno
import importlib.util
import re
import stat
import sys
import threading
import tokenize
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from firestore_migrations.authoring.checksum import checksum_of
from firestore_migrations.authoring.migration import Migration, Step
from firestore_migrations.errors import AuthoringError, BadFileName, BadStep, CannotLoad, NoDocstring, NoStep

FILE_NAME = re.compile(r"(v([0-9]{3,}))_([a-z0-9]+(?:_[a-z0-9]+)*)\.py")
NOT_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What `ast.parse` and decoding raise on text that is not Python, over all supported Pythons."""

_PACKAGE = "firestore_migrations_files"
_MOST_BYTES = 1024 * 1024  # the source goes into the DAG's page, and is parsed every few seconds
_importing = threading.RLock()  # web workers list the folder in threads, and `sys.modules` is one for all


def load(path: Path) -> Migration:
    """Compile and import one file; safe to run again, and quick enough for every parse of a DAG file.

    The module stays in `sys.modules` under a name made of the file's, so loading again replaces it.
    No bytecode is written: Python trusts it by time and size, and would miss an edit within one second.

    Raises:
        BadFileName: the file is not named vNNN_some_name.py.
        CannotLoad: it cannot be read, has a syntax error, or its import raised.
        NoDocstring: it has no docstring.
        NoStep: it has no step.
        BadStep: a step's decorator was given something impossible, or two steps have one name.
    """
    match = FILE_NAME.fullmatch(path.name)
    if match is None:
        raise BadFileName(
            f"{path} is not named like a migration, vNNN_some_name.py.",
            "Rename it, like v001_add_user_stats.py; start its name with _ if it is not a migration.",
            **facts_of(path),
        )
    source, tree, code = _compile(path)
    description = (ast.get_docstring(tree) or "").strip()
    if not description:
        raise NoDocstring(
            f"{path} has no docstring, so nobody can read what {match[1]} does before it runs.",
            "Say what it changes, and why, in a docstring at the top of the file.",
            **facts_of(path, 1),
        )
    steps = _steps(path, _execute(path, code))
    return Migration(
        version=match[1],
        name=match[3],
        description=description,
        path=path,
        source=source,
        checksum=checksum_of(tree),
        steps=steps,
    )


def version_number(path: Path) -> int | None:
    """The number in the file's name, by which versions are ordered; None where it is no migration's name."""
    match = FILE_NAME.fullmatch(path.name)
    return int(match[2]) if match else None


def read_source(path: Path) -> str:
    """The text of a Python file in its declared encoding, whatever ends its lines.

    Raises:
        OSError: it cannot be read, or it is nothing to read: a folder, a pipe, a device, a text too large to be source.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a file")
    if found.st_size > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {_MOST_BYTES:,} bytes")
    with tokenize.open(path) as file:
        return file.read()


def _compile(path: Path) -> tuple[str, ast.Module, CodeType]:
    try:
        source = read_source(path)
        tree = ast.parse(source)
        # dont_inherit: the __future__ imports of this file are not the author's.
        return source, tree, compile(tree, str(path.absolute()), "exec", dont_inherit=True)
    except OSError as error:
        raise CannotLoad(
            f"{path} cannot be read: {error.strerror or type(error).__name__}.",
            "Make it a plain file of at most 1 MiB that Airflow's user may read.",
            **facts_of(path),
        ) from error
    except NOT_PYTHON as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        what = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
        raise CannotLoad(
            f"{_at(path, line)}: this is not Python: {what}.",
            f"Correct the file; `python -m py_compile {path}` shows the place.",
            **facts_of(path, line),
        ) from error


def _execute(path: Path, code: CodeType) -> ModuleType:
    """Run the file as a module. On failure `sys.modules` is what it was."""
    name = f"{_PACKAGE}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    if spec is None:  # only a file that does not end in .py
        raise CannotLoad(f"{path} is not a Python file.", "Name it vNNN_some_name.py.", **facts_of(path))
    module = importlib.util.module_from_spec(spec)
    with _importing:
        before = sys.modules.get(name)
        sys.modules[name] = module  # dataclasses and type hints look their module up there
        try:
            exec(code, module.__dict__)  # noqa: S102 - it is what a migration is for
        except (Exception, SystemExit, GeneratorExit) as error:
            if before is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = before
            raise _import_failed(path, error) from error
    return module


def _import_failed(path: Path, error: BaseException) -> AuthoringError:
    """The error with its place: the deepest line of the file itself, not of what it called."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path.absolute()):
            line = trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, AuthoringError):
        facts = {**error.facts, **facts_of(path, line)}
        return type(error)(f"{_at(path, line)}: {error.what}", error.next_step, **facts)
    remedy = "Correct that line; a migration's own file must import without Firestore or the network."
    if isinstance(error, ImportError):
        remedy = "Install what it imports where Airflow runs, or move that code into the file: each stands alone."
    said = str(error).strip().split("\n")[0][:200]
    return CannotLoad(
        f"{_at(path, line)}: the import raised {type(error).__name__}{': ' if said else ''}{said}.",
        remedy,
        **facts_of(path, line),
        exception=type(error).__name__,
    )


def _steps(path: Path, module: ModuleType) -> tuple[Step, ...]:
    """The module's global steps, in order of definition; one with two names counts once."""
    steps: dict[str, Step] = {}
    for step in vars(module).values():
        if not isinstance(step, Step):
            continue
        if step.name == "down":
            raise BadStep(
                f"{path}: 'down' is a step like any other, so every run up would perform it.",
                "Decorate the reverse with the step that it takes back, like @up.down, or rename it if it is a step.",
                **facts_of(path),
            )
        if steps.setdefault(step.name, step) is not step:
            raise BadStep(
                f"{path} has two steps named {step.name!r}, so an error or a plan could not say which.",
                "Rename the function of one.",
                **facts_of(path),
            )
    if not steps:
        raise NoStep(
            f"{path} has no step, so there is nothing to run.",
            'Decorate a function at the top level of the file with @each_document("users") or @script.',
            **facts_of(path),
        )
    _refuse_windows_of_some(path, steps.values())
    return tuple(steps.values())


def _refuse_windows_of_some(path: Path, steps: Iterable[Step]) -> None:
    """A backfill takes one interval of every step: one without a window would be migrated whole by the first."""
    without = [step.name for step in steps if step.scope is None or step.scope.window is None]
    windowed = [step.name for step in steps if step.name not in without]
    if windowed and without:
        raise BadStep(
            f"{path}: step {windowed[0]!r} has a window and step {without[0]!r} has none, so a backfill could not take "
            "one interval of both.",
            "Give every step a window, or put the others, and every script, into a version of their own.",
            **facts_of(path),
        )


def _at(path: Path, line: int | None) -> str:
    return str(path) if line is None else f"{path}, line {line}"


def facts_of(path: Path, line: int | None = None) -> dict[str, Any]:
    """The facts that every error of a file carries: `file` and, where known, `version` and `line`."""
    match = FILE_NAME.fullmatch(path.name)
    version = {"version": match[1]} if match else {}
    return {"file": str(path), **version, **({} if line is None else {"line": line})}

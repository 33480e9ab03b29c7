"""A folder gives its migrations in version order, and one broken file never hides another."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

import firestore_migrations
from firestore_migrations.authoring.checksum import checksum
from firestore_migrations.authoring.discovery import Discovered, discover, find, load
from firestore_migrations.errors import (
    BadFileName,
    BadStep,
    CannotLoad,
    ConfigurationError,
    DuplicateVersion,
    NoDocstring,
    NoStep,
)

GOOD = '''"""Give every user a plan.

Sales asked for it.
"""

from firestore_migrations import each_document, script


@each_document("users", where=[("active", "==", True)])
def users(user, db):
    user["plan"] = "free"


@users.verify
def has_plan(user, db):
    assert "plan" in user


@script
def totals(db):
    db.set("totals/users", {"plans": 1})
'''


def write(folder: Path, name: str, text: str = GOOD) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def names(found: Discovered) -> list[str]:
    return [migration.path.name for migration in found.migrations]


def test_a_file_becomes_its_migration(tmp_path: Path) -> None:
    path = write(tmp_path, "v007_add_plan2_to_users.py")
    migration = load(path)
    assert (migration.version, migration.name, migration.path) == ("v007", "add_plan2_to_users", path)
    assert (migration.dag_id, migration.source) == ("firestore_v007_add_plan2_to_users", GOOD)
    assert migration.description == "Give every user a plan.\n\nSales asked for it."
    assert migration.checksum == checksum(GOOD)
    assert [(step.name, step.is_script, len(step.checks)) for step in migration.steps] == [
        ("users", False, 1),
        ("totals", True, 0),
    ]


def test_versions_are_ordered_by_number(tmp_path: Path) -> None:
    for name in ("v1000_d.py", "v002_b.py", "v999_c.py", "v001_a.py"):
        write(tmp_path, name)
    assert names(discover(tmp_path)) == ["v001_a.py", "v002_b.py", "v999_c.py", "v1000_d.py"]


def test_only_what_is_named_like_a_visible_python_file_claims_to_be_a_migration(tmp_path: Path) -> None:
    for name in ("v001_a.py", "other.py", "_tiers.py", "__init__.py", ".v002_hidden.py", "notes.md"):
        write(tmp_path, name)
    (tmp_path / "v003_folder.py").mkdir()  # it claims a version, so it is said to be no file, not passed over
    (tmp_path / "old").mkdir()
    write(tmp_path / "old", "v004_below.py")
    assert [path.name for path in find(tmp_path)] == ["v001_a.py", "v003_folder.py", "other.py"]


def test_one_broken_file_never_hides_the_others(tmp_path: Path) -> None:
    write(tmp_path, "v001_syntax.py", '"""Doc."""\n\ndef up(:\n')
    write(tmp_path, "v002_good.py")
    write(tmp_path, "v003_import.py", '"""Doc."""\nimport no_such_module\n')
    write(tmp_path, "v004_undocumented.py", "x = 1\n")
    write(tmp_path, "v005_stepless.py", '"""Doc."""\n')
    write(tmp_path, "V006_upper.py")
    write(tmp_path, "v007_good.py")
    found = discover(tmp_path)
    assert names(found) == ["v002_good.py", "v007_good.py"]
    assert [(type(error), Path(error.facts["file"]).name, error.facts.get("line")) for error in found.errors] == [
        (CannotLoad, "v001_syntax.py", 3),
        (CannotLoad, "v003_import.py", 2),
        (NoDocstring, "v004_undocumented.py", 1),
        (NoStep, "v005_stepless.py", None),
        (BadFileName, "V006_upper.py", None),
    ]
    assert all(error.facts["file"] in str(error) and error.next_step for error in found.errors)


def test_two_files_of_one_version_are_both_errors(tmp_path: Path) -> None:
    one, other = write(tmp_path, "v001_a.py"), write(tmp_path, "v0001_b.py")
    write(tmp_path, "v002_c.py")
    found = discover(tmp_path)
    assert names(found) == ["v002_c.py"]
    assert [type(error) for error in found.errors] == [DuplicateVersion, DuplicateVersion]
    assert {error.facts["file"] for error in found.errors} == {str(one), str(other)}
    assert all(path.name in str(error) for error in found.errors for path in (one, other))


def test_an_empty_folder_has_no_migrations(tmp_path: Path) -> None:
    assert discover(tmp_path) == Discovered((), ())


def test_a_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="firestore-migrations new") as caught:
        discover(tmp_path / "nowhere")
    assert caught.value.facts == {"folder": str(tmp_path / "nowhere")}


@pytest.mark.parametrize(
    "name",
    [
        "v1_short.py",
        "v01_short.py",
        "001_no_v.py",
        "v001.py",
        "v001_.py",
        "v001__double.py",
        "v001_Upper.py",
        "v001-dash.py",
        "v001_a_.py",
        "v\u0660\u0660\u0661_digits.py",
    ],
)
def test_other_file_names_are_refused_before_anything_runs(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadFileName):
        load(write(tmp_path, name, "raise SystemExit"))


def test_an_error_on_import_names_the_files_own_line_and_the_exception(tmp_path: Path) -> None:
    path = write(tmp_path, "v001_a.py", '"""Doc."""\nimport json\n\nTIERS = json.loads("{")\n')
    with pytest.raises(CannotLoad) as caught:
        load(path)
    facts = {"file": str(path), "version": "v001", "line": 4, "exception": "JSONDecodeError"}
    assert caught.value.facts == facts
    assert f"{path}, line 4: the import raised JSONDecodeError" in str(caught.value)


@pytest.mark.parametrize("statement", ["raise SystemExit(3)", "exit()", "1 / 0", "return", "break", "x = '\0'"])
def test_whatever_an_import_does_is_one_error_of_that_file(tmp_path: Path, statement: str) -> None:
    with pytest.raises(CannotLoad):
        load(write(tmp_path, "v001_a.py", f'"""Doc."""\n{statement}\n'))


def test_a_file_in_another_encoding_loads(tmp_path: Path) -> None:
    path = tmp_path / "v001_a.py"
    path.write_bytes(b"# -*- coding: latin-1 -*-\r\n" + GOOD.replace("plan", "pläne").encode("latin-1"))
    assert "pläne" in load(path).description


def test_bytes_that_are_no_text_are_one_error(tmp_path: Path) -> None:
    path = tmp_path / "v001_a.py"
    path.write_bytes(b'"""\xff\xfe"""')
    with pytest.raises(CannotLoad):
        load(path)


def test_a_link_to_nowhere_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "v001_a.py").symlink_to(tmp_path / "gone.py")
    assert [type(error) for error in discover(tmp_path).errors] == [CannotLoad]


def test_a_bad_step_gets_its_place_and_stays_a_bad_step(tmp_path: Path) -> None:
    text = GOOD.replace('@each_document("users",', '@each_document("users/ada",')
    path = write(tmp_path, "v001_a.py", text)
    with pytest.raises(BadStep, match="names a document") as caught:
        load(path)
    assert caught.value.facts == {"file": str(path), "version": "v001", "line": 9}


def test_two_steps_of_one_name_are_refused(tmp_path: Path) -> None:
    text = GOOD + "\n\nfirst = totals\n\n\n@script\ndef totals(db):\n    db.delete('totals/users')\n"
    with pytest.raises(BadStep, match="two steps named 'totals'"):
        load(write(tmp_path, "v001_a.py", text))


def test_a_reverse_that_would_run_as_a_step_is_refused(tmp_path: Path) -> None:
    text = GOOD + "\n\n@script\ndef down(db):\n    db.delete('totals/users')\n"
    with pytest.raises(BadStep, match=r"'down' is a step like any other.*@up\.down"):
        load(write(tmp_path, "v001_a.py", text))


def test_a_step_with_two_names_counts_once(tmp_path: Path) -> None:
    assert len(load(write(tmp_path, "v001_a.py", GOOD + "\n\nalias = users\n")).steps) == 2


def test_an_imported_step_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "shared_steps_of_recoup.py")
    monkeypatch.syspath_prepend(tmp_path)
    path = write(tmp_path, "v001_a.py", '"""Doc."""\nfrom shared_steps_of_recoup import totals\n')
    assert [step.name for step in load(path).steps] == ["totals"]
    del sys.modules["shared_steps_of_recoup"]


def test_the_authors_own_future_imports_hold_and_ours_do_not(tmp_path: Path) -> None:
    plain = GOOD + "\n\ndef annotated(x: int): ...\n\n\nassert annotated.__annotations__ == {'x': int}\n"
    load(write(tmp_path, "v001_a.py", plain))
    lazy = plain.replace("\nfrom fire", "\nfrom __future__ import annotations\nfrom fire").replace(": int}", ": 'int'}")
    load(write(tmp_path, "v002_b.py", lazy))


def test_a_dataclass_in_a_migration_works(tmp_path: Path) -> None:
    """Dataclasses look their module up in `sys.modules`."""
    text = GOOD.replace(
        "from firestore_migrations",
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom firestore_migrations",
    )
    load(write(tmp_path, "v001_a.py", text + "\n\n@dataclass\nclass Plan:\n    name: str\n"))


def test_a_traceback_shows_the_line_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "v001_a.py", GOOD.replace('user["plan"] = "free"', 'raise KeyError("plan")'))
    try:
        load(path).step("users")({}, None)
    except KeyError as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
    assert (frame.filename, frame.lineno, frame.line) == (str(path), 11, 'raise KeyError("plan")')


def test_an_edit_is_seen_at_once(tmp_path: Path) -> None:
    """Python's own import would trust its bytecode: same size, same second."""
    path = write(tmp_path, "v001_a.py")
    before = load(path)
    stamp = path.stat()
    path.write_text(GOOD.replace('"free"', '"lite"'), encoding="utf-8")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    user: dict[str, str] = {}
    after = load(path)
    after.step("users")(user, None)
    assert (user, before.checksum == after.checksum) == ({"plan": "lite"}, False)


def test_loading_again_keeps_one_module_a_file_and_writes_nothing(tmp_path: Path) -> None:
    path, broken = write(tmp_path, "v001_a.py"), write(tmp_path, "v002_b.py", '"""Doc."""\n1 / 0\n')
    before = set(sys.modules)
    for _ in range(3):
        load(path)
        with pytest.raises(CannotLoad):
            load(broken)
    assert set(sys.modules) - before <= {"firestore_migrations_files.v001_a"}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["v001_a.py", "v002_b.py"]


def test_a_file_that_breaks_leaves_the_module_that_worked(tmp_path: Path) -> None:
    path = write(tmp_path, "v001_kept.py")
    load(path)
    module = sys.modules["firestore_migrations_files.v001_kept"]
    path.write_text('"""Doc."""\n1 / 0\n')
    with pytest.raises(CannotLoad):
        load(path)
    assert sys.modules["firestore_migrations_files.v001_kept"] is module


def test_a_file_loads_in_ten_milliseconds(tmp_path: Path) -> None:
    path = write(tmp_path, "v001_a.py", GOOD + "\n\n" + "\n".join(f"CONSTANT_{n} = {{'n': {n}}}" for n in range(50)))

    def once() -> float:
        start = time.perf_counter()
        load(path)
        return time.perf_counter() - start

    assert min(once() for _ in range(10)) < 0.010


def test_discovery_loads_nothing_heavy(tmp_path: Path) -> None:
    write(tmp_path, "v001_a.py")
    program = """if True:
        import pathlib, sys
        before = set(sys.modules)
        from firestore_migrations.authoring.discovery import discover
        assert discover(pathlib.Path(sys.argv[1])).migrations
        print({name.partition(".")[0] for name in set(sys.modules) - before}
              & {"google", "grpc", "pyarrow", "pandas", "rich", "airflow"})
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(firestore_migrations.__file__).parents[1])}
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.stdout.strip(), done.stderr) == ("set()", "")

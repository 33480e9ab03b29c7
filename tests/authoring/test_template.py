"""`new` writes the next migration and its test, ready to read, to lint and to load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from firestore_migrations.authoring.discovery import load
from firestore_migrations.authoring.lint import lint
from firestore_migrations.authoring.template import create
from firestore_migrations.errors import ConfigurationError

ROOT = Path(__file__).parents[2]


def test_the_first_migration_and_its_test_are_written(tmp_path: Path) -> None:
    folder, tests = tmp_path / "migrations", tmp_path / "tests" / "migrations"
    made = create(folder, "add user stats", tests)
    assert made == (folder / "v001_add_user_stats.py", tests / "test_v001_add_user_stats.py")
    assert all(path.is_file() for path in made if path)


def test_a_test_is_written_only_where_it_is_asked_for(tmp_path: Path) -> None:
    assert create(tmp_path, "add user stats", None) == (tmp_path / "v001_add_user_stats.py", None)
    assert [path.name for path in tmp_path.iterdir()] == ["v001_add_user_stats.py"]


@pytest.mark.parametrize(
    ("present", "following"),
    [
        (["v001_a.py", "v007_b.py"], "v008_c.py"),
        (["v099_a.py"], "v100_c.py"),
        (["v999_a.py"], "v1000_c.py"),
        (["v002_Not-well-named.py", "_v009_hidden.py", "v010_notes.md"], "v003_c.py"),
    ],
)
def test_the_number_follows_the_highest_present(tmp_path: Path, present: list[str], following: str) -> None:
    for name in present:
        (tmp_path / name).touch()
    assert create(tmp_path, "c", None)[0].name == following


def test_the_migration_loads_and_passes_the_check(tmp_path: Path) -> None:
    path, _ = create(tmp_path, "add user stats", None)
    migration = load(path)
    assert [(step.name, len(step.checks)) for step in migration.steps] == [("up", 1)]
    assert migration.description.startswith("Add user stats.\n")
    assert lint(path) == []


def test_the_example_is_idempotent_and_passes_its_own_check(tmp_path: Path) -> None:
    up = load(create(tmp_path, "add user stats", None)[0]).step("up")
    document = {"name": "Ada"}
    up(document, None)
    once = dict(document)
    up(document, None)
    up.checks[0](document, None)
    assert document == once == {"name": "Ada", "displayName": "Ada"}


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_what_is_written_passes_ruff(tmp_path: Path, command: list[str]) -> None:
    files = create(tmp_path / "migrations", "a title " * 7 + "long", tmp_path / "tests" / "migrations")
    ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", str(ROOT / "pyproject.toml")]
    done = subprocess.run([*ruff, *map(str, files)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Add user-stats", "v001_add_user_stats.py"),
        ("  migrate_pricing 2024  ", "v001_migrate_pricing_2024.py"),
        ("Move  GDPR flags", "v001_move_gdpr_flags.py"),
    ],
)
def test_a_title_becomes_a_file_name(tmp_path: Path, title: str, name: str) -> None:
    assert create(tmp_path, title, None)[0].name == name


@pytest.mark.parametrize(
    "title",
    [
        "",
        "   ",
        "---",
        "../escape",
        "a/b",
        'quote"',
        "naïve",
        "v004 add stats",
        "v4",
        "2024",
        "x" * 61,
        "a\nb",
        "a.",
    ],
)
def test_an_odd_title_is_refused_and_nothing_written(tmp_path: Path, title: str) -> None:
    with pytest.raises(ConfigurationError, match='firestore-migrations new "add user stats"'):
        create(tmp_path, title, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_ever_written_over(tmp_path: Path) -> None:
    folder, tests = tmp_path / "migrations", tmp_path / "tests"
    tests.mkdir()
    mine = tests / "test_v001_add_user_stats.py"
    mine.write_text("mine")
    with pytest.raises(ConfigurationError) as caught:
        create(folder, "add user stats", tests)
    assert caught.value.facts == {"file": str(mine)}
    assert (mine.read_text(), folder.exists()) == ("mine", False)

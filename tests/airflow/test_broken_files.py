"""One file that cannot be used never hides another, and people are told what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow import settings
from airflow.models.dag import DagModel
from airflow.models.errors import ParseImportError
from sqlalchemy import select

from tests.airflow.deployment import Deployment

GOOD = '"""Does nothing."""\nfrom firestore_migrations import script\n\n@script\ndef up(db):\n    pass\n'
FILES = {
    "v001_good.py": GOOD,
    "v002_syntax.py": '"""A sentence."""\ndef up(:\n',
    "v003_silent.py": GOOD.partition("\n")[2],
    "v004_idle.py": '"""Has no step."""\n',
    "v005_one.py": GOOD,
    "v005_other.py": GOOD,
    "v006_import.py": '"""Imports what is not there."""\nimport nowhere_to_be_found\n',
    "v007_good_too.py": GOOD,
    "NoVersion.py": GOOD,
}
REMEDIES = {
    "v002_syntax.py": "python -m py_compile",
    "v003_silent.py": "in a docstring at the top of the file",
    "v004_idle.py": "@each_document",
    "v005_one.py": "next free number",
    "v005_other.py": "next free number",
    "v006_import.py": "Install what it imports",
    "NoVersion.py": "Rename it",
}
GOOD_DAGS = ["firestore_v001_good", "firestore_v007_good_too"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "migrations"
    made.mkdir()
    for name, text in FILES.items():
        (made / name).write_text(text)
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__MIGRATIONS_FOLDER", str(made))
    return made


def test_broken_files_are_one_import_error_that_ends_with_each_file_and_its_remedy(
    folder: Path, deployment: Deployment
) -> None:
    """At the end, because Airflow's pages cut the beginning of a long traceback."""
    bag = deployment.parse()
    assert sorted(bag.dags) == sorted(["firestore_rehearsal", "firestore_upgrade", *GOOD_DAGS])
    assert [Path(file).name for file in bag.import_errors] == ["broken_migrations.py"]
    (text,) = bag.import_errors.values()
    last = text.rstrip().splitlines()[-len(REMEDIES) :]
    for line, (name, remedy) in zip(last, REMEDIES.items(), strict=True):
        assert name in line
        assert remedy in line


def test_one_broken_file_is_named_without_a_list(folder: Path, deployment: Deployment) -> None:
    for name in REMEDIES:
        if name != "v004_idle.py":
            (folder / name).unlink()
    (text,) = deployment.parse().import_errors.values()
    assert text.rstrip().splitlines()[-1].startswith(f"firestore_migrations.errors.NoStep: {folder}/v004_idle.py")


def test_the_dag_processor_keeps_the_good_dags_in_sight_beside_broken_files(
    folder: Path, api: Any, airflow: Callable[..., str]
) -> None:
    airflow("dag-processor", "--num-runs", "1")
    assert _states(GOOD_DAGS) == dict.fromkeys(GOOD_DAGS, (False, False))
    errors = api.get("/api/v2/importErrors").json()["import_errors"]
    assert [error["filename"] for error in errors] == ["broken_migrations.py"]
    assert all(name in errors[0]["stack_trace"] for name in REMEDIES)

    for name in REMEDIES:
        (folder / name).unlink()
    Deployment(api).parse()
    assert settings.Session().scalars(select(ParseImportError)).all() == []
    assert _states(GOOD_DAGS) == dict.fromkeys(GOOD_DAGS, (False, False))


def test_a_missing_folder_is_one_import_error_that_says_where_it_was_looked_for(
    folder: Path, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = folder / "nowhere"
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__MIGRATIONS_FOLDER", str(missing))
    errors = deployment.parse().import_errors
    (text,) = errors.values()
    assert f"ConfigurationError: There is no folder of migrations at {missing}." in text.rstrip().splitlines()[-1]


def _states(dag_ids: list[str]) -> dict[str, tuple[bool, bool]]:
    """Of each DAG: is it stale, and does it have import errors?"""
    rows = settings.Session().scalars(select(DagModel).where(DagModel.dag_id.in_(dag_ids)))
    return {row.dag_id: (row.is_stale, row.has_import_errors) for row in rows}

"""The two ways to deploy it: as an installed package, and by dropping its folders into Airflow's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

from firestore_migrations.emulator import Emulator

ROOT = Path(__file__).parents[2]
SITE = Path(sysconfig.get_paths()["purelib"])
_LOOK = """
import json, sys
from airflow.plugins_manager import _get_plugins
from airflow.providers_manager import ProvidersManager
from airflow.dag_processing.dagbag import DagBag
plugins, errors = _get_plugins()
bag = DagBag(sys.argv[1])
state = None
if len(sys.argv) > 2:
    dag = next(dag for name, dag in bag.dags.items() if sys.argv[2] in name)
    state = dag.test(run_conf={"mode": "dry_run"}).state
classes = {id(c) for m in list(sys.modules.values()) if (c := getattr(m, "FirestoreMigrationsError", None))}
import firestore_migrations
print(json.dumps({
    "plugins": [plugin.name for plugin in plugins if plugin.name.startswith("firestore")],
    "plugin_errors": errors,
    "dags": sorted(bag.dags),
    "import_errors": bag.import_errors,
    "is_provider": "firestore-migrations" in ProvidersManager().providers,
    "state": state,
    "from": firestore_migrations.__file__,
    "classes": len(classes),
}))
"""
DAG_IDS = ["firestore_rehearsal", "firestore_upgrade"]
DAG_IDS += [f"firestore_{path.stem}" for path in sorted((ROOT / "migrations").glob("v*.py"))]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that is installed here but this package: what Airflow has where nobody installed it."""
    folder = tmp_path_factory.mktemp("site")
    for path in SITE.iterdir():
        if "firestore_migrations" not in path.name:
            (folder / path.name).symlink_to(path)
    return folder


def _look(*arguments: str, path: list[Path], **environment: str) -> dict[str, Any]:
    """What an Airflow with exactly these folders on its path sees. `-S` keeps the venv's own out."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", _LOOK, str(ROOT / "dags"), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


def test_the_wheel_holds_the_package_whole_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = (archive.read(name).decode() for name in names if name.endswith("/entry_points.txt"))
    package = ROOT / "plugins"
    files = {
        path.relative_to(package).as_posix()
        for path in (package / "firestore_migrations").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == files
    assert "firestore_migrations/py.typed" in files
    for entry in (
        "firestore-migrations = firestore_migrations.cli:main",
        "provider_info = firestore_migrations.provider_info:get_provider_info",
        "firestore_migrations = firestore_migrations.plugin:FirestoreMigrationsPlugin",
    ):
        assert entry in entry_points


def test_an_installed_wheel_is_a_provider_and_a_plugin(
    airflow_home: Path, wheel: Path, bare: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    seen = _look(path=[tmp_path, bare])
    assert Path(seen["from"]).is_relative_to(tmp_path)
    assert (seen["plugins"], seen["plugin_errors"], seen["is_provider"]) == (["firestore_migrations"], {}, True)
    assert (seen["dags"], seen["import_errors"]) == (DAG_IDS, {})


def test_dropped_into_the_plugins_folder_it_runs_without_being_installed(
    airflow_home: Path, bare: Path, emulator: Emulator, project: str, tmp_path: Path
) -> None:
    extra = {"project": project, "emulator_host": emulator.host, "storage": f"file://{tmp_path}"}
    seen = _look(
        "v001",
        path=[bare],
        AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
        AIRFLOW_CONN_FIRESTORE_DEFAULT=json.dumps({"conn_type": "firestore", "extra": extra}),
    )
    assert (seen["plugins"], seen["plugin_errors"], seen["is_provider"]) == (["firestore_migrations"], {}, False)
    assert (seen["dags"], seen["import_errors"]) == (DAG_IDS, {})
    assert (seen["state"], seen["classes"]) == ("success", 1)


def test_installed_and_dropped_at_once_it_is_one_plugin_and_every_class_exists_once(
    airflow_home: Path, wheel: Path, bare: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    seen = _look(path=[tmp_path, bare], AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"))
    assert (seen["plugins"], seen["plugin_errors"], seen["is_provider"]) == (["firestore_migrations"], {}, True)
    assert (seen["dags"], seen["import_errors"], seen["classes"]) == (DAG_IDS, {}, 1)

"""How long Airflow's DAG processor takes for two hundred migrations: the DAGs alone, Airflow itself being there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.table import Promise

_MIGRATIONS = 200
_DAGS = Path(__file__).parent.parent / "dags" / "migration_dags.py"
_FILE = '''"""Change two fields, in version {number}."""

from firestore_migrations import Database, Document, each_document


@each_document("users")
def up(user: Document, db: Database) -> None:
    """Change them."""
    if user.get("tier") == "tier{number}":
        user["tier"] = "growth"
        user["visits"] = 0


@up.verify
def is_changed(user: Document, db: Database) -> None:
    """They are changed."""
    assert user.get("tier") != "tier{number}"
'''
_PARSE = """
import json, runpy, sys, time
from airflow.sdk import DAG
began = time.perf_counter()
found = runpy.run_path(sys.argv[1])
seconds = time.perf_counter() - began
dags = sum(isinstance(one, DAG) for one in found.values())
heavy = [name for name in ("grpc", "pyarrow", "google.protobuf", "google.cloud.firestore") if name in sys.modules]
print(json.dumps({"seconds": seconds, "dags": dags, "heavy": heavy}))
"""


def measure() -> dict[str, object]:
    """Seconds, how many DAGs came of it, and which heavy modules were loaded for it."""
    with tempfile.TemporaryDirectory() as folder:
        migrations = Path(folder) / "migrations"
        migrations.mkdir()
        for number in range(1, _MIGRATIONS + 1):
            (migrations / f"v{number:03d}_change_{number}.py").write_text(_FILE.format(number=number))
        environment = {
            **os.environ,
            "AIRFLOW_HOME": folder,
            "AIRFLOW__FIRESTORE_MIGRATIONS__MIGRATIONS_FOLDER": str(migrations),
        }
        command = [sys.executable, "-W", "ignore", "-c", _PARSE, str(_DAGS)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    told: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def show(told: dict[str, object]) -> None:
    """Print what it took, and what became of the promise."""
    print(f"\nParsing {_MIGRATIONS} migrations: {told['dags']} DAGs, heavy modules loaded: {told['heavy'] or 'none'}")
    print(promise(told).line())


def promise(told: dict[str, object]) -> Promise:
    """That it is done within two seconds."""
    return Promise(f"seconds for {_MIGRATIONS} migrations", float(str(told["seconds"])), 2, is_most=True)

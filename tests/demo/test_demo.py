import os
import subprocess
import sys

import pytest

from demo.airflow_home import PROJECT


@pytest.fixture
def run_demo(tmp_path):
    def run(**environment):
        return subprocess.run(
            [sys.executable, "-m", "demo.run", "--scale", "0.05", "--home", str(tmp_path / "home")],
            cwd=PROJECT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


def test_the_demo_applies_three_versions_and_takes_the_last_one_back_to_the_bit(run_demo, tmp_path):
    done = run_demo()
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    parts = [
        "Recoup's data: 256 users",
        "Apply v001 add_user_stats",
        "DAG firestore_v001_add_user_stats, direction up: verified",
        "created   user_stats/",
        "Price:",
        "Apply v002 migrate_pricing",
        "'growth'",
        "Apply v003 add_escalation_stage",
        "escalationStage",
        "The audit trail",
        "Events of the last run of v003",
        "Roll back v003 add_escalation_stage",
        "rolled_back",
        "Byte for byte, the data is what it was before v003",
        "make up",
    ]
    places = [done.stdout.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)
    assert done.stdout.count(" equal") == 4
    assert "DIFFERENT" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert (tmp_path / "home/airflow.log").stat().st_size > 0


def test_the_demo_says_what_is_missing_and_where_the_log_is(run_demo, tmp_path):
    done = run_demo(FIRESTORE_EMULATOR_HOST="127.0.0.1:1")
    assert done.returncode == 1
    assert "no emulator answers there" in done.stdout
    assert str(tmp_path / "home/airflow.log") in done.stdout.replace("\n", "")

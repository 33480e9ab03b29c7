import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import httpx
import psutil
import pytest

from demo.airflow_api import AirflowApi
from demo.airflow_home import PROJECT
from demo.recoup import fingerprint

DAG = "firestore_v001_add_user_stats"


class Up:
    """`python -m demo.up`, and what it has printed."""

    def __init__(self, home):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "demo.up", "--scale", "0.02", "--port", "18080", "--home", str(home)],
            cwd=PROJECT,
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.printed = ""
        self.reading = threading.Thread(target=self._read, daemon=True)
        self.reading.start()

    def wait_for(self, pattern, seconds=240):
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.printed)):
            assert time.monotonic() < deadline, self.printed
            assert self.process.poll() is None, self.printed
            time.sleep(0.2)
        return found[1]

    def _read(self):
        for line in self.process.stdout:
            self.printed += line


def is_alive(process):
    """A zombie has ended; init takes its time to take note of that."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def addresses_of(process):
    """On which it listens; on none where it has ended, as the processes of tasks do at any time."""
    with suppress(psutil.NoSuchProcess):
        return {found.laddr.ip for found in process.net_connections("tcp") if found.status == psutil.CONN_LISTEN}
    return set()


def run_to_its_end(api):
    run = api.request("POST", f"/dags/{DAG}/dagRuns", json={"logical_date": None})
    deadline = time.monotonic() + 180
    while run["state"] not in ("success", "failed") and time.monotonic() < deadline:
        time.sleep(1)
        run = api.request("GET", f"/dags/{DAG}/dagRuns/{run['dag_run_id']}")
    return run["state"]


@pytest.fixture
def up(tmp_path):
    started = Up(tmp_path / "home")
    yield started
    if started.process.poll() is None:
        started.process.send_signal(signal.SIGINT)
    started.process.wait(60)
    started.reading.join()
    started.process.stdout.close()


def test_a_run_with_the_forms_defaults_ends_green_a_viewer_is_refused_and_ctrl_c_leaves_nothing(up, tmp_path):
    up.wait_for(r"(Ctrl-C) ends everything")
    url, emulator = up.wait_for(r"(http://127\.0\.0\.1:\d+)"), up.wait_for(r"emulator: (\S+)")
    assert (tmp_path / "home/passwords.json").stat().st_mode & 0o777 == 0o600
    with (
        AirflowApi(url, "viewer", up.wait_for(r"viewer +(\S+)")) as viewer,
        pytest.raises(httpx.HTTPStatusError) as refusal,
    ):
        viewer.request("POST", f"/dags/{DAG}/dagRuns", json={"logical_date": None})
    assert refusal.value.response.status_code == httpx.codes.FORBIDDEN
    with AirflowApi(url, "admin", up.wait_for(r"admin +(\S+)")) as admin:
        assert run_to_its_end(admin) == "success"
    assert "user_stats" in fingerprint(emulator, "demo-recoup")

    family = psutil.Process(up.process.pid).children(recursive=True)
    assert len(family) > 5
    listening = {address for process in family for address in addresses_of(process)}
    assert listening
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}

    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(60) == 0
    assert [process for process in family if is_alive(process)] == []

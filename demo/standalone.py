"""Airflow's four processes on this machine, as `airflow standalone` runs them, but closed to every other machine.

`airflow standalone` itself cannot be had that way: its scheduler and its triggerer serve logs on all interfaces (ports
8793 and 8794), and no setting says otherwise. Here they serve none; the API server reads logs from the disk they share.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

import psutil

from demo.airflow_home import AirflowHome
from firestore_migrations.errors import ConfigurationError

if TYPE_CHECKING:
    from typing_extensions import Self

_COMMANDS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
_GRACE_SECONDS = 15


class Standalone:
    """The processes; they run within the `with` block, and nothing of them is left after it.

    Each leads a session of its own, so that Ctrl-C in the terminal reaches us alone, and that whatever it starts, in
    whichever process group, is known by the session.

    Args:
        home: configured, with a database.
    """

    def __init__(self, home: AirflowHome) -> None:
        self._home = home
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            with self._home.log.open("ab") as log:
                for name, command in _COMMANDS.items():
                    self._processes[name] = subprocess.Popen(
                        [sys.executable, "-m", "airflow", *command],
                        env=self._home.environment(),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Raise if a process has ended.

        Raises:
            ConfigurationError: naming it, and where its log is.
        """
        for name, process in self._processes.items():
            status = process.poll()
            if status is not None:
                raise ConfigurationError(
                    f"Airflow's {name} ended with status {status}.", f"See why at the end of {self._home.log}."
                )

    def stop(self) -> None:
        """End the processes, and theirs: asked first, killed after a while. Safe to call again."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline and self._left():
            time.sleep(0.1)
        while left := self._left():
            for pid in left:
                _kill(pid)
            time.sleep(0.1)

    def _left(self) -> list[int]:
        """Living processes of our sessions."""
        for process in self._processes.values():
            process.poll()  # or it would stay as a zombie
        leaders = {process.pid for process in self._processes.values()}
        return [process.pid for process in psutil.process_iter() if _is_of(process, leaders)]


def _is_of(process: psutil.Process, leaders: set[int]) -> bool:
    try:
        return os.getsid(process.pid) in leaders and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return False  # it has ended meanwhile


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return

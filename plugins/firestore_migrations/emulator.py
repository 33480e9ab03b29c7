"""Finds Google's Firestore emulator on this machine and starts it.

`python -m firestore_migrations.emulator` runs it in the foreground until Ctrl-C.

The Java program is started directly, never through `gcloud`, which when ended leaves it behind with its port.
What is started here ends with the process that started it.
"""

from __future__ import annotations

import argparse
import atexit
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from firestore_migrations.errors import ConfigurationError, EmulatorMissing

if TYPE_CHECKING:
    from typing_extensions import Self

HOST_VARIABLE = "FIRESTORE_EMULATOR_HOST"
IMAGE = "gcr.io/google.com/cloudsdktool/google-cloud-cli:emulators"
_MAIN_CLASS = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
_READY_SECONDS = 60
_STOP_SECONDS = 10

# Asks for the signal, sees that the parent has not ended meanwhile, becomes the command. Not a preexec_fn:
# that runs Python between fork and exec, which may hang where there are threads, and gRPC has threads.
_ASK_AND_EXEC = """\
import ctypes, os, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(sys.argv[1]))
if os.getppid() == int(sys.argv[2]):
    os.execv(sys.argv[3], sys.argv[3:])
"""

_WAYS = f"""
Get one in any of these ways, then try again:
  gcloud    gcloud components install cloud-firestore-emulator
            (installed from Debian packages: sudo apt-get install google-cloud-cli-firestore-emulator)
  firebase  npm install --global firebase-tools && firebase setup:emulators:firestore
  docker    docker pull {IMAGE}
The first two need Java: sudo apt-get install default-jre-headless
Or start one yourself and name it: export {HOST_VARIABLE}=127.0.0.1:8080"""


@dataclass(frozen=True)
class Installation:
    """One way to run the emulator on this machine.

    Attributes:
        kind: `running` (somebody else's), `gcloud`, `firebase` or `docker`.
        place: host and port, path of the jar, or image.
        program: the `java` or `docker` that runs it; empty for one that runs already.
    """

    kind: str
    place: str
    program: str = ""

    def command(self, port: int, websocket_port: int, heap: str) -> list[str]:
        """The command line that serves the emulator on 127.0.0.1:`port`, in the foreground."""
        if self.kind == "docker":
            serve = ["gcloud", "emulators", "firestore", "start", "--host-port=0.0.0.0:8080"]
            publish = f"--publish=127.0.0.1:{port}:8080"
            memory = f"--env=JAVA_TOOL_OPTIONS=-Xmx{heap}"
            return [self.program, "run", "--rm", "--init", publish, memory, self.place, *serve]
        java = [self.program, "-Duser.language=en", f"-Xmx{heap}", "-cp", self.place, _MAIN_CLASS]
        return [*java, "--host=127.0.0.1", f"--port={port}", f"--websocket_port={websocket_port}"]


class Emulator:
    """A Firestore emulator that answers; leaving its `with` block stops it, if it was started here.

    Attributes:
        host: `127.0.0.1:PORT`, what the official clients want in FIRESTORE_EMULATOR_HOST.
        pid: the process that was started here; None where somebody else runs it.
    """

    def __init__(self, host: str, process: subprocess.Popen[bytes] | None = None) -> None:
        self.host = host
        self._process = process
        self.pid = process.pid if process else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the emulator and its data. Does nothing to somebody else's; safe to call again."""
        if self._process is not None:
            _end(self._process)

    def wait(self) -> None:
        """Block until the emulator ends. Returns at once for somebody else's."""
        if self._process is not None:
            self._process.wait()

    def reset(self) -> None:
        """Delete the data of every project, also where somebody else runs the emulator."""
        if _answer(self.host, "POST", "/reset") != 200:
            raise ConfigurationError(f"The emulator at {self.host} did not reset.", "Is it still running?")


def find() -> Installation:
    """Look for an emulator: one that runs, gcloud's, the firebase CLI's, docker's. Starts nothing.

    Raises:
        ConfigurationError: FIRESTORE_EMULATOR_HOST names an emulator that does not answer.
        EmulatorMissing: there is none, or Java is missing or too old for those there are.
    """
    host = os.environ.get(HOST_VARIABLE)
    if not host:
        return _find_installed()
    if _answer(host, "GET", "/") != 200:
        raise ConfigurationError(
            f"{HOST_VARIABLE} is {host!r}, but no emulator answers there.",
            f"Start it, or run `unset {HOST_VARIABLE}` to have one started for you.",
        )
    return Installation("running", host)


def start(port: int | None = None, log: Path | None = None, heap: str = "2g") -> Emulator:
    """Start an emulator on 127.0.0.1 and wait until it answers, or use the one FIRESTORE_EMULATOR_HOST names.

    It ends with this process, however this process ends (elsewhere than on Linux: unless this one is killed).

    Args:
        port: where it shall listen; asks for an emulator of one's own. By default a free port.
        log: file that its output is appended to. By default its end is shown if the start fails.
        heap: Java's heap. 2g holds about 300,000 documents of 1 KB; every version of a document counts.

    Raises:
        EmulatorMissing: there is none on this machine.
        ConfigurationError: the port is taken, it did not start, or the one that was named does not answer.
    """
    found = find() if port is None else _find_installed()
    if found.kind == "running":
        return Emulator(found.place)
    if port is not None and not _is_free(port):
        raise ConfigurationError(
            f"Port {port} is taken by another program, perhaps by an emulator that was left behind.",
            f"Choose another port, or see who has it: lsof -i :{port}",
        )
    # Another program may take a free port between the choice and the start; then choose once more.
    if port is None:
        with suppress(ConfigurationError):
            return _launch(found, *_free_ports(), log, heap)
    chosen, websocket_port = _free_ports()
    return _launch(found, port or chosen, websocket_port, log, heap)


def _launch(found: Installation, port: int, websocket_port: int, log: Path | None, heap: str) -> Emulator:
    host = f"127.0.0.1:{port}"
    with log.open("a+b") if log else tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603 - the programs that were found, by full path
            [*_dies_with_parent(found), *found.command(port, websocket_port, heap)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is for us; we end it in our own time
        )
        atexit.register(_end, process)
        deadline = time.monotonic() + _READY_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            # An answer alone proves nothing: another emulator may hold the port while ours fails to take it.
            if _answer(host, "GET", "/") == 200 and process.poll() is None:
                return Emulator(host, process)
            time.sleep(0.05)
        ended = process.poll()
        _end(process)
        state = f"gave no answer in {_READY_SECONDS} s" if ended is None else f"ended with status {ended}"
        raise ConfigurationError(
            f"The emulator ({found.kind}, {found.place}) {state}. It last said:\n{_tail(output)}\n",
            "Is the port free, and does the image or the jar run by hand?",
        )


def _dies_with_parent(found: Installation) -> list[str]:
    """The command before the command, by which Linux ends it when this process ends; nothing elsewhere."""
    # Linux counts the end of the *thread* that started it: only the main thread lasts as long as the process.
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return []
    # `docker run` hands SIGTERM on to its container; in Java there is nothing to save.
    number = signal.SIGTERM if found.kind == "docker" else signal.SIGKILL
    return [sys.executable, "-I", "-S", "-c", _ASK_AND_EXEC, str(int(number)), str(os.getpid())]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _find_installed() -> Installation:
    why_not: list[str] = []
    for kind, jar in _jars():
        java = _java()
        needed, have = _java_needed(jar), _java_version(java) if java else 0
        if java and have >= needed:
            return Installation(kind, str(jar), java)
        problem = f"that Java is version {have} ({java})" if have else "there is no Java that runs"
        why_not.append(f"{jar} needs Java {needed} or later, but {problem}.")
    docker = shutil.which("docker")
    if docker and _runs([docker, "info"]) is not None:
        return Installation("docker", IMAGE, docker)
    raise EmulatorMissing(" ".join(["No Firestore emulator was found on this machine.", *why_not]), _WAYS)


def _jars() -> Iterator[tuple[str, Path]]:
    roots = [Path("/usr/lib/google-cloud-sdk"), Path.home() / "google-cloud-sdk"]
    if gcloud := shutil.which("gcloud"):
        roots.insert(0, Path(gcloud).resolve().parent.parent)
    if root := os.environ.get("CLOUDSDK_ROOT_DIR"):
        roots.insert(0, Path(root))
    for folder in dict.fromkeys(roots):
        jar = folder / "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"
        if jar.is_file():
            yield "gcloud", jar
    cached = Path.home().glob(".cache/firebase/emulators/cloud-firestore-emulator-v*.jar")
    for jar in sorted(cached, key=lambda path: [int(n) for n in re.findall(r"\d+", path.stem)], reverse=True):
        yield "firebase", jar


def _java() -> str | None:
    home = os.environ.get("JAVA_HOME")
    return (shutil.which("java", path=str(Path(home, "bin"))) if home else None) or shutil.which("java")


def _java_version(java: str) -> int:
    """Its major version; 0 where it does not run (the `java` of macOS only says where to get one)."""
    said = re.search(r'version "(?:1\.)?(\d+)', _runs([java, "-version"]) or "")
    return int(said[1]) if said else 0


def _java_needed(jar: Path) -> int:
    """The major version that the jar was compiled for: bytes 6 and 7 of a class file, less 44."""
    with zipfile.ZipFile(jar) as classes, classes.open(_MAIN_CLASS.replace(".", "/") + ".class") as main:
        return int.from_bytes(main.read(8)[6:8], "big") - 44


def _runs(command: list[str]) -> str | None:
    """What the command prints, or None if it fails or hangs."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(  # noqa: S603 - ours, by full path
            command, capture_output=True, text=True, timeout=20, check=False
        )
        return done.stdout + done.stderr if done.returncode == 0 else None
    return None


def _answer(host: str, method: str, path: str) -> int:
    """The HTTP status that the emulator answers with; 0 where nobody does. Proxies are not asked."""
    with suppress(OSError, HTTPException), closing(HTTPConnection(host, timeout=20)) as connection:
        connection.request(method, path)
        return connection.getresponse().status
    return 0


def _free_ports() -> tuple[int, int]:
    # Both are held until both are known, so that they differ.
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


def _is_free(port: int) -> bool:
    with suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


def _tail(output: BinaryIO) -> str:
    output.seek(0)
    return b"\n".join(output.read().splitlines()[-15:]).decode(errors="replace")


def main() -> None:
    """Run an emulator in the foreground until Ctrl-C, and print how to reach it."""
    parser = argparse.ArgumentParser(prog="python -m firestore_migrations.emulator", description=main.__doc__)
    parser.add_argument("--port", type=int, help="where to listen; by default a free port")
    parser.add_argument("--log", type=Path, help="append the emulator's output to this file")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job is born ignoring SIGINT
        signal.signal(number, signal.default_int_handler)
    try:
        with start(arguments.port, arguments.log) as emulator:
            sys.stdout.write(f"export {HOST_VARIABLE}={emulator.host}\n")
            sys.stdout.flush()
            emulator.wait()
    except (ConfigurationError, KeyboardInterrupt) as ended:
        sys.exit(str(ended) or 0)


if __name__ == "__main__":
    main()

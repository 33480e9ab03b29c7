from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from firestore_migrations.emulator import HOST_VARIABLE, Emulator, _answer, _jars, find, start
from firestore_migrations.errors import ConfigurationError, EmulatorMissing


def _port(emulator: Emulator) -> int:
    return int(emulator.host.rpartition(":")[2])


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan in a container without an init stays as a zombie: ended, but never collected.
    ps = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "Z" not in ps.stdout


def _wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 15
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not _is_alive(pid)


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with nothing on PATH and an empty home; what /usr/lib holds it keeps."""
    for name in (HOST_VARIABLE, "CLOUDSDK_ROOT_DIR", "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def _jar(path: Path, *, java: int) -> Path:
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as classes:
        header = b"\xca\xfe\xba\xbe\x00\x00" + (java + 44).to_bytes(2, "big")
        classes.writestr("com/google/cloud/datastore/emulator/firestore/CloudFirestore.class", header)
    return path


def test_stopping_leaves_no_process_and_frees_the_port(tmp_path: Path) -> None:
    with start(log=tmp_path / "emulator.log", heap="256m") as emulator:
        answered = _answer(emulator.host, "GET", "/")
    emulator.stop()

    assert answered == 200
    assert emulator.pid is not None
    assert not _is_alive(emulator.pid)
    socket.create_server(("127.0.0.1", _port(emulator))).close()
    assert "Dev App Server" in (tmp_path / "emulator.log").read_text()


def test_a_port_that_an_older_emulator_still_holds_is_refused(emulator: Emulator) -> None:
    with pytest.raises(ConfigurationError, match=f"Port {_port(emulator)} is taken by another program"):
        start(port=_port(emulator))


def test_an_emulator_that_runs_already_is_used_and_left_running(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOST_VARIABLE, emulator.host)
    with start() as same:
        assert (same.host, same.pid) == (emulator.host, None)
    assert _answer(emulator.host, "GET", "/") == 200


def test_a_named_emulator_that_does_not_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv(HOST_VARIABLE, host)
    with pytest.raises(ConfigurationError, match=f"{host}.*no emulator answers there.*unset {HOST_VARIABLE}"):
        start()


def test_without_an_emulator_the_error_lists_every_way_to_get_one(bare_machine: Path) -> None:
    with pytest.raises(EmulatorMissing) as missing:
        find()
    told = str(missing.value)
    ways = (
        "gcloud components install",
        "firebase setup:emulators:firestore",
        "docker pull",
        "default-jre-headless",
    )
    assert [way for way in ways if way not in told] == []


def test_a_java_that_is_too_old_is_named(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = "sdk/platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"
    jar = _jar(bare_machine / folder, java=21)
    java = bare_machine / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_292\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("CLOUDSDK_ROOT_DIR", str(bare_machine / "sdk"))
    with pytest.raises(EmulatorMissing) as missing:
        find()
    assert f"{jar} needs Java 21 or later, but that Java is version 8 ({java})." in str(missing.value)


def test_the_newest_of_the_firebase_jars_comes_first(bare_machine: Path) -> None:
    cache = bare_machine / ".cache/firebase/emulators"
    cache.mkdir(parents=True)
    for version in ("1.9.2", "1.19.10", "1.19.8"):
        (cache / f"cloud-firestore-emulator-v{version}.jar").touch()
    versions = [jar.stem.rpartition("-v")[2] for kind, jar in _jars() if kind == "firebase"]
    assert versions == ["1.19.10", "1.19.8", "1.9.2"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_emulator_ends_with_the_process_that_started_it(number: signal.Signals) -> None:
    program = """if True:
        import time
        from firestore_migrations.emulator import start
        print(start().pid, flush=True)
        time.sleep(99)
    """
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline()) if parent.stdout else 0
        parent.send_signal(number)
    assert _wait_until_gone(pid)


def test_the_command_runs_it_until_interrupted() -> None:
    command = [sys.executable, "-m", "firestore_migrations.emulator"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        line = program.stdout.readline() if program.stdout else ""
        host = line.removeprefix(f"export {HOST_VARIABLE}=").strip()
        answered = _answer(host, "GET", "/")
        program.send_signal(signal.SIGINT)
    assert (answered, program.returncode, _answer(host, "GET", "/")) == (200, 0, 0)

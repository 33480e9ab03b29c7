"""Connections that lead to no target: each is one clear error of a command and of a task, within seconds."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from firestore_migrations.emulator import HOST_VARIABLE
from firestore_migrations.errors import ConfigurationError, StorageError, Unavailable
from firestore_migrations.firestore.connection import Address
from firestore_migrations.firestore.reach import refuse_unreachable
from tests.bad_input.clear import assert_failed, assert_says, nothing_written, refused
from tests.bad_input.conftest import Perform, extra_of
from tests.bad_input.test_files import GOOD
from tests.cli.conftest import Terminal
from tests.runs.world import World

pytestmark = pytest.mark.usefixtures("airflow_home")

LEFT_OUT = None

FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "no project": ({"project": LEFT_OUT}, "names no project"),
    "an empty project": ({"project": ""}, "names no project"),
    "a project's name": ({"project": "My Project"}, "project"),
    "a project's resource name": ({"project": "projects/demo"}, "project"),
    "a project that climbs": ({"project": "../../etc"}, "project"),
    "a project of dots": ({"project": ".."}, "project"),
    "a project that is a list": ({"project": ["demo"]}, "project"),
    "a project with a line break": ({"project": "demo\n"}, "project"),
    "a database in capitals": ({"database": "EU"}, "database"),
    "a database that climbs": ({"database": "../other"}, "database"),
    "a database's resource name": ({"database": "projects/p/databases/eu"}, "database"),
    "a database of 64 letters": ({"database": "d" * 64}, "database"),
    "a database that is a number": ({"database": 1.5}, "database"),
    "(Default)": ({"database": "(Default)"}, "database"),
    "a host without a port": ({"emulator_host": "127.0.0.1"}, "host:port"),
    "a host with a scheme": ({"emulator_host": "http://127.0.0.1:8080"}, "host:port"),
    "a host with a path": ({"emulator_host": "127.0.0.1:8080/v1"}, "host:port"),
    "a port that is a word": ({"emulator_host": "127.0.0.1:http"}, "host:port"),
    "a port of 99999": ({"emulator_host": "127.0.0.1:99999"}, "host:port"),
    "port 0": ({"emulator_host": "127.0.0.1:0"}, "host:port"),
    "a port alone": ({"emulator_host": 8080}, "host:port"),
    "two hosts": ({"emulator_host": "127.0.0.1:1,127.0.0.1:2"}, "host:port"),
    "a host that is a list": ({"emulator_host": ["127.0.0.1:8080"]}, "host:port"),
    "environment prod": ({"environment": "prod"}, "environment"),
    "environment Production": ({"environment": "Production"}, "environment"),
    "environment as a list": ({"environment": ["staging"]}, "environment"),
    "samples all": ({"samples": "all"}, "samples"),
    "samples true": ({"samples": True}, "samples"),
    "samples as a dict": ({"samples": {"users": "none"}}, "samples"),
    "a rate in words": ({"writes_per_second": "fast"}, "writes_per_second"),
    "a negative rate": ({"writes_per_second": -1}, "writes_per_second"),
    "a rate that is no number": ({"writes_per_second": "nan"}, "writes_per_second"),
    "an endless rate": ({"writes_per_second": "inf"}, "writes_per_second"),
    "a rate of true": ({"writes_per_second": True}, "writes_per_second"),
    "a rate as a list": ({"writes_per_second": [5]}, "writes_per_second"),
    "storage in a relative folder": ({"storage": "snapshots"}, "storage"),
    "storage at home": ({"storage": "~/snapshots"}, "storage"),
    "storage of an unknown scheme": ({"storage": "nowhere://bucket/x"}, "storage"),
    "storage without a scheme": ({"storage": "://bucket"}, "storage"),
    "storage as a number": ({"storage": 5}, "storage"),
    "planner as a number": ({"planner_impersonation_chain": 5}, "planner_impersonation_chain"),
    "planner as a dict": ({"planner_impersonation_chain": {"a": "b@c"}}, "planner_impersonation_chain"),
    "planner without a domain": ({"planner_impersonation_chain": "planner"}, "planner_impersonation_chain"),
    "planner with a comma too many": ({"planner_impersonation_chain": "a@b.c,,d@e.f"}, "planner_impersonation_chain"),
    "chain with a number in it": ({"impersonation_chain": ["a@b.c", 5]}, "impersonation_chain"),
    "chain of a resource name": ({"impersonation_chain": "projects/-/serviceAccounts/a"}, "impersonation_chain"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_cannot_be_is_named(
    terminal: Terminal, world: World, connect: Callable[..., None], perform: Perform, name: str
) -> None:
    fields, said = FIELDS[name]
    connect(**{field: value for field, value in {**extra_of(world), **fields}.items() if value is not LEFT_OUT})
    terminal.write("v001_good.py", GOOD)
    with nothing_written(world):
        for command in (["status"], ["run", "v001"]):
            typed = terminal.type(*command, "--output", "json")
            assert_failed(typed, 2, ConfigurationError, "firestore_default", said)
        assert_says(perform("preflight"), "ConfigurationError: ", "firestore_default", said)


CONNECTIONS: dict[str, tuple[str | None, str]] = {
    "none": (None, "There is no connection 'elsewhere'"),
    "another type": ('{"conn_type": "google_cloud_platform"}', "is of type 'google_cloud_platform'"),
    "another type as a URL": ("postgres://user:do-not-tell@host/db", "is of type 'postgres'"),
    "no type": ('{"extra": {"project": "demo"}}', "elsewhere"),
    "half JSON": ('{"conn_type": "firestore", "password": "do-not-tell"', "elsewhere"),
    "a list": ('["do-not-tell"]', "elsewhere"),
    "no URL": ("do-not-tell", "elsewhere"),
    "an extra that is no JSON": ('{"conn_type": "firestore", "extra": "do-not-tell"}', "elsewhere"),
    "an extra that is a list": ('{"conn_type": "firestore", "extra": ["do-not-tell"]}', "elsewhere"),
    "an unknown member": ('{"conn_type": "firestore", "project": "do-not-tell"}', "elsewhere"),
    "nothing": ("", "There is no connection 'elsewhere'"),
}


@pytest.mark.parametrize("name", CONNECTIONS)
def test_a_connection_that_is_none_is_named_and_nothing_of_it_is_told(
    terminal: Terminal, world: World, monkeypatch: pytest.MonkeyPatch, perform: Perform, name: str
) -> None:
    text, said = CONNECTIONS[name]
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    if text is not None:
        monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", text)
    terminal.write("v001_good.py", GOOD)
    with nothing_written(world):
        typed = terminal.type("status", "--target", "elsewhere", "--output", "json")
        failed = perform("preflight", target="elsewhere")
    assert_failed(typed, 2, ConfigurationError, said)
    assert_says(failed, "ConfigurationError: ", said)
    assert "do-not-tell" not in typed.out + typed.err + failed


@pytest.mark.parametrize("target", ["", " ", "a b", "../firestore_default", "firestore_default\n", "x" * 300, "\x00"])
def test_a_connections_id_that_is_none_is_never_taken_for_the_default(
    terminal: Terminal, world: World, target: str
) -> None:
    terminal.write("v001_good.py", GOOD)
    with nothing_written(world):
        for command in (["status"], ["run", "v001"]):
            typed = terminal.type(*command, "--target", target, "--output", "json")
            assert_failed(typed, 2, ConfigurationError, "connection", "airflow connections add")


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A host that takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """A host where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_host_that_never_says_a_word_is_named_within_seconds(
    terminal: Terminal, world: World, connect: Callable[..., None], perform: Perform, black_hole: str
) -> None:
    connect(**{**extra_of(world), "emulator_host": black_hole})
    terminal.write("v001_good.py", GOOD)
    began = time.monotonic()
    with nothing_written(world):
        typed = terminal.type("run", "v001", "--output", "json")
        failed = perform("preflight")
    assert_failed(typed, 1, Unavailable, black_hole, "did not answer within 5 seconds", "emulator_host")
    assert_says(failed, "Unavailable: ", black_hole)
    assert time.monotonic() - began < 20


def test_hosts_where_nothing_listens_are_named(nobody: str) -> None:
    hosts = [nobody, "nowhere.invalid:8080", "[::1]:1"]
    with ThreadPoolExecutor() as threads:
        asked = [threads.submit(refuse_unreachable, Address("demo", emulator_host=host)) for host in hosts]
        for host, question in zip(hosts, asked, strict=True):
            refused(question.result, Unavailable, host, "projects/demo", "that the emulator runs")


def test_a_host_in_the_environment_is_looked_at_like_one_of_the_connection(
    terminal: Terminal, world: World, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(project=world.address.project)
    monkeypatch.setenv(HOST_VARIABLE, "http://localhost")
    typed = terminal.type("history", "v001", "--output", "json")
    assert_failed(typed, 2, ConfigurationError, "FIRESTORE_EMULATOR_HOST", "http://localhost")


STORAGES: dict[str, Callable[[Path], str]] = {
    "a file": lambda folder: f"file://{folder / 'file'}",
    "below a file": lambda folder: f"file://{folder / 'file' / 'below'}",
    "a link to itself": lambda folder: f"file://{folder / 'loop'}",
    "read-only": lambda _: "file:///proc/storage",
    "a name too long": lambda folder: f"file://{folder / ('n' * 300)}",
}


@pytest.mark.parametrize("name", STORAGES)
def test_a_storage_that_cannot_be_written_ends_a_run_before_it_begins(
    terminal: Terminal, world: World, connect: Callable[..., None], tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    url = STORAGES[name](tmp_path)
    connect(**{**extra_of(world), "storage": url})
    terminal.write("v001_good.py", GOOD)
    with nothing_written(world):
        for command in ("dry-run", "run", "rollback"):
            typed = terminal.type(command, "v001", "--output", "json")
            assert_failed(typed, 1, StorageError, url.removeprefix("file://"), "may be written by this identity")


def key(**fields: Any) -> str:
    """A service account's key as JSON, with fields of its own; None leaves one out."""
    whole = {
        "type": "service_account",
        "project_id": "recoup",
        "private_key_id": "1",
        "private_key": "do-not-tell",
        "client_email": "runner@recoup.iam.gserviceaccount.com",
        "token_uri": "http://127.0.0.1:1/token",
    }
    return json.dumps({name: value for name, value in {**whole, **fields}.items() if value is not None})


FILES = {"empty.json": "", "text.json": "do-not-tell", "user.json": '{"type": "x"}', "key.p12": ""}

CREDENTIALS: dict[str, dict[str, Any]] = {
    "none at all": {},
    "a key that is no JSON": {"keyfile_dict": '{"private_key": "do-not-tell"'},
    "a key that is a list": {"keyfile_dict": '["do-not-tell"]'},
    "a key that is a text": {"keyfile_dict": '"do-not-tell"'},
    "a key that is a number": {"keyfile_dict": "5"},
    "an empty key": {"keyfile_dict": "{}"},
    "a key without an account": {"keyfile_dict": key(client_email=None)},
    "a key without a key": {"keyfile_dict": key(private_key=None)},
    "a key without a token server": {"keyfile_dict": key(token_uri=None)},
    "a key that is none": {"keyfile_dict": key()},
    "a key of numbers": {"keyfile_dict": key(private_key=5)},
    "a key with a broken PEM": {"keyfile_dict": key(private_key="-----BEGIN PRIVATE KEY-----\ndo-not-tell\n")},
    "a key file that is missing": {"key_path": "/nowhere/key.json"},
    "a key file that is a folder": {"key_path": "{folder}"},
    "a key file that is empty": {"key_path": "{folder}/empty.json"},
    "a key file that is no JSON": {"key_path": "{folder}/text.json"},
    "a key file of another kind": {"key_path": "{folder}/user.json"},
    "a key file of a number": {"key_path": 5},
    "a .p12 file": {"key_path": "{folder}/key.p12"},
    "a key file and a key": {"key_path": "{folder}/user.json", "keyfile_dict": key()},
    "a credential file that is missing": {"credential_config_file": "/nowhere/config.json"},
    "a credential file of no type": {"credential_config_file": "{folder}/user.json"},
    "scopes of a list in a list": {"keyfile_dict": key(), "scope": [["x"]]},
}


@pytest.mark.filterwarnings("ignore:The load_credentials_from_file method is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", CREDENTIALS)
def test_credentials_that_cannot_be_used_are_refused_without_a_word_of_them(
    terminal: Terminal,
    world: World,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    perform: Perform,
    tmp_path: Path,
    name: str,
) -> None:
    for file, text in FILES.items():
        (tmp_path / file).write_text(text)
    fields = json.loads(json.dumps(CREDENTIALS[name]).replace("{folder}", str(tmp_path)))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/default.json")
    connect(project="recoup", storage=f"file://{world.storage}", **fields)
    terminal.write("v001_good.py", GOOD)
    with nothing_written(world):
        typed = terminal.type("run", "v001", "--output", "json")
        failed = perform("preflight")
    assert_failed(typed, 2, ConfigurationError, "firestore_default", "no usable Google credentials", "keyfile_dict")
    assert_says(failed, "ConfigurationError: ", "firestore_default")
    assert "do-not-tell" not in typed.out + typed.err + failed


def test_a_token_server_that_does_not_answer_is_no_dead_firestore(
    terminal: Terminal, world: World, connect: Callable[..., None], perform: Perform, private_key: str
) -> None:
    connect(project="recoup", storage=f"file://{world.storage}", keyfile_dict=key(private_key=private_key))
    terminal.write("v001_good.py", GOOD)
    began = time.monotonic()
    typed = terminal.type("status", "--output", "json")
    assert_failed(typed, 1, Unavailable, "projects/recoup/databases/(default)", "gives tokens", "token_uri")
    assert_says(perform("preflight"), "Unavailable: ", "gives tokens")
    assert time.monotonic() - began < 20


@pytest.fixture
def private_key() -> str:
    """A private key that no server knows."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()

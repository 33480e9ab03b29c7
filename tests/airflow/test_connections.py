"""A connection of type `firestore` becomes a target, or an error that says which field to mend."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from google.auth import impersonated_credentials
from google.oauth2 import service_account

from firestore_migrations.emulator import HOST_VARIABLE
from firestore_migrations.errors import ConfigurationError
from firestore_migrations.firestore.connection import Address
from firestore_migrations.hooks.firestore import FirestoreHook
from firestore_migrations.runs.run import Target
from tests.airflow.deployment import Deployment
from tests.runs.world import World

Connect = Callable[..., None]
EMULATOR = {"project": "demo", "emulator_host": "127.0.0.1:8080"}
NO_CREDENTIALS = ("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")  # whoever looks for some fails, at once


def test_an_emulator_needs_no_more_than_its_host_and_a_project(connect: Connect, airflow_home: Path) -> None:
    connect(**EMULATOR)
    assert FirestoreHook().target() == Target(
        "firestore_default",
        Address("demo", "(default)", "127.0.0.1:8080"),
        ObjectStoragePath(f"file://{airflow_home}/firestore-migrations"),
        environment="development",
        samples="values",
        writes_per_second=0,
    )


def test_every_field_reaches_the_target(connect: Connect, tmp_path: Path) -> None:
    connect(
        project="recoup",
        database="eu",
        environment="staging",
        storage=f"file://{tmp_path}",
        samples="none",
        writes_per_second=250,
    )
    assert FirestoreHook("firestore_default").target() == Target(
        "firestore_default",
        Address("recoup", "eu"),
        ObjectStoragePath(f"file://{tmp_path}"),
        environment="staging",
        samples="none",
        writes_per_second=250,
    )


def test_fields_that_the_form_left_empty_have_their_defaults(connect: Connect) -> None:
    connect(project="recoup", database="", environment="", samples="", writes_per_second="", storage="")
    target = FirestoreHook().target()
    assert (target.environment, target.samples, target.writes_per_second) == ("production", "shapes", None)
    assert target.address == Address("recoup")


def test_a_run_finds_a_connection_that_was_added_by_command(
    deployment: Deployment, world: World, airflow: Callable[..., str]
) -> None:
    address = world.address
    extra = {"project": address.project, "emulator_host": address.emulator_host, "storage": f"file://{world.storage}"}
    airflow("connections", "add", "added", "--conn-type", "firestore", "--conn-extra", json.dumps(extra))
    outcome = deployment.run("v001", target="added")
    assert outcome.state == "success"
    assert world.records()[f"v001/runs/{outcome.run_id}"]["target"] == "added"


def test_the_emulator_of_the_environment_is_used_where_the_connection_names_none(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOST_VARIABLE, "localhost:9999")
    connect(project="demo")
    assert FirestoreHook().target().address.emulator_host == "localhost:9999"
    connect(**EMULATOR)
    assert FirestoreHook().target().address.emulator_host == "127.0.0.1:8080"


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({}, "names no project"),
        ({"emulator_host": "127.0.0.1:8080"}, "names no project"),
        ({**EMULATOR, "environment": "prod"}, "environment"),
        ({**EMULATOR, "samples": "all"}, "samples"),
        ({**EMULATOR, "emulator_host": "127.0.0.1"}, "emulator_host"),
        ({**EMULATOR, "emulator_host": "http://127.0.0.1:8080"}, "emulator_host"),
        ({**EMULATOR, "emulator_host": "127.0.0.1:port"}, "emulator_host"),
        ({**EMULATOR, "writes_per_second": "fast"}, "writes_per_second"),
        ({**EMULATOR, "writes_per_second": -1}, "writes_per_second"),
        ({**EMULATOR, "writes_per_second": "nan"}, "writes_per_second"),
        ({**EMULATOR, "writes_per_second": [1]}, "writes_per_second"),
        ({**EMULATOR, "storage": "snapshots"}, "storage"),
        ({**EMULATOR, "storage": "nowhere://bucket"}, "storage"),
    ],
    ids=str,
)
def test_a_field_that_is_wrong_is_refused_by_name(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], named: str
) -> None:
    monkeypatch.setenv(*NO_CREDENTIALS)
    connect(**extra)
    with pytest.raises(ConfigurationError, match=named) as caught:
        FirestoreHook().target()
    assert caught.value.facts == {"target": "firestore_default"}
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        (None, "There is no connection 'firestore_elsewhere'. Add it: airflow connections add firestore_elsewhere"),
        ('{"conn_type": "google_cloud_platform"}', "is of type 'google_cloud_platform', not 'firestore'"),
        ("google-cloud-platform://", "is of type 'google_cloud_platform', not 'firestore'"),
    ],
    ids=["missing", "json", "uri"],
)
def test_a_connection_that_is_missing_or_of_another_type_is_refused_with_the_command_that_adds_it(
    airflow_home: Path, monkeypatch: pytest.MonkeyPatch, connection: str | None, said: str
) -> None:
    if connection is not None:
        monkeypatch.setenv("AIRFLOW_CONN_FIRESTORE_ELSEWHERE", connection)
    with pytest.raises(ConfigurationError) as caught:
        FirestoreHook("firestore_elsewhere").target()
    assert said in str(caught.value)
    assert "airflow connections add firestore_elsewhere --conn-type firestore" in str(caught.value)


def test_an_emulator_is_never_asked_for_credentials(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(*NO_CREDENTIALS)
    connect(**EMULATOR, planner_impersonation_chain="planner@demo.iam.gserviceaccount.com")
    address = FirestoreHook().target().address
    for reading in (True, False):
        address.channel(reading=reading).close()


def test_without_credentials_a_real_database_is_refused_before_anything_is_sent(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(project="recoup")
    monkeypatch.setenv(*NO_CREDENTIALS)
    address = FirestoreHook().target().address
    with pytest.raises(ConfigurationError, match=r"'firestore_default' leads to no usable Google credentials"):
        address.channel(reading=True)


@pytest.mark.parametrize(
    "fields",
    [
        {"keyfile_dict": '{"private_key": "do not tell"'},
        {"keyfile_dict": {"private_key": "do not tell", "client_email": "a@b"}},
        {"key_path": "/nowhere/key.json"},
    ],
    ids=["not JSON", "not a key", "no file"],
)
def test_credentials_that_cannot_be_used_are_refused_without_a_word_of_them(
    connect: Connect, fields: dict[str, Any]
) -> None:
    connect(project="recoup", **fields)
    with pytest.raises(ConfigurationError) as caught:
        FirestoreHook().target().address.channel(reading=False)
    assert "leads to no usable Google credentials" in str(caught.value)
    assert "do not tell" not in str(caught.value)


def test_a_key_reaches_googles_credentials_and_names_the_project(connect: Connect) -> None:
    connect(keyfile_dict=json.dumps(_key()))
    address = FirestoreHook().target().address
    credentials = _credentials(address.credentials)
    assert isinstance(credentials, service_account.Credentials)
    assert credentials.service_account_email == "runner@recoup.iam.gserviceaccount.com"
    assert address.project == "recoup"


def test_backup_and_dry_run_read_as_another_identity_than_the_one_that_writes(connect: Connect) -> None:
    connect(
        keyfile_dict=json.dumps(_key()),
        impersonation_chain="writer@recoup.iam.gserviceaccount.com",
        planner_impersonation_chain=["step@recoup.iam.gserviceaccount.com", "planner@recoup.iam.gserviceaccount.com"],
    )
    address = FirestoreHook().target().address
    writing, reading = _credentials(address.credentials), _credentials(address.reading_credentials)
    assert isinstance(writing, impersonated_credentials.Credentials)
    assert isinstance(reading, impersonated_credentials.Credentials)
    assert writing.service_account_email == "writer@recoup.iam.gserviceaccount.com"
    assert reading.service_account_email == "planner@recoup.iam.gserviceaccount.com"


def _credentials(give: Callable[[], Any] | None) -> Any:
    assert give is not None
    return give()


def _key() -> dict[str, str]:
    """A service account's key that no server knows."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": "recoup",
        "private_key_id": "1",
        "private_key": private.decode(),
        "client_email": "runner@recoup.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }

"""What Airflow shows of this package: its section of the configuration, provider, plugin and connection type."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import airflow as airflow_package
import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk.configuration import conf
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from firestore_migrations import configuration
from firestore_migrations.errors import ConfigurationError
from firestore_migrations.provider_info import get_provider_info
from tests.airflow.deployment import DAGS

SECTION = configuration.SECTION


@pytest.mark.parametrize("option", configuration.OPTIONS)
def test_every_option_has_its_default_and_can_be_set_by_environment(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert conf.get(SECTION, option) == configuration.OPTIONS[option][0]
    monkeypatch.setenv(f"AIRFLOW__{SECTION}__{option}".upper(), "7")
    assert conf.get(SECTION, option) == "7"


def test_the_folder_of_migrations_is_beside_that_of_the_dags_unless_it_is_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert configuration.migrations_folder() == DAGS.parent / "migrations"
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__MIGRATIONS_FOLDER", "~/elsewhere")
    assert configuration.migrations_folder() == Path.home() / "elsewhere"


def test_snapshots_are_kept_in_airflows_home_unless_it_is_configured(
    airflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert configuration.storage_url() == f"file://{airflow_home}/firestore-migrations"
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__STORAGE", "gs://conn@bucket/x")
    assert configuration.storage_url() == "gs://conn@bucket/x"


def test_a_price_that_is_no_number_is_refused_with_the_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__PRICE_PER_100K_READS", "cheap")
    with pytest.raises(ConfigurationError, match=r"AIRFLOW__FIRESTORE_MIGRATIONS__PRICE_PER_100K_READS"):
        configuration.prices()


def test_the_providers_description_follows_airflows_schema() -> None:
    schema = json.loads((Path(airflow_package.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_airflow_loads_the_provider_and_its_connection_type_without_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        provider = ProvidersManager().providers["firestore-migrations"]
        hook = ProvidersManagerTaskRuntime().hooks["firestore"]
    assert get_provider_info().items() <= provider.data.items()
    assert (hook.hook_class_name, hook.connection_id_attribute_name, hook.hook_name) == (
        "firestore_migrations.hooks.firestore.FirestoreHook",
        "target",
        "Firestore",
    )
    assert [record for record in caplog.records if "irestore" in record.getMessage()] == []


def test_the_form_of_a_connection_has_a_field_for_everything_that_the_hook_reads(api: Any) -> None:
    served = {meta["connection_type"]: meta for meta in api.get("/ui/connections/hook_meta").json()}
    form = served["firestore"]
    assert form["hook_name"] == "Firestore"
    assert set(form["extra_fields"]) >= {
        "project",
        "database",
        "emulator_host",
        "environment",
        "storage",
        "samples",
        "writes_per_second",
        "planner_impersonation_chain",
        "impersonation_chain",
        "key_path",
        "keyfile_dict",
    }
    assert form["extra_fields"]["environment"]["schema"]["enum"][:3] == ["development", "staging", "production"]
    assert form["extra_fields"]["keyfile_dict"]["schema"]["format"] == "password"
    assert form["standard_fields"]["host"]["hidden"] is True


def test_the_command_shows_configuration_provider_and_plugin(airflow: Callable[..., str]) -> None:
    folder = "/srv/migrations"
    value = airflow(
        "config",
        "get-value",
        SECTION,
        "migrations_folder",
        AIRFLOW__FIRESTORE_MIGRATIONS__MIGRATIONS_FOLDER=folder,
    )
    assert value.splitlines()[-1] == folder
    providers = json.loads(airflow("providers", "list", "--output", "json"))
    assert "firestore-migrations" in {provider["package_name"] for provider in providers}
    plugins = json.loads(airflow("plugins", "--output", "json"))
    assert [plugin["name"] for plugin in plugins].count("firestore_migrations") == 1

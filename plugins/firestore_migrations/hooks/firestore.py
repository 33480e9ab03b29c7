"""The hook of connections of type `firestore`: it knows a target, and Google's credentials for it."""

from __future__ import annotations

import os
from typing import Any

from airflow.providers.google.common.hooks.base_google import GoogleBaseHook
from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowNotFoundException

from firestore_migrations import configuration
from firestore_migrations.errors import ConfigurationError
from firestore_migrations.firestore.connection import Address
from firestore_migrations.runs.run import NONE, SHAPES, VALUES, Target

ENVIRONMENTS = ("development", "staging", "production")
_EXAMPLE = (
    "airflow connections add {0} --conn-type firestore --conn-extra "
    '\'{{"project": "my-project", "environment": "staging"}}\''
)


class FirestoreHook(GoogleBaseHook):
    """A Firestore database, as a connection of type `firestore` describes it.

    The connection's extra holds `project`, `database` (`(default)`), `emulator_host`, `environment`, `storage`,
    `samples`, `writes_per_second`, `planner_impersonation_chain`, and whatever the Google provider's connections hold
    for credentials: `key_path`, `keyfile_dict`, `impersonation_chain` and so on. With an emulator no credentials are
    looked for.

    Args:
        target: the connection's id.

    Raises:
        ConfigurationError: there is no such connection, or it is not of this type.
    """

    conn_name_attr = "target"
    default_conn_name = configuration.DEFAULT_TARGET
    conn_type = "firestore"
    hook_name = "Firestore"

    def __init__(self, target: str = default_conn_name, **kwargs: Any) -> None:
        self.target_id = target
        try:
            super().__init__(gcp_conn_id=target, **kwargs)
        except AirflowNotFoundException as error:
            raise ConfigurationError(
                f"There is no connection {target!r}.",
                f"Add it: {_EXAMPLE.format(target)}",
                target=target,
            ) from error

    def target(self) -> Target:
        """The target that the connection describes.

        Raises:
            ConfigurationError: a field is missing or not one of its values.
        """
        connection = self.get_connection(self.target_id)
        if connection.conn_type != self.conn_type:
            raise ConfigurationError(
                f"Connection {self.target_id!r} is of type {connection.conn_type!r}, not 'firestore'.",
                f"Add one: {_EXAMPLE.format(self.target_id)}",
            )
        emulator = self._field("emulator_host") or os.environ.get("FIRESTORE_EMULATOR_HOST")
        environment = self._one_of("environment", ENVIRONMENTS, "development" if emulator else "production")
        samples = self._one_of("samples", (VALUES, SHAPES, NONE), SHAPES if environment == "production" else VALUES)
        return Target(
            name=self.target_id,
            address=self._address(emulator),
            storage=ObjectStoragePath(self._field("storage") or configuration.storage_url()),
            environment=environment,
            samples=samples,
            writes_per_second=self._writes_per_second(emulator),
        )

    def _address(self, emulator: str | None) -> Address:
        project = self._field("project") or (None if emulator else self.project_id)
        if not project:
            raise ConfigurationError(
                f"Connection {self.target_id!r} names no project.", 'Put {"project": "my-project"} into its extra.'
            )
        if emulator and (":" not in emulator or "/" in emulator):
            raise ConfigurationError(
                f"emulator_host of connection {self.target_id!r} is not host:port.", "Write it like 127.0.0.1:8080."
            )
        chain = self._field("planner_impersonation_chain")
        return Address(
            project=str(project),
            database=self._field("database") or "(default)",
            emulator_host=emulator,
            credentials=self.get_credentials,
            reading_credentials=self._reading_credentials(chain) if chain else None,
        )

    def _reading_credentials(self, chain: str) -> Any:
        names = [name.strip() for name in chain.split(",")]
        return lambda: FirestoreHook(self.target_id, impersonation_chain=names).get_credentials()

    def _writes_per_second(self, emulator: str | None) -> float | None:
        limit = self._field("writes_per_second")
        if limit in (None, ""):
            return 0 if emulator else None
        try:
            return float(limit)
        except ValueError:
            raise ConfigurationError(
                f"writes_per_second of connection {self.target_id!r} is not a number.", "Leave it out for the rule."
            ) from None

    def _one_of(self, name: str, values: tuple[str, ...], default: str) -> str:
        value = self._field(name) or default
        if value not in values:
            raise ConfigurationError(
                f"{name} of connection {self.target_id!r} is {value!r}.", f"It is one of {', '.join(values)}."
            )
        return str(value)

    def _field(self, name: str) -> Any:
        return self._get_field(name)

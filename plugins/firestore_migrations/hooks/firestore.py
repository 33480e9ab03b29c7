"""The hook of connections of type `firestore`: it knows a target, and Google's credentials for it."""

from __future__ import annotations

import math
import os
import re
from typing import Any

from airflow.providers.google.common.hooks.base_google import GoogleBaseHook
from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from firestore_migrations import configuration
from firestore_migrations.errors import ConfigurationError
from firestore_migrations.firestore.connection import Address
from firestore_migrations.hooks.policy import policy_of
from firestore_migrations.runs.run import NONE, SHAPES, VALUES, Target

ENVIRONMENTS = ("development", "staging", "production")
_HOST = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]*")  # it is also a folder of the storage; the emulator takes any
_DATABASE = re.compile(r"\(default\)|[a-z0-9][a-z0-9-]{0,62}")
_ACCOUNT = re.compile(r"[^@\s,]+@[^@\s,]+")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://.+|/.*", re.DOTALL)
_MALFORMED = (AttributeError, LookupError, TypeError, ValueError)  # what Google's code raises on keys of odd shapes
_EXAMPLE = (
    "airflow connections add {0} --conn-type firestore --conn-extra "
    '\'{{"project": "my-project", "environment": "staging"}}\''
)


class FirestoreHook(GoogleBaseHook):
    """A Firestore database, as a connection of type `firestore` describes it.

    The connection's extra holds `project`, `database` (`(default)`), `emulator_host`, `environment`, `storage`,
    `samples`, `writes_per_second`, `planner_impersonation_chain`, the fields of `hooks/policy.py`, and whatever the
    Google provider's connections hold
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
        if not isinstance(self.extras, dict):
            raise ConfigurationError(
                f"The extra of connection {target!r} is not a JSON object.",
                f"Add it again: {_EXAMPLE.format(target)}",
                target=target,
            )

    def target(self) -> Target:
        """The target that the connection describes.

        Raises:
            ConfigurationError: a field is missing or not one of its values.
        """
        connection = self.get_connection(self.target_id)
        if connection.conn_type != self.conn_type:
            raise ConfigurationError(
                f"Connection {self.target_id!r} is of type {connection.conn_type!r}, not 'firestore'.",
                f"Name another, or delete this one and add it: {_EXAMPLE.format(self.target_id)}",
                target=self.target_id,
            )
        emulator = self._field("emulator_host") or os.environ.get("FIRESTORE_EMULATOR_HOST")
        environment = self._one_of("environment", ENVIRONMENTS, "development" if emulator else "production")
        samples = self._one_of("samples", (VALUES, SHAPES, NONE), SHAPES if environment == "production" else VALUES)
        return Target(
            name=self.target_id,
            address=self._address(emulator),
            storage=self._storage(),
            environment=environment,
            samples=samples,
            writes_per_second=self._writes_per_second(emulator),
            policy=policy_of(self._field, self.target_id, environment),
        )

    def get_credentials_and_project_id(self) -> tuple[Any, str | None]:
        """Google's credentials, as the connection describes them, and the project that they belong to.

        Raises:
            ConfigurationError: there are none, or they cannot be used; nothing of them is in the message.
        """
        from google.auth.exceptions import GoogleAuthError

        try:
            credentials, project = super().get_credentials_and_project_id()
        except (*_MALFORMED, GoogleAuthError, AirflowException, OSError) as error:
            reason = "they are malformed" if isinstance(error, _MALFORMED) else type(error).__name__
            raise ConfigurationError(
                f"Connection {self.target_id!r} leads to no usable Google credentials: {reason}.",
                "Put key_path, keyfile_dict or impersonation_chain into its extra, or give Airflow application default "
                "credentials; for an emulator, put emulator_host into it.",
                target=self.target_id,
            ) from error
        return credentials, project

    def _address(self, emulator: str | None) -> Address:
        project = self._field("project") or (None if emulator else self._project_of_credentials())
        if not project:
            raise ConfigurationError(
                f"Connection {self.target_id!r} names no project.",
                'Put {"project": "my-project"} into its extra.',
                target=self.target_id,
            )
        database = self._field("database") or "(default)"
        for name, value, pattern in (("project", project, _PROJECT), ("database", database, _DATABASE)):
            if not pattern.fullmatch(str(value)):
                raise ConfigurationError(
                    f"{name} of connection {self.target_id!r} is no id of a {name}: {value!r}.",
                    f"Write the {name}'s id alone, as the Google Cloud console shows it.",
                    target=self.target_id,
                )
        self._refuse_bad_host(emulator)
        self._accounts("impersonation_chain")
        chain = self._accounts("planner_impersonation_chain")
        return Address(
            project=str(project),
            database=str(database),
            emulator_host=emulator,
            credentials=self.get_credentials,
            reading_credentials=self._reading_credentials(chain) if chain else None,
        )

    def _project_of_credentials(self) -> str | None:
        try:
            return str(self.project_id or "") or None
        except ConfigurationError:
            return None  # that there is no project is what a person has to mend first

    def _refuse_bad_host(self, emulator: Any) -> None:
        match = _HOST.fullmatch(str(emulator)) if emulator else None
        if emulator and not (match and 0 < int(match[2]) < 2**16):
            raise ConfigurationError(
                f"The emulator's host of connection {self.target_id!r} is not host:port: {emulator!r}.",
                "Write emulator_host, or FIRESTORE_EMULATOR_HOST, like 127.0.0.1:8080.",
                target=self.target_id,
            )

    def _accounts(self, name: str) -> list[str]:
        """The service accounts that a field names, in order; none where it is empty."""
        chain = self._field(name) or []
        names = chain.split(",") if isinstance(chain, str) else chain
        if not isinstance(names, list) or not all(_ACCOUNT.fullmatch(str(account).strip()) for account in names):
            raise ConfigurationError(
                f"{name} of connection {self.target_id!r} does not name service accounts.",
                'Write {"' + name + '": ["runner@my-project.iam.gserviceaccount.com"]} into its extra.',
                target=self.target_id,
            )
        return [account.strip() for account in names]

    def _reading_credentials(self, chain: list[str]) -> Any:
        return lambda: FirestoreHook(self.target_id, impersonation_chain=chain).get_credentials()

    def _storage(self) -> ObjectStoragePath:
        url = str(self._field("storage") or configuration.storage_url())
        try:
            # A relative path would put production data wherever a worker happens to stand.
            if _URL.fullmatch(url):
                return ObjectStoragePath(url)
            reason = "it is neither a URL nor an absolute path"
        except (ImportError, ValueError) as error:
            reason = str(error)
        raise ConfigurationError(
            f"The storage of connection {self.target_id!r} cannot be used, {url!r}: {reason}.",
            "Write it like gs://google_cloud_default@bucket/migrations or file:///var/lib/migrations.",
            target=self.target_id,
        )

    def _writes_per_second(self, emulator: str | None) -> float | None:
        limit = self._field("writes_per_second")
        if limit is None:
            return 0 if emulator else None
        try:
            number = -1 if isinstance(limit, bool) else float(limit)
        except (TypeError, ValueError):
            number = -1
        if number < 0 or not math.isfinite(number):
            raise ConfigurationError(
                f"writes_per_second of connection {self.target_id!r} is not a number of writes: {limit!r}.",
                "Write a number, 0 for no limit, or leave it out for Google's 500/50/5 rule.",
                target=self.target_id,
            )
        return number

    def _one_of(self, name: str, values: tuple[str, ...], default: str) -> str:
        value = self._field(name) or default
        if value not in values:
            raise ConfigurationError(
                f"{name} of connection {self.target_id!r} is {value!r}.",
                f"It is one of {', '.join(values)}.",
                target=self.target_id,
            )
        return str(value)

    def _field(self, name: str) -> Any:
        return self._get_field(name)

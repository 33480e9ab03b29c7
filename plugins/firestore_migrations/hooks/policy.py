"""The policy of a target, read from its connection's extra."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

from firestore_migrations.errors import ConfigurationError
from firestore_migrations.runs.options import MAY_BE_EMPTY, Options
from firestore_migrations.runs.policy import Policy

PRODUCTION = "production"
_DURATION = re.compile(r"(\d{1,9}(?:\.\d+)?)\s*(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_NEVER = ("never", "none", "false")
_BUCKET = re.compile(r"gs://[a-z0-9][a-z0-9._-]+(/\S*)?")
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
Length = TypeVar("Length", timedelta, "timedelta | None")
_OF_ONE_RUN = frozenset({"direction", "redrive", "undo", "window", "without_rehearsal"})


def policy_of(field: Callable[[str], Any], connection: str, environment: str) -> Policy:
    """What a connection asks of every run.

    Production asks for approval and for a rehearsal of the last seven days, unless the extra says otherwise.

    Args:
        field: gives the value of a field of the extra, or None.
        connection: its id, for errors.
        environment: of the target.

    Raises:
        ConfigurationError: a field is not what it should be; nothing was run.
    """
    return _Extra(field, connection).policy(is_production=environment == PRODUCTION)


class _Extra:
    """The extra of one connection."""

    def __init__(self, field: Callable[[str], Any], connection: str) -> None:
        self._field = field
        self._connection = connection

    def policy(self, *, is_production: bool) -> Policy:
        return Policy(
            approval=self._flag("approval", default=is_production),
            approvers=self._names("approvers"),
            approval_timeout=self._length("approval_timeout", _DAY),
            approval_max_age=self._length("approval_max_age", _DAY),
            rehearsal_max_age=self._duration("rehearsal_max_age", _WEEK if is_production else None),
            rehearsal_of=self._text("rehearsal_of"),
            refresh=self._one_of("refresh", ("copy", "clone")),
            triggers=self._names("triggers"),
            ttl_fields=self._ttl_fields(),
            export_to=self._export_to(),
            defaults=self._defaults(),
        )

    def _flag(self, name: str, *, default: bool) -> bool:
        value = self._field(name)
        if value is None or value == "":
            return default
        text = str(value).lower()
        if text not in ("true", "false"):
            self._refuse(name, value, "true or false")
        return text == "true"

    def _duration(self, name: str, default: timedelta | None) -> timedelta | None:
        """A length of time; None for `never`."""
        value = self._field(name)
        if value is not None and str(value).strip().lower() in _NEVER:
            return None
        return self._length(name, default, " or never")

    def _length(self, name: str, default: Length, otherwise: str = "") -> timedelta | Length:
        """A length of time; none at all is refused: it would turn off what it is to limit."""
        value = self._field(name)
        if value is None or value == "":
            return default
        text = str(value).strip().lower()
        match = _DURATION.fullmatch(text if text[-1:].isalpha() else f"{text}h")
        try:
            length = timedelta(**{_UNITS[match[2]]: float(match[1])}) if match else timedelta()
        except OverflowError:
            self._refuse(name, value, "shorter than some thousand years")
        if not length:
            self._refuse(name, value, f"a time like 30s, 90m, 36h or 7d, a number of hours above 0,{otherwise}")
        return length

    def _text(self, name: str) -> str:
        value = self._field(name)
        if value is not None and not isinstance(value, str):
            self._refuse(name, value, "a text")
        return (value or "").strip()

    def _one_of(self, name: str, values: tuple[str, ...]) -> str:
        value = self._text(name)
        if value and value not in values:
            self._refuse(name, value, f"one of {', '.join(values)}")
        return value

    def _names(self, name: str) -> tuple[str, ...]:
        """A list of names; one text names them separated by commas."""
        value = self._field(name) or []
        names = value.split(",") if isinstance(value, str) else value
        if not isinstance(names, list) or not all(isinstance(item, str) and item.strip() for item in names):
            self._refuse(name, value, "a list of names")
        return tuple(item.strip() for item in names)

    def _ttl_fields(self) -> tuple[str, ...]:
        found = self._names("ttl_fields")
        if not all(all(part for part in item.split(".")) and "." in item for item in found):
            self._refuse("ttl_fields", list(found), 'a list of fields, each like "sessions.expireAt"')
        return found

    def _export_to(self) -> str:
        value = self._text("export_to")
        if value and not _BUCKET.fullmatch(value):
            self._refuse("export_to", value, "a place in a bucket, like gs://my-bucket/exports")
        return value.rstrip("/")

    def _defaults(self) -> Mapping[str, Any]:
        value = self._field("defaults") or {}
        allowed = MAY_BE_EMPTY - _OF_ONE_RUN
        if not isinstance(value, dict) or not set(value) <= allowed:
            self._refuse("defaults", value, f"an object whose names are among {', '.join(sorted(allowed))}")
        try:
            Options(**value)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"defaults of connection {self._connection!r}: {error.what}", "Mend its extra.", target=self._connection
            ) from error
        return value

    def _refuse(self, name: str, value: Any, wanted: str) -> NoReturn:
        raise ConfigurationError(
            f"{name} of connection {self._connection!r} is {value!r}.",
            f"Write {wanted}, or leave it out.",
            target=self._connection,
        )

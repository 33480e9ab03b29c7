"""The form that begins a run: a field for each parameter of the DAG, as Airflow's own form has them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow.sdk import Param
from starlette.datastructures import FormData

_NUMBERS = {"integer", "number"}


@dataclass(frozen=True)
class Field:
    """One parameter.

    Attributes:
        name: of the parameter.
        title: for people.
        description: what it does.
        section: under which heading it stands; empty for the first ones.
        kind: `select`, `checkbox`, `checkboxes`, `number` or `text`.
        value: that it is filled with.
        choices: of a `select`, and of `checkboxes`.
        limits: attributes of the input: `min`, `max`, `minlength`, `pattern`, `step`, `required`.
    """

    name: str
    title: str
    description: str
    section: str
    kind: str
    value: Any
    choices: tuple[str, ...]
    limits: Mapping[str, str]


def fields_of(params: Mapping[str, Param], values: Mapping[str, Any]) -> list[Field]:
    """The fields of a form, filled with values where there are some, else with the defaults."""
    return [_field(name, param, values.get(name, _default(param))) for name, param in params.items()]


def conf_of(params: Mapping[str, Param], form: FormData) -> dict[str, Any]:
    """What a form says, as the parameters of a run; Airflow checks it. An empty field is left out."""
    conf: dict[str, Any] = {}
    for name, param in params.items():
        types = _types(param)
        if "boolean" in types:
            conf[name] = form.get(name) == "on"
        elif "array" in types:
            chosen = [str(value) for value in form.getlist(name)]
            conf.update({name: chosen} if chosen else {})
        elif text := str(form.get(name, "")).strip():
            conf[name] = number_of(text) if types & _NUMBERS and "string" not in types else text
    return conf


def new_run_id() -> str:
    """The id of the run that a form begins. It is in the form: sent twice, it begins one run."""
    return f"page__{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S}_{secrets.token_hex(3)}"


def _field(name: str, param: Param, value: Any) -> Field:
    schema, types = param.schema, _types(param)
    choices = tuple(str(choice) for choice in schema.get("enum") or schema.get("examples") or () if choice is not None)
    kind = "text"
    if "boolean" in types:
        kind = "checkbox"
    elif "array" in types:
        kind = "checkboxes"
    elif choices:
        kind = "select"
    elif types & _NUMBERS and "string" not in types:
        kind = "number"
    limits = {
        "min": schema.get("minimum", schema.get("exclusiveMinimum")),
        "max": schema.get("maximum"),
        "minlength": schema.get("minLength"),
        "step": ("1" if "integer" in types else "any") if kind == "number" else None,
        "required": "required" if kind == "text" and schema.get("minLength") else None,
    }
    return Field(
        name=name,
        title=schema.get("title", name),
        description=param.description or "",
        section=schema.get("section", ""),
        kind=kind,
        value=value,
        choices=choices,
        limits={name: str(limit) for name, limit in limits.items() if limit is not None},
    )


def _types(param: Param) -> set[str]:
    kind = param.schema.get("type", "string")
    return {kind} if isinstance(kind, str) else set(kind)


def _default(param: Param) -> Any:
    return param.value if param.has_value else None


def number_of(text: str) -> Any:
    """A number as JSON has it; what is none stays text, and Airflow says what it wants."""
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        return text

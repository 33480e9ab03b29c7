"""Parameters that cannot be: the form, the command line and the engine itself refuse each by its name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from firestore_migrations.authoring.loading import load
from firestore_migrations.cli.running import params_of
from firestore_migrations.dag_factory import make_dag, make_params
from firestore_migrations.dag_run import check_params
from firestore_migrations.errors import ConfigurationError, UnknownVersion
from firestore_migrations.runs.options import Options
from tests.airflow.deployment import Deployment
from tests.bad_input.clear import assert_failed, assert_says, nothing_written, refused
from tests.bad_input.conftest import Perform, extra_of
from tests.bad_input.test_files import GOOD
from tests.cli.conftest import Terminal
from tests.runs.world import World

pytestmark = pytest.mark.usefixtures("airflow_home")

NAN, INFINITE = math.nan, math.inf
ODD: tuple[Any, ...] = (True, [], {}, [1], "", "all", NAN, INFINITE, -INFINITE)
"""What no number is."""

PARAMS: dict[str, tuple[Any, ...]] = {
    "mode": ("", "up", "Apply", "apply ", "dry-run", None, True, 1, ["apply"]),
    "direction": ("", "sideways", "Down", None, False, 0, ["up"]),
    "sample": (*ODD, -1, 1001, 1.5, "5", 10**30),
    "rollout_percent": (*ODD, None, 0, -5, 100.1, "50", "50%", 1e300),
    "shards": (*ODD, 0, -1, 1001, 1.5, "2", 10**30),
    "batch_size": (*ODD, 0, -1, 501, 2.5, "500", 10**30),
    "max_writes_per_second": (*ODD, -1, -0.5, "fast", "100"),
    "max_failures": (
        "",
        " ",
        "-1",
        "many",
        "1%%",
        "%",
        "%1",
        "nan",
        "inf",
        "nan%",
        "101%",
        "1e999",
        [],
        {},
        -1,
        NAN,
        INFINITE,
    ),
    "budget": (*ODD, -0.01, "cheap", "1.00", "$5"),
}
ROWS = [(name, value) for name, values in PARAMS.items() for value in values]
TYPED = [(name, value) for name, value in ROWS if value not in ("5", "50", "2", "500", "100", "1.00")]
"""The same without the texts that are what a person types for a number."""
IDS = [f"{name}={value!r}" for name, value in ROWS]


@pytest.mark.parametrize(("name", "value"), ROWS, ids=IDS)
def test_the_engine_refuses_a_value_that_cannot_be(name: str, value: Any) -> None:
    error = refused(lambda: Options.of({name: value}), ConfigurationError, f"Parameter {name} ")
    assert error.facts == {"param": name}


@pytest.mark.parametrize("name", PARAMS)
def test_the_form_refuses_it_or_the_first_task_does(
    deployment: Deployment, world: World, perform: Perform, name: str
) -> None:
    """JSON has no NaN, yet Airflow takes it: it is a number to the form, so the first task has the last word."""
    with nothing_written(world):
        for value in PARAMS[name]:
            answer = deployment.api.post(
                f"/api/v2/dags/{deployment.dag_id('v001')}/dagRuns",
                content=json.dumps({"logical_date": None, "conf": {name: value}}),
                headers={"Content-Type": "application/json"},
            )
            if answer.status_code == 400:
                assert f"Invalid input for param {name}" in answer.json()["detail"]
            else:
                assert_says(perform("preflight", conf={name: value}), "ConfigurationError: ", f"Parameter {name} ")


@pytest.mark.parametrize(("name", "value"), TYPED, ids=repr)
def test_the_command_line_refuses_it(terminal: Terminal, name: str, value: Any) -> None:
    path = terminal.write("v001_good.py", GOOD)
    text = value if isinstance(value, str) else json.dumps(value)
    types = {param: schema.schema.get("type") for param, schema in make_params().items()}
    refused(lambda: check_params(make_dag(load(path)), params_of([f"{name}={text}"], types)), ConfigurationError, name)


@pytest.mark.parametrize("name", PARAMS)
def test_a_command_with_a_value_that_cannot_be_ends_with_2(terminal: Terminal, world: World, name: str) -> None:
    terminal.write("v001_good.py", GOOD)
    with nothing_written(world):
        verb = "rollback" if name in {"mode", "direction"} else "run"
        typed = terminal.type(verb, "v001", "--set", f"{name}=what", "--output", "json")
    assert_failed(typed, 2, ConfigurationError, name)


WORDS: dict[str, tuple[list[str], str]] = {
    "no value": (["--set", "shards"], "--set takes PARAM=VALUE"),
    "no name": (["--set", "=5"], "--set takes PARAM=VALUE"),
    "nothing": (["--set", ""], "--set takes PARAM=VALUE"),
    "an unknown name": (["--set", "shard=5"], "has no parameter 'shard'"),
    "a name with a space": (["--set", "shards =5"], "has no parameter 'shards '"),
    "two of one name": (["--set", "shards=1", "--set", "shards=2"], "--set shards"),
    "the verb's own": (["--set", "direction=down"], "--set direction contradicts the command"),
    "the option's own": (["--set", "target=x"], "Use --target"),
}


@pytest.mark.parametrize("name", WORDS)
def test_words_that_are_no_parameter_are_refused(terminal: Terminal, world: World, name: str) -> None:
    words, said = WORDS[name]
    terminal.write("v001_good.py", GOOD)
    with nothing_written(world):
        assert_failed(terminal.type("run", "v001", *words, "--output", "json"), 2, ConfigurationError, said)


VERSIONS = ("", " ", "v", "v000", "v009", "vv001", "1.0", "v001_other", "v001_good.py.bak", "v001\x00", "\u0661")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_that_there_is_not_is_refused_by_every_verb(terminal: Terminal, world: World, version: str) -> None:
    terminal.write("v001_good.py", GOOD)
    with nothing_written(world):
        for verb in ("run", "dry-run", "rollback", "verify"):
            assert_failed(terminal.type(verb, version, "--output", "json"), 2, UnknownVersion, "v001")


@pytest.mark.parametrize("misspelt", ["batchsize", "Shards", "dry_run", "budget ", "", "max-failures"])
def test_a_parameter_that_the_dag_does_not_have_fails_the_first_task(
    terminal: Terminal, world: World, perform: Perform, misspelt: str
) -> None:
    """Airflow takes any name, so a misspelt limit would be none."""
    terminal.write("v001_good.py", GOOD)
    with nothing_written(world):
        failed = perform("preflight", conf={misspelt: 5})
    assert_says(failed, "ConfigurationError: ", f"has no parameter {misspelt!r}", "batch_size")


SETTINGS: dict[str, str] = {
    "price_per_100k_reads": "cheap",
    "price_per_100k_writes": "nan",
    "price_per_100k_deletes": "-1",
    "storage": "somewhere",
    "targets": "nowhere, either",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_airflows_configuration_that_cannot_be_is_named(
    terminal: Terminal,
    world: World,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    perform: Perform,
    name: str,
) -> None:
    value = SETTINGS[name]
    monkeypatch.setenv(f"AIRFLOW__FIRESTORE_MIGRATIONS__{name.upper()}", value)
    connect(**{**extra_of(world), "storage": ""})
    terminal.write("v001_good.py", GOOD)
    with nothing_written(world):
        typed = terminal.type("run", "v001", "--output", "json")
        assert_failed(typed, 2, ConfigurationError, value.partition(",")[0])
        if name != "targets":
            assert_says(perform("preflight"), "ConfigurationError: ", value)


@pytest.fixture
def deployment(api: Any, terminal: Terminal, perform: Perform) -> Deployment:
    """Airflow with one migration."""
    terminal.write("v001_good.py", GOOD)
    made = Deployment(api)
    made.parse()
    return made

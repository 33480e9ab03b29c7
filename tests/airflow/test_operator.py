"""The operator is thin: arguments in, one phase performed, its result or one clear error out."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from firestore_migrations.errors import FirestoreMigrationsError, StorageError
from firestore_migrations.operators.migration import FirestoreMigrationOperator
from tests.runs.world import World

RUN = SimpleNamespace(run_id="run-1", triggering_user_name="ada", run_type="manual", conf={})


def _execute(phase: str, version: str = "v001", shard: dict[str, Any] | None = None, **params: Any) -> Any:
    with DAG("d", schedule=None) as dag:
        operator = FirestoreMigrationOperator(
            task_id=phase, version=version, phase=phase, target="firestore_default", shard=shard
        )
    return operator.execute({"dag": dag, "dag_run": RUN, "params": params})


@pytest.fixture
def target(world: World, connect: Callable[..., None]) -> World:
    address = world.address
    connect(project=address.project, emulator_host=address.emulator_host, storage=f"file://{world.storage}")
    return world


def test_it_keeps_its_arguments_as_they_were_given() -> None:
    """Templates in them are rendered after `__init__`, so nothing may look at them there."""
    shard = {"index": 3}
    operator = FirestoreMigrationOperator(
        task_id="x", version="{{ v }}", phase="nonsense", target="{{ t }}", shard=shard
    )
    assert (operator.version, operator.phase, operator.target) == ("{{ v }}", "nonsense", "{{ t }}")
    assert operator.shard is shard
    assert set(FirestoreMigrationOperator.template_fields) == {"version", "target"}
    assert FirestoreMigrationOperator(task_id="y", version="v001", phase="apply").target == "{{ params.target }}"


def test_it_returns_what_the_phase_returns(target: World) -> None:
    assert _execute("preflight", shards=1) == [{"index": 0, "step": "up", "start": None, "end": None}]
    assert target.records()["v001/runs/run-1"]["triggered_by"] == "ada"


@pytest.mark.parametrize("phase", ["apply", "verify"])
def test_a_dry_run_skips_what_comes_after_the_plan(airflow_home: Path, phase: str) -> None:
    with pytest.raises(AirflowSkipException):
        _execute(phase, mode="dry_run", shard={"index": 0})


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        ({"phase": "preflight", "version": "v099"}, "UnknownVersion: There is no v099"),
        ({"phase": "preflight", "version": "v002"}, "OutOfOrder: v002 comes after versions that are not applied"),
        ({"phase": "preflight", "shards": 0}, "ConfigurationError: Parameter shards is from 1 to 1000, not 0."),
        ({"phase": "review"}, "ConfigurationError: Run run-1 has not passed preflight. Clear the task `preflight`."),
        ({"phase": "preflight", "direction": "down"}, "NothingToRollBack: v001 has written nothing"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value.partition(":")[0],
)
def test_an_error_that_stays_fails_the_task_for_good_with_our_words_alone(
    target: World, facts: dict[str, Any], error: str
) -> None:
    with pytest.raises(AirflowFailException) as caught:
        _execute(**facts)
    assert str(caught.value).startswith(error)
    assert "direct cause" not in _shown(caught.value)
    assert "During handling" not in _shown(caught.value)


def test_an_error_that_may_pass_is_left_to_airflows_retries_without_its_cause(target: World) -> None:
    target.storage.write_text("a file where a folder is needed")
    with pytest.raises(StorageError) as caught:
        _execute("preflight")
    assert "direct cause" not in _shown(caught.value)


def test_an_error_that_nobody_foresaw_tells_its_place_and_not_what_it_says(
    target: World,
) -> None:
    """A foreign message may quote a document."""
    with pytest.raises(FirestoreMigrationsError) as caught:
        _execute("no_such_phase")
    assert str(caught.value).startswith("KeyError in no_such_phase of v001, at ")
    assert "It is tried again." in str(caught.value)
    assert "phases.py" in str(caught.value)
    assert "KeyError: " not in _shown(caught.value)


def _shown(error: BaseException) -> str:
    """The traceback as a task's log shows it."""
    return "".join(traceback.format_exception(error))

"""What a connection's extra asks of every run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from firestore_migrations.errors import ConfigurationError
from firestore_migrations.hooks.policy import policy_of
from firestore_migrations.runs.options import Options
from firestore_migrations.runs.policy import Policy


def policy(environment: str = "staging", **extra: Any) -> Policy:
    return policy_of(extra.get, "here", environment)


def test_production_asks_for_approval_and_a_rehearsal_and_others_for_nothing() -> None:
    assert policy() == Policy()
    assert policy("production") == Policy(approval=True, rehearsal_max_age=timedelta(days=7))
    assert policy("production", approval=False, rehearsal_max_age="never") == Policy()


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("30s", timedelta(seconds=30)),
        ("90m", timedelta(minutes=90)),
        ("36 h", timedelta(hours=36)),
        ("7d", timedelta(days=7)),
        (12, timedelta(hours=12)),
        ("0.5", timedelta(minutes=30)),
        (False, None),
    ],
)
def test_a_time_is_a_number_with_its_unit_or_hours(text: Any, time: timedelta | None) -> None:
    assert policy(rehearsal_max_age=text).rehearsal_max_age == time


def test_names_are_a_list_or_a_text_with_commas() -> None:
    assert policy(approvers="ada, grace", triggers=["users"], ttl_fields="sessions.expireAt") == Policy(
        approvers=("ada", "grace"), triggers=("users",), ttl_fields=("sessions.expireAt",)
    )


def test_an_empty_parameter_is_the_targets_default_and_a_given_one_is_not() -> None:
    defaults = policy(defaults={"shards": 4, "budget": 5}).defaults
    empty = {"shards": None, "budget": None, "batch_size": None, "mode": "apply"}
    assert Options.of(empty, defaults) == Options(shards=4, budget=5)
    assert Options.of({**empty, "shards": 2}, defaults) == Options(shards=2, budget=5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("approval", "perhaps"),
        ("approvers", {"ada": 1}),
        ("approvers", [5]),
        ("approval_timeout", "soon"),
        ("rehearsal_max_age", "-1d"),
        ("rehearsal_max_age", 0),
        ("approval_timeout", "never"),
        ("approval_max_age", "0s"),
        ("rehearsal_max_age", "9999999999d"),
        ("rehearsal_of", 7),
        ("refresh", "import"),
        ("ttl_fields", ["expireAt"]),
        ("export_to", "s3://bucket"),
        ("defaults", {"direction": "down"}),
        ("defaults", {"mode": "dry_run"}),
        ("defaults", {"rollout_percent": 5}),
        ("defaults", {"shards": 0}),
        ("defaults", [1]),
    ],
)
def test_a_wrong_field_is_refused_by_name_with_the_connection(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} of connection 'here'"):
        policy(**{name: value})

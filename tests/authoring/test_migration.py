"""The decorators build steps, and refuse what could not run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.cloud.firestore_v1.base_query import FieldFilter

from firestore_migrations import each_document, script
from firestore_migrations.authoring.migration import Migration, Step
from firestore_migrations.errors import BadStep, NoStep
from firestore_migrations.firestore.scope import Scope

ACTIVE = ("active", "==", True)


def transform(user: Any, db: Any) -> None:
    """Set the plan."""
    user["plan"] = "free"


def test_each_document_makes_a_step_of_its_scope() -> None:
    step = each_document("users", where=[ACTIVE], window="createdAt")(transform)
    assert step.scope == Scope("users", where=(ACTIVE,), window="createdAt")
    assert (step.name, step.is_script, step.idempotent, step.__doc__) == (
        "transform",
        False,
        True,
        "Set the plan.",
    )
    assert (step.reverse, step.checks) == (None, [])


def test_a_collection_group_and_a_step_that_is_not_idempotent() -> None:
    step = each_document("invoices", group=True, idempotent=False)(transform)
    assert (step.scope, step.idempotent) == (Scope("invoices", group=True), False)


@pytest.mark.parametrize("one", [ACTIVE, FieldFilter(*ACTIVE)])
def test_a_single_condition_may_stand_alone(one: Any) -> None:
    assert each_document("users", where=one)(transform).scope.where == (one,)


def test_script_makes_a_step_without_a_scope() -> None:
    @script
    def up(db: Any) -> None:
        db.append("ran")

    ran: list[str] = []
    up(ran)
    assert (up.is_script, up.scope, ran) == (True, None, ["ran"])


def test_a_step_can_be_called_like_its_function() -> None:
    user: dict[str, str] = {}
    each_document("users")(transform)(user, None)
    assert user == {"plan": "free"}


def test_down_and_verify_register_and_give_the_function_back() -> None:
    step = each_document("users")(transform)

    def one(user: Any, db: Any) -> None: ...
    def other(user: Any, db: Any) -> None: ...

    assert (step.verify(one), step.verify(other), step.down(one)) == (one, other, one)
    assert (step.checks, step.reverse) == ([one, other], one)


def test_two_downs_are_refused() -> None:
    step = each_document("users")(transform)
    step.down(transform)
    with pytest.raises(BadStep, match=r"two @transform\.down"):
        step.down(transform)


async def asynchronous(user: Any, db: Any) -> None: ...


def generator(user: Any, db: Any) -> Any:
    yield


@pytest.mark.parametrize(
    "function",
    [asynchronous, generator, each_document("users")(transform), functools.partial(transform), int, None],
    ids=["async", "generator", "step", "partial", "class", "None"],
)
@pytest.mark.parametrize(
    "register",
    [
        each_document("users"),
        script,
        each_document("users")(transform).verify,
        each_document("users")(transform).down,
    ],
    ids=["each_document", "script", "verify", "down"],
)
def test_what_would_not_run_when_called_is_refused(register: Callable[[Any], Any], function: Any) -> None:
    with pytest.raises(BadStep):
        register(function)


@pytest.mark.parametrize(
    "build",
    [
        lambda: each_document(transform),
        lambda: each_document(""),
        lambda: each_document(None),
        lambda: each_document("users/ada"),
        lambda: each_document("users", window=timedelta(days=1)),
        lambda: each_document("users", window=""),
    ],
)
def test_an_impossible_argument_is_refused(build: Callable[[], Any]) -> None:
    with pytest.raises(BadStep) as caught:
        build()
    assert caught.value.next_step


def _migration(*steps: Step) -> Migration:
    return Migration("v001", "add_plan", "Doc.", Path("v001_add_plan.py"), "", "0" * 64, steps)


def test_a_migration_knows_its_dag_and_its_steps() -> None:
    step, count = each_document("users")(transform), script(lambda db: db.now)
    migration = _migration(step, count)
    assert (migration.dag_id, migration.step("transform")) == ("firestore_v001_add_plan", step)


def test_a_step_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(NoStep, match=r"no step 'up'\. Its steps: transform\."):
        _migration(each_document("users")(transform)).step("up")


@pytest.mark.parametrize(("last", "all_are"), [(True, True), (False, False)])
def test_a_migration_is_idempotent_when_every_step_is(*, last: bool, all_are: bool) -> None:
    steps = [each_document("users")(transform), each_document("users", idempotent=last)(transform)]
    assert _migration(*steps).is_idempotent is all_are

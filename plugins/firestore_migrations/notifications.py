"""Notifications: Airflow's own notifiers, told how runs end and that one awaits approval.

The option `notifications` of `[firestore_migrations]` is a JSON list. Each of its objects names the states that it is
about, the notifier's class and its arguments, in which templates may use `firestore_migration`: version, target, state,
run, counts, price and digest. Nothing in it comes out of a document.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from airflow.sdk import BaseNotifier

from firestore_migrations import configuration
from firestore_migrations.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from firestore_migrations.runs.run import Run

STATES = ("awaiting_approval", "rejected", "failed", "verified", "rolled_back")
"""The states of a run that people can be told of."""

_LOG = logging.getLogger(__name__)
_EXAMPLE = (
    '[{"on": ["failed", "rejected"], "notifier": "airflow.providers.slack.notifications.slack.SlackNotifier", '
    '"kwargs": {"text": "{{ firestore_migration.version }} {{ firestore_migration.state }}"}}]'
)


class Notification(NamedTuple):
    """Whom to tell of what.

    Attributes:
        on: the states.
        make: gives the notifier; one that was used is used up, for its templates are rendered in place.
    """

    on: frozenset[str]
    make: Callable[[], BaseNotifier]


def notifications() -> list[Notification]:
    """What the option says.

    Raises:
        ConfigurationError: it is not a list of notifications, or one of them cannot be made.
    """
    text = configuration.notifications()
    try:
        entries = json.loads(text) if text else []
    except ValueError:
        raise _refusal("is not JSON") from None
    if not isinstance(entries, list):
        raise _refusal("is not a list")
    return [_notification(number, entry) for number, entry in enumerate(entries, 1)]


def notify(context: Context, run: Run, state: str, facts: Mapping[str, Any]) -> None:
    """Tell whoever wants to know that a run came to a state. What goes wrong is logged; the run never hears of it.

    Args:
        context: of the task that tells it.
        run: which.
        state: of the run.
        facts: counts, price and digest, as far as they are known.
    """
    if state not in STATES:
        return
    about = {"version": run.version, "target": run.target.name, "state": state, "run": run.id, **facts}
    try:
        for notification in notifications():
            if state in notification.on:
                _tell(notification, cast("Context", {**context, "firestore_migration": about}))
    except ConfigurationError as error:
        _LOG.error("Nobody was told that run %s is %s: %s", run.id, state, error)


def notify_of_question(context: Context, run: Run, digest: str) -> None:
    """Tell that a run awaits approval; what it would do is in its review."""
    from firestore_migrations.errors import StorageError

    try:
        review = run.folder.read_json("review.json")
    except StorageError:
        review = {}
    facts = {name: review.get(name) for name in ("counts", "price")}
    notify(context, run, "awaiting_approval", {**facts, "digest": digest})


def notify_of_refusal(context: Context) -> None:
    """Tell that a run failed before it began; for the task `preflight`, behind which nothing else runs then."""
    from firestore_migrations.errors import FirestoreMigrationsError
    from firestore_migrations.operators.migration import run_in

    task = context["task"]
    try:
        run = run_in(context, task.version, task.target)
    except FirestoreMigrationsError as error:
        _LOG.error("Nobody was told that preflight failed: %s", error)
        return
    notify(context, run, "failed", {"counts": None, "price": None, "digest": None})


def _notification(number: int, entry: Any) -> Notification:
    where = f"entry {number}"
    if not isinstance(entry, dict) or not {"on", "notifier"} <= entry.keys() <= {"on", "notifier", "kwargs"}:
        raise _refusal(f"{where} is not an object with on, notifier and kwargs")
    states, kwargs = entry["on"], entry.get("kwargs", {})
    if not isinstance(states, list) or not states or not all(state in STATES for state in states):
        raise _refusal(f"{where} is on {states!r}; a list of {', '.join(STATES)} is wanted")
    kind = _imported(where, entry["notifier"])
    if not isinstance(kwargs, dict):
        raise _refusal(f"{where} has kwargs that are no object")
    try:
        inspect.signature(kind).bind(**kwargs)
    except (TypeError, ValueError):
        raise _refusal(f"{where}: {entry['notifier']} does not take {', '.join(kwargs) or 'no arguments'}") from None
    return Notification(frozenset(states), lambda: kind(**kwargs))


def _imported(where: str, name: Any) -> type[BaseNotifier]:
    module, _, attribute = str(name).rpartition(".")
    try:
        kind = getattr(import_module(module), attribute)
    except (ImportError, ValueError, AttributeError):
        raise _refusal(f"{where}: there is no {name!r}; its provider may not be installed") from None
    if not (isinstance(kind, type) and issubclass(kind, BaseNotifier)):
        raise _refusal(f"{where}: {name} is no notifier of Airflow")
    return kind


def _tell(notification: Notification, context: Context) -> None:
    try:
        notification.make()(context)
    except Exception as error:  # noqa: BLE001 -- a notifier is code of others, and reaches out into the network
        _LOG.error("A notifier failed, and the run goes on: %s", type(error).__name__, exc_info=error)


def _refusal(problem: str) -> ConfigurationError:
    option = f"AIRFLOW__{configuration.SECTION}__NOTIFICATIONS".upper()
    return ConfigurationError(
        f"[{configuration.SECTION}] notifications cannot be used: it {problem}."
        if problem.startswith("is ")
        else f"[{configuration.SECTION}] notifications cannot be used: {problem}.",
        f"Set {option} to a JSON list like {_EXAMPLE}",
    )

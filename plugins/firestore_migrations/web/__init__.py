"""The page "Firestore migrations" in Airflow's UI, served by Airflow's API server.

    app         the application: its routes, its headers, and what becomes of an error
    access      who looks, what they may do by Airflow's own rules, and the refusal of posts from elsewhere
    places      the targets, each asked on threads of its own, so that one that is down holds up no other
    watches     one watch of each run, whoever looks at it
    overview    the versions on every target
    version     one version: its file, runs, windows and rehearsals
    run         one run: live, its plan, its failures
    audit       who did what when, to read, to filter and to take away
    forms       the trigger form, from the parameters of the DAG
    actions     what people tell: by Airflow's API in their own name, or to the run's audit
    airflow     Airflow's own API and what its database knows of a DAG run
    rendering   from a template to an answer; how numbers and times are written

Nothing of it is imported before somebody opens it: every process of Airflow loads the plugin.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from typing import Any

PREFIX = "/firestore-migrations"
_AIRFLOW = "firestore_migrations.airflow"

Message = MutableMapping[str, Any]


async def page(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """The ASGI application that Airflow mounts; it loads the real one, on a thread, when it is first asked."""
    from anyio.to_thread import run_sync

    module = await run_sync(import_module, "firestore_migrations.web.app")
    scope[_AIRFLOW] = scope.get("app")
    await module.app(scope, receive, send)

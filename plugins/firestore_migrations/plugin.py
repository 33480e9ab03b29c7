"""The Airflow plugin.

Airflow finds it twice where the package is installed and `plugins/` is also its plugins folder: by entry point, and
as a file that it runs under the bare name `plugin`. The file then steps back, so that one plugin is there either
way.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from airflow.plugins_manager import AirflowPlugin

from firestore_migrations.timetable import WindowTimetable
from firestore_migrations.web import PREFIX, page

_NAME = "Firestore migrations"
_HREF = PREFIX.removeprefix("/")  # without the first slash it holds behind a proxy too


class FirestoreMigrationsPlugin(AirflowPlugin):
    """Firestore migrations, as Airflow's list of plugins shows them."""

    name = "firestore_migrations"
    timetables = [WindowTimetable]  # noqa: RUF012 -- as Airflow declares these
    fastapi_apps = [{"app": page, "url_prefix": PREFIX, "name": _NAME}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": _NAME,
            "href": f"{_HREF}/",
            "destination": "nav",
            "category": "browse",
            "icon": f"{_HREF}/static/icon.svg",
            "url_route": "firestore-migrations",
        },
        {
            "name": "Migration",
            "href": f"{_HREF}/dags/{{DAG_ID}}",
            "destination": "dag",
            "icon": f"{_HREF}/static/icon.svg",
            "url_route": "migration",
        },
        {
            "name": "Migration",
            "href": f"{_HREF}/dags/{{DAG_ID}}/runs/{{RUN_ID}}",
            "destination": "dag_run",
            "icon": f"{_HREF}/static/icon.svg",
            "url_route": "migration-run",
        },
    ]


if __name__ != "firestore_migrations.plugin" and entry_points(
    group="airflow.plugins", name=FirestoreMigrationsPlugin.name
):
    del FirestoreMigrationsPlugin

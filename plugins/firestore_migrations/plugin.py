"""The Airflow plugin.

Airflow finds it twice where the package is installed and `plugins/` is also its plugins folder: by entry point, and
as a file that it runs under the bare name `plugin`. The file then steps back, so that one plugin is there either
way.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from airflow.plugins_manager import AirflowPlugin

from firestore_migrations.timetable import WindowTimetable


class FirestoreMigrationsPlugin(AirflowPlugin):
    """Firestore migrations, as Airflow's list of plugins shows them."""

    name = "firestore_migrations"
    timetables = [WindowTimetable]  # noqa: RUF012 -- as Airflow declares it


if __name__ != "firestore_migrations.plugin" and entry_points(
    group="airflow.plugins", name=FirestoreMigrationsPlugin.name
):
    del FirestoreMigrationsPlugin

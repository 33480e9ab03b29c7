"""The timetable of a migration with windows: nothing runs by the clock, and a backfill may ask for intervals."""

from __future__ import annotations

from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable


class WindowTimetable(CronDataIntervalTimetable):
    """The intervals between the times of a cron expression, for `airflow backfill` alone.

    A backfill asks with an end and catches up. The scheduler asks with what the DAG says, which has neither: it gets
    nothing, so no run is ever made by the clock.
    """

    can_be_scheduled = False
    periodic = True

    @property
    def summary(self) -> str:
        """What Airflow's list of DAGs shows as the schedule."""
        return f"backfill: {super().summary}"

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next interval of a backfill; None for the scheduler."""
        if restriction.latest is None or not restriction.catchup:
            return None
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )

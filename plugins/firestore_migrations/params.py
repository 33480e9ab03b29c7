"""The parameters of a run, as the trigger form shows them."""

from __future__ import annotations

from airflow.sdk import Param

from firestore_migrations import configuration

_DAY = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_TIME = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)?"
WINDOW_PATTERN = f"^({_DAY}([T ]{_TIME})?/{_DAY}([T ]{_TIME})?)?$"
"""Of what `Window.of` takes; that an interval ends after it begins, and which months have 31 days, it says itself."""


def make_params() -> dict[str, Param]:
    """The parameters of a run; an empty one is the target's default, else the one that its description names."""
    return {**_of_the_run(), **_of_the_rollout(), **_of_the_limits(), **_of_the_gates()}


def _of_the_run() -> dict[str, Param]:
    """What is run, and where."""
    targets = configuration.targets()
    return {
        "target": Param(
            targets[0] if targets else configuration.DEFAULT_TARGET,
            type="string",
            minLength=1,
            title="Target",
            description="Connection of type firestore: the database to migrate.",
            **({"enum": targets} if targets else {}),
        ),
        "mode": Param(
            "apply",
            type="string",
            enum=["apply", "dry_run"],
            title="Mode",
            description="dry_run ends after the plan and its report; nothing but the audit is written.",
        ),
        "direction": Param(
            "up", type="string", enum=["up", "down"], title="Direction", description="down takes the version back."
        ),
        "redrive": Param(
            False,
            type="boolean",
            title="Only what failed",
            description="Only the documents that failed in earlier runs of this version; the file may be mended since.",
        ),
        "undo": Param(
            None,
            type=["null", "string"],
            title="Run to take back",
            description="With direction down: this run alone, or a rollback. Empty: every run that was not taken back.",
        ),
        "sample": Param(
            None,
            type=["null", "integer"],
            minimum=0,
            maximum=1000,
            title="Samples",
            description=(
                "Changed documents that the report shows, as the target's policy allows. "
                "Empty: the target's default, else 5."
            ),
        ),
    }


def _of_the_rollout() -> dict[str, Param]:
    """How much at a time."""
    return {
        "rollout_percent": Param(
            100,
            type="number",
            exclusiveMinimum=0,
            maximum=100,
            section="Rollout",
            title="Rollout percent",
            description="How much of the scope to migrate; a later run with more takes the rest.",
        ),
        "window": Param(
            None,
            type=["null", "string"],
            pattern=WINDOW_PATTERN,
            section="Rollout",
            title="Window",
            description=(
                "Of a version whose steps have a window: START/END, like 2026-01-01/2026-02-01; UTC where no zone is "
                "named, START belongs to it and END does not. Empty: everything that is left."
            ),
        ),
        "shards": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=1000,
            section="Rollout",
            title="Shards",
            description=(
                "Ranges of document names that are worked on side by side. Empty: the target's default, else 1."
            ),
        ),
        "batch_size": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=500,
            section="Rollout",
            title="Batch size",
            description="Writes of one atomic commit, its audit record included at 500. Empty: the target's, else 500.",
        ),
    }


def _of_the_limits() -> dict[str, Param]:
    """Where it stops."""
    return {
        "max_writes_per_second": Param(
            None,
            type=["null", "number"],
            minimum=0,
            section="Limits",
            title="Writes per second",
            description="Over all shards. Empty: the target's limit, or Google's 500/50/5 rule. 0: none.",
        ),
        "max_failures": Param(
            None,
            type=["null", "string", "integer"],
            minimum=0,
            pattern=r"^(\d+|(\d{1,2}(\.\d+)?|100(\.0+)?)%)$",
            section="Limits",
            title="Failures tolerated",
            description=(
                "Documents that may fail before the run stops: a count, or a share of the scanned like 1%. "
                "Empty: the target's default, else 0."
            ),
        ),
        "budget": Param(
            None,
            type=["null", "number"],
            minimum=0,
            section="Limits",
            title="Budget (USD)",
            description=(
                "US dollars. The plan is refused if the run would cost more, and the run stops before it does. "
                "Empty: the target's default, else any price."
            ),
        ),
    }


def _of_the_gates() -> dict[str, Param]:
    """What it may go past."""
    return {
        "without_rehearsal": Param(
            None,
            type=["null", "string"],
            pattern=r"^(\s*\S[\s\S]{8,}\S\s*)?$",
            section="Exceptions",
            title="Why without a rehearsal",
            description=(
                "The target asks for a passed rehearsal, and this run is to go without: why, in 10 characters or more. "
                "The audit keeps it."
            ),
        ),
    }

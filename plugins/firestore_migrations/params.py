"""The parameters of a run, as the trigger form shows them."""

from __future__ import annotations

from airflow.sdk import Param

from firestore_migrations import configuration


def make_params() -> dict[str, Param]:
    """The parameters of a run, as the trigger form shows them."""
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
            "",
            type="string",
            title="Run to take back",
            description="With direction down: this run alone, or a rollback. Empty: every run that was not taken back.",
        ),
        "sample": Param(
            5,
            type="integer",
            minimum=0,
            maximum=1000,
            title="Samples",
            description="Changed documents that the report shows, as the target's policy allows.",
        ),
        "rollout_percent": Param(
            100,
            type="number",
            exclusiveMinimum=0,
            maximum=100,
            section="Rollout",
            title="Rollout percent",
            description="How much of the scope to migrate; a later run with more takes the rest.",
        ),
        "shards": Param(
            1,
            type="integer",
            minimum=1,
            maximum=1000,
            section="Rollout",
            title="Shards",
            description="Ranges of document names that are worked on side by side.",
        ),
        "batch_size": Param(
            500,
            type="integer",
            minimum=1,
            maximum=500,
            section="Rollout",
            title="Batch size",
            description="Writes of one atomic commit, its audit record included at 500.",
        ),
        "max_writes_per_second": Param(
            None,
            type=["null", "number"],
            minimum=0,
            section="Limits",
            title="Writes per second",
            description="Over all shards. Empty: the target's limit, or Google's 500/50/5 rule. 0: none.",
        ),
        "max_failures": Param(
            "0",
            type=["string", "integer"],
            minimum=0,
            pattern=r"^\d+(\.\d+)?%?$",
            section="Limits",
            title="Failures tolerated",
            description="Documents that may fail before the run stops: a count, or a share of the scanned like 1%.",
        ),
        "budget": Param(
            None,
            type=["null", "number"],
            minimum=0,
            section="Limits",
            title="Budget (USD)",
            description="The plan is refused if the run would cost more. Empty: any price.",
        ),
    }

"""What this package tells Airflow about itself, as a provider."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": ["string", "null"]}


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata: connection type, hook, operator, configuration and commands."""
    from firestore_migrations.configuration import provider_section

    return {
        "package-name": "firestore-migrations",
        "name": "Firestore migrations",
        "description": "Versioned migrations of live Firestore data.",
        "connection-types": [
            {
                "connection-type": "firestore",
                "hook-class-name": "firestore_migrations.hooks.firestore.FirestoreHook",
                "hook-name": "Firestore",
                "ui-field-behaviour": {
                    "hidden-fields": ["host", "schema", "login", "password", "port"],
                    "relabeling": {},
                },
                "conn-fields": _connection_fields(),
            }
        ],
        "config": {"firestore_migrations": provider_section()},
        "cli": ["firestore_migrations.cli.get_cli_commands"],
    }


def _connection_fields() -> dict[str, Any]:
    """The fields of a connection's form; they are kept in its extra."""

    def field(label: str, description: str, **schema: Any) -> dict[str, Any]:
        return {"label": label, "description": description, "schema": {**_TEXT, **schema}}

    def flag(label: str, description: str) -> dict[str, Any]:
        return {"label": label, "description": description, "schema": {"type": ["boolean", "null"]}}

    return {
        "project": field("Project id", "The Google Cloud project."),
        "database": field("Database id", "Empty for (default)."),
        "emulator_host": field("Emulator host", "host:port of a Firestore emulator; empty for Google's servers."),
        "environment": field(
            "Environment",
            "Production asks for more.",
            enum=["development", "staging", "production", None],
        ),
        "storage": field("Storage", "Where snapshots and plans are kept, like gs://google_cloud_default@bucket/x."),
        "samples": field("Samples", "What reports may show of documents.", enum=["values", "shapes", "none", None]),
        "writes_per_second": {
            "label": "Writes per second",
            "description": "A limit of this database's own; empty for Google's 500/50/5 rule.",
            "schema": {"type": ["number", "null"]},
        },
        "approval": flag("Approval", "Whether a person approves each plan; in production yes, unless you say no."),
        "approvers": field("Approvers", "User ids of those who may approve, separated by commas; empty for everyone."),
        "approval_timeout": field("Approval time-out", "How long a run waits for the answer, like 36h; empty: 1d."),
        "approval_max_age": field("Approval's age", "How long an approval holds until apply begins; empty: 1d."),
        "rehearsal_max_age": field(
            "Rehearsal's age",
            "A version is applied only with a passed rehearsal that is younger; empty: 7d in production, else never.",
        ),
        "rehearsal_of": field("Rehearsal of", "The connection whose copy this database is: rehearsals OVERWRITE it."),
        "refresh": field("Refresh", "How a rehearsal makes the copy.", enum=["copy", "clone", None]),
        "triggers": field("Triggers", "Collections that functions are triggered by, separated by commas."),
        "ttl_fields": field("TTL fields", "Fields with a time-to-live policy, like sessions.expireAt, by commas."),
        "export_to": field("Export to", "gs://bucket/prefix of a managed export before each run; empty for none."),
        "planner_impersonation_chain": field(
            "Planner's impersonation chain", "A read-only identity for backup and dry run."
        ),
        "impersonation_chain": field("Impersonation chain", "As the Google provider's connections have it."),
        "key_path": field("Keyfile path", "As the Google provider's connections have it."),
        "keyfile_dict": field("Keyfile JSON", "As the Google provider's connections have it.", format="password"),
    }

"""What is in a document stays out of Airflow: its logs, its database, and every error.

Paths and field names may be told.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow import settings
from airflow.models.log import Log
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.xcom import XComModel
from sqlalchemy import select

from tests.airflow.deployment import Deployment
from tests.runs.world import World

MARK = "zebra-4711"
EACH = '@each_document("users")\ndef up(user, db):\n    '
SCRIPT = "@script\ndef up(db):\n    secret = next(iter(db.collection('users').stream())).to_dict()['secret']\n    "
CHECK = EACH + "user['n'] = 1\n\n@up.verify\ndef check(user, db):\n    "
BODIES = {
    "good": (EACH + "user['copy'] = user['secret']", "verified"),
    "raises": (EACH + "raise ValueError(user['secret'])", "failed"),
    "key error": (EACH + "user['copy'] = {}[user['secret']]", "failed"),
    "impossible value": (EACH + "user['copy'] = {user['secret'], 1}", "failed"),
    "missing field": (EACH + "del user['map'][user['secret']]", "failed"),
    "fails by itself": (EACH + "db.fail('it is not whole')", "failed"),
    "not idempotent": (EACH + "user['secret'] += user['secret']", "failed"),
    "script raises": (SCRIPT + "raise ValueError(secret)", "failed"),
    "script of a wrong filter": (SCRIPT + "list(db.collection('users').where('a', secret, 1).stream())", "failed"),
    "check fails": (CHECK + "assert not user['secret'], user['secret']", "failed"),
    "check raises": (CHECK + "raise LookupError(user['secret'])", "failed"),
}


@pytest.mark.parametrize("name", BODIES)
def test_no_value_of_a_document_is_in_logs_xcom_or_audit(
    deployment: Deployment,
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    body, state = BODIES[name]
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "v001_marked.py").write_text(
        f'"""Reads what is secret."""\nfrom firestore_migrations import each_document, script\n\n{body}\n'
    )
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__MIGRATIONS_FOLDER", str(folder))
    deployment.parse()
    world.write({"users/ada": {"secret": MARK, "map": {"kept": MARK}}, "users/bob": {"secret": MARK, "map": {}}})

    outcome = deployment.run("v001")

    logged = "".join(capfd.readouterr()) + caplog.text
    assert "preflight" in logged  # the logs of the tasks are there to be looked at
    assert MARK not in logged
    assert MARK not in _airflows_database(outcome.run_id)
    assert world.records()[f"v001/runs/{outcome.run_id}"]["state"] == state
    assert MARK not in json.dumps(world.records(), default=str)


def _airflows_database(run_id: str) -> str:
    """Every text that Airflow keeps of a run."""
    session = settings.Session()
    rows = [
        *session.execute(select(XComModel.key, XComModel.value).where(XComModel.run_id == run_id)),
        *session.execute(
            select(RenderedTaskInstanceFields.rendered_fields).where(RenderedTaskInstanceFields.run_id == run_id)
        ),
        *session.execute(select(Log.event, Log.extra).where(Log.run_id == run_id)),
    ]
    assert rows
    return str(rows)

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
AIRFLOW_SERVICES = {
    "airflow-init",
    "airflow-apiserver",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-worker",
    "airflow-triggerer",
    "seed",
}
SECRETS = ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY")

CELERY_SETTINGS = {
    "CORE__EXECUTOR": "CeleryExecutor",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    "SCHEDULER__TASK_QUEUED_TIMEOUT": "120",
    "CELERY__WORKER_CONCURRENCY": "4",
    "CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
    "CELERY__TASK_ACKS_LATE": "true",
    "CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "86400",
}


def _with_defaults(value: Any) -> Any:
    """What compose makes of the file where no variable is set: `${NAME:-default}` becomes the default."""
    if isinstance(value, dict):
        return {key: _with_defaults(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_defaults(item) for item in value]
    return re.sub(r"(?<!\$)\$\{\w+:-([^}]*)\}", r"\1", value) if isinstance(value, str) else value


SERVICES: dict[str, dict[str, Any]] = _with_defaults(
    yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
)
ENVIRONMENT: dict[str, str] = SERVICES["airflow-scheduler"]["environment"]


def _compose_is_here() -> bool:
    try:
        return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def test_the_services_are_airflows_own_and_the_emulator() -> None:
    assert set(SERVICES) == AIRFLOW_SERVICES | {"postgres", "redis", "firestore"}


def test_this_project_is_in_every_component() -> None:
    """The page, the timetable and the operators are imported by different components."""
    assert {(SERVICES[name]["image"], SERVICES[name]["build"]) for name in AIRFLOW_SERVICES} == {
        ("firestore-migrations-airflow:local", ".")
    }


def test_no_variable_needs_to_be_set() -> None:
    assert [name for name in SERVICES if re.search(r"(?<!\$)\$\{", json.dumps(SERVICES[name]))] == []


def test_every_port_is_bound_to_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert sorted(ports) == ["127.0.0.1:8080:8080", "127.0.0.1:8085:8080"]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_the_same_in_all_components(secret: str) -> None:
    """Airflow makes up a missing one in each container, and then no component believes another."""
    assert {SERVICES[name]["environment"][secret] for name in AIRFLOW_SERVICES} == {ENVIRONMENT[secret]}


def test_the_secrets_have_the_form_that_airflow_wants() -> None:
    fernet_key = base64.urlsafe_b64decode(ENVIRONMENT["AIRFLOW__CORE__FERNET_KEY"])
    assert len(fernet_key) == 32
    assert len(ENVIRONMENT["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64  # HS512
    assert all("change" in secret for secret in (fernet_key.decode(), ENVIRONMENT["AIRFLOW__API__SECRET_KEY"]))


@pytest.mark.parametrize("name", sorted(AIRFLOW_SERVICES))
def test_every_airflow_setting_is_well_formed(name: str) -> None:
    settings = [key for key in SERVICES[name]["environment"] if key.startswith("AIRFLOW_")]
    form = r"AIRFLOW__[A-Z]+(_[A-Z]+)*__[A-Z]+(_[A-Z]+)*|AIRFLOW_CONN_[A-Z]+(_[A-Z]+)*"
    assert [key for key in settings if not re.fullmatch(form, key)] == []


def test_the_connection_points_to_the_emulator_in_the_network() -> None:
    connection = json.loads(ENVIRONMENT["AIRFLOW_CONN_FIRESTORE_DEFAULT"])
    assert connection == {
        "conn_type": "firestore",
        "extra": {
            "project": "demo-recoup",
            "database": "(default)",
            "emulator_host": "firestore:8080",
            "environment": "development",
            "storage": ENVIRONMENT["AIRFLOW__FIRESTORE_MIGRATIONS__STORAGE"],
        },
    }


def test_a_dead_workers_tasks_are_run_again_soon_and_no_living_ones_twice() -> None:
    """What tests/celery kills a worker with; Celery gives nothing to a second worker while a first may be at it."""
    settings = {name: ENVIRONMENT.get(f"AIRFLOW__{name}") for name in CELERY_SETTINGS}
    assert settings == CELERY_SETTINGS


def test_the_storage_and_the_migrations_are_there_in_every_component() -> None:
    folders = {"storage:/opt/airflow/storage", "./migrations:/opt/airflow/migrations:ro"}
    assert [name for name in AIRFLOW_SERVICES if not folders <= set(SERVICES[name]["volumes"])] == []


def test_each_service_waits_for_what_it_needs() -> None:
    waits = {
        name: {other: wait["condition"] for other, wait in service.get("depends_on", {}).items()}
        for name, service in SERVICES.items()
    }
    healthy, done = "service_healthy", "service_completed_successfully"
    ready = {"postgres": healthy, "redis": healthy, "airflow-init": done}
    assert waits == {
        "postgres": {},
        "redis": {},
        "firestore": {},
        "airflow-init": {"postgres": healthy},
        "seed": {"firestore": healthy},
        "airflow-apiserver": ready,
        "airflow-scheduler": ready,
        "airflow-dag-processor": ready,
        "airflow-triggerer": ready,
        "airflow-worker": {**ready, "airflow-apiserver": healthy, "firestore": healthy},
    }


def test_whoever_is_waited_for_in_health_has_a_health_check() -> None:
    waited_for = {
        other
        for service in SERVICES.values()
        for other, wait in service.get("depends_on", {}).items()
        if wait["condition"] == "service_healthy"
    }
    assert [name for name in waited_for if "healthcheck" not in SERVICES[name]] == []


def test_compose_itself_accepts_the_file() -> None:
    """Where docker's compose plugin is installed; the tests above hold everywhere."""
    complaint = ""
    if _compose_is_here():
        command = ["docker", "compose", "--file", "docker-compose.yml", "config", "--quiet"]
        complaint = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stderr
    assert complaint == ""


def test_the_image_is_built_from_what_the_builder_is_sent() -> None:
    """Its Airflow is the one that constraints.txt pins, and .dockerignore sends all that it copies."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    base = re.search(r"^FROM apache/airflow:(\S+)$", dockerfile, re.MULTILINE)
    assert base
    assert f"apache-airflow=={base[1]}" in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()

    copies = re.findall(r"^COPY --chown=\S+ (.+) \S+$", dockerfile, re.MULTILINE)
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(" ".join(copies).split()) == sent

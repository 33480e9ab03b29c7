"""A running Airflow with Recoup's data, and people with a browser before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from demo.airflow_home import PROJECT
from firestore_migrations.emulator import Emulator
from tests.celery.services import find, free_port
from tests.live.airflow import Live, living
from tests.runs.world import World

MIGRATIONS = Path(__file__).parent / "migrations"
DATABASES = {
    "recoup_staging": "(default)",
    "recoup_production": "production",
    "recoup_rehearsal": "rehearsal",
    "recoup_sandbox": "sandbox",
    "recoup_laptop": "laptop",
    "recoup_archive": "archive",
}
EXTRAS: dict[str, dict[str, Any]] = {
    "recoup_staging": {"environment": "staging"},
    "recoup_production": {"environment": "production"},
    "recoup_rehearsal": {"rehearsal_of": "recoup_production"},
}
DOWN = "recoup_elsewhere"
FIRST_DAY = datetime(2026, 1, 1, tzinfo=timezone.utc)
ROOT = "/firestore-migrations"
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_USERS, _MANY_USERS = 240, 1000


class Person:
    """Somebody with a browser, logged in to Airflow; nothing may be asked of any other host meanwhile."""

    def __init__(self, context: BrowserContext, live: Live, pictures: Path) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.elsewhere: list[str] = []
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        self._live = live
        self._pictures = pictures
        self.page.on("request", self._note)
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def log_in(self, user: str) -> Person:
        login = {"username": user, "password": self._live.passwords[user]}
        token = self.context.request.post(f"{self._live.url}/auth/token", data=login).json()["access_token"]
        self.context.add_cookies([{"name": "_token", "value": token, "url": self._live.url}])
        return self

    def open(self, path: str = "/", *, root: str = ROOT) -> int:
        answer = self.page.goto(f"{self._live.url}{root}{path}")
        assert answer is not None
        return answer.status

    def take_picture(self, name: str, **how: Any) -> None:
        self.page.screenshot(path=self._pictures / f"{name}.png", **how)

    def wait_for(self, question: str, seconds: float = 120) -> None:
        """Wait for something that the page comes to by itself, as JavaScript asks it."""
        deadline = time.monotonic() + seconds
        while not self.page.evaluate(question):
            assert time.monotonic() < deadline, f"not after {seconds} s: {question}\n{self.page.inner_text('main')}"
            self.page.wait_for_timeout(200)

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self._live.url, "blob:", "data:")):
            self.elsewhere.append(request.url)


@pytest.fixture(scope="session")
def project_id() -> str:
    return f"demo-{uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def worlds(emulator: Emulator, project_id: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, World]:
    """The database of each target, with users in it; some cannot be marked, and some have names that bite."""
    found = {}
    for target, database in DATABASES.items():
        world = World(emulator.host, project_id, tmp_path_factory.mktemp(target), database)
        tiers = ("free", "starter", "professional", "business")
        users: dict[str, dict[str, Any]] = {
            f"users/u{number:04d}": {
                "name": f"User {number}",
                "subscriptionTier": tiers[number % 4],
                "seats": number,
                "createdAt": FIRST_DAY + timedelta(days=number % 4),
            }
            for number in range(_MANY_USERS if target == "recoup_archive" else _USERS)
        }
        users["users/<script>alert(1)<script>"] = {"name": "<img src=x onerror=alert(2)>", "unmarkable": True}
        users["users/=cmd()"] = {"name": "=1+1", "unmarkable": True}
        world.write(users)
        found[target] = world
    return found


@pytest.fixture(scope="session")
def migrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the migrations; a test may edit a file."""
    folder = tmp_path_factory.mktemp("migrations")
    shipped = [PROJECT / "migrations" / f"{name}.py" for name in ("v001_add_user_stats", "v002_migrate_pricing")]
    for file in [*shipped, *MIGRATIONS.glob("*.py")]:
        (folder / file.name).write_text(file.read_text())
    return folder


@pytest.fixture(scope="session")
def live(
    emulator: Emulator,
    project_id: str,
    worlds: dict[str, World],
    migrations: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Live]:
    places = {
        target: {"project": project_id, "database": database, "emulator_host": emulator.host, **EXTRAS.get(target, {})}
        for target, database in DATABASES.items()
    }
    places[DOWN] = {"project": project_id, "emulator_host": f"127.0.0.1:{free_port()}"}
    ours = {
        "migrations_folder": migrations,
        "targets": ",".join(places),
        "rehearsal_target": "recoup_rehearsal",
        "rehearsal_schedule": "never",
    }
    with living(tmp_path_factory.mktemp("airflow"), {"firestore_migrations": ours}, places) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=find("chromium", "chromium"), args=_FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def pictures(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = pytestconfig.getoption("--pictures")
    folder = PROJECT / named if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def somebody(browser: Browser, live: Live, pictures: Path) -> Iterator[Callable[..., Person]]:
    """Makes people; in the end none of their browsers has asked elsewhere, shown a dialog, or met an error."""
    people: list[Person] = []

    def make(user: str = "", **how: Any) -> Person:
        settings = {"viewport": {"width": 1280, "height": 800}, **how}
        person = Person(browser.new_context(**settings), live, pictures)
        people.append(person)
        return person.log_in(user) if user else person

    yield make
    for person in people:
        person.context.close()
        assert (person.elsewhere, person.dialogs, person.errors) == ([], [], [])


@pytest.fixture
def operator(somebody: Callable[..., Person]) -> Person:
    return somebody("admin")


@pytest.fixture
def viewer(somebody: Callable[..., Person]) -> Person:
    return somebody("viewer")

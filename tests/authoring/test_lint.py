"""`check` reads a migration and names each line that would make its plan impure, or its step not run."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest

from firestore_migrations.authoring.lint import RULES, Finding, lint

SHIPPED = sorted((Path(__file__).parents[2] / "migrations").glob("v*.py"))

# {top} is at the top of the file, {body} in the transform; line 10 is the first of `body`.
WORLD = '''"""Give every user a plan."""

from firestore_migrations import Database, Document, each_document
{top}


# The transform.
@each_document("users")
def up(user: Document, db: Database) -> None:
{body}


@up.verify
def has_plan(user: Document, db: Database) -> None:
    assert "plan" in user
'''


def check(folder: Path, body: str = "user.setdefault('plan', 'free')", top: str = "") -> list[Finding]:
    return check_text(folder, WORLD.format(top=top, body=indent(body, "    ")))


def check_text(folder: Path, text: str, name: str = "v001_a.py") -> list[Finding]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return lint(path)


def rules(findings: list[Finding]) -> list[str]:
    return [finding.rule for finding in findings]


def test_a_pure_migration_has_no_findings(tmp_path: Path) -> None:
    assert check(tmp_path) == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_migrations_have_no_findings(path: Path) -> None:
    assert lint(path) == []


def test_a_finding_says_where_what_and_what_instead(tmp_path: Path) -> None:
    assert check(tmp_path, "user['at'] = datetime.now()", "from datetime import datetime") == [
        Finding(
            file=tmp_path / "v001_a.py",
            line=10,
            rule="clock",
            message="`datetime.datetime.now` is another time in each pass, so that the same plan is never made twice.",
            remedy="Use `db.now`: one instant for the whole run.",
        )
    ]


@pytest.mark.parametrize(
    ("rule", "top", "body"),
    [
        ("own-client", "from google.cloud import firestore", "firestore.Client()"),
        ("own-client", "from google.cloud.firestore import AsyncClient as C", "C(project='p')"),
        (
            "own-client",
            "import google.cloud.firestore",
            "google.cloud.firestore.Client.from_service_account_json('k')",
        ),
        ("own-client", "from google.cloud import storage", "storage.Client()"),
        ("own-client", "import google.auth", "google.auth.default()"),
        ("own-client", "", "import firebase_admin"),
        ("own-client", "", "from firebase_admin import firestore"),
        ("network", "", "import requests"),
        ("network", "", "from httpx import get"),
        ("network", "", "import urllib.request"),
        ("network", "", "from urllib import request"),
        ("network", "", "import socket, json"),
        ("network", "", "import aiohttp.client as http"),
        ("network", "", "import smtplib"),
        ("network", "", "from subprocess import run"),
        ("network", "import os", "os.system('ls')"),
        ("clock", "import datetime", "datetime.datetime.now()"),
        ("clock", "import datetime as d", "d.datetime.utcnow().isoformat()"),
        ("clock", "from datetime import date", "date.today()"),
        ("clock", "from datetime import datetime as dt", "dt.now()"),
        ("clock", "from datetime import datetime as dt", "user.update(at=(dt.now,))"),
        ("clock", "import datetime\ndt = datetime.datetime", "dt.today()"),
        ("clock", "from time import time", "time()"),
        ("clock", "import time as t", "t.monotonic_ns()"),
        ("clock", "import pendulum", "pendulum.now()"),
        ("clock", "from airflow.sdk import timezone", "timezone.utcnow()"),
        ("random", "import random", "random.choice([1])"),
        ("random", "from random import shuffle as mix", "mix([1])"),
        ("random", "import random", "random.Random()"),
        ("random", "import uuid", "uuid.uuid1()"),
        ("random", "from uuid import uuid4", "uuid4()"),
        ("random", "import secrets", "secrets.token_hex()"),
        ("random", "import os", "os.urandom(4)"),
        ("random", "", "hash(user.id)"),
        ("global-state", "SEEN = set()", "SEEN.add(user.id)"),
        ("global-state", "SEEN: list[str] = []", "SEEN.append(user.id)"),
        ("global-state", "CACHE = {}", "CACHE[user.id] = 1"),
        ("global-state", "CACHE = {}", "CACHE['ids'].extend([user.id])"),
        ("global-state", "CACHE = {}", "CACHE['n'] += 1"),
        ("global-state", "CACHE = {}", "del CACHE['n']"),
        ("global-state", "CACHE = {}", "CACHE.update(a=1)"),
        ("global-state", "import itertools\nIDS = itertools.count()", "user['n'] = next(IDS)"),
        ("global-state", "def seen(): ...", "seen.count = 1"),
        ("global-state", "count = 0", "global count"),
        ("global-state", "", "n = 0\ndef more():\n    nonlocal n"),
        ("file-io", "", "open('tiers.csv')"),
        ("file-io", "from pathlib import Path", "Path('tiers.csv').read_text()"),
        ("file-io", "import pathlib\nHERE = pathlib.Path(__file__).parent", "(HERE / 'tiers.csv').open()"),
        ("file-io", "", "user.source.read_text()"),
        ("file-io", "import os", "os.environ['TIER']"),
        ("file-io", "from os import getenv", "getenv('TIER')"),
        ("print-data", "", "print(user)"),
        ("print-data", "import logging", "logging.info('%s', user)"),
        ("print-data", "import logging\nlog = logging.getLogger(__name__)", "log.warning(user)"),
        ("print-data", "from pprint import pprint", "pprint(user)"),
    ],
)
def test_what_makes_a_plan_impure_is_found_on_its_line(tmp_path: Path, rule: str, top: str, body: str) -> None:
    [finding] = check(tmp_path, body, top)
    first = 10 + top.count("\n")
    assert (finding.rule, finding.level) == (rule, "error")
    assert first <= finding.line <= first + body.count("\n")
    assert finding.message
    assert finding.remedy


@pytest.mark.parametrize(
    ("top", "body"),
    [
        ("from google.cloud.firestore import FieldFilter, SERVER_TIMESTAMP", "user['at'] = SERVER_TIMESTAMP"),
        ("from google.cloud import firestore", "def helper(db: firestore.Client) -> None: ..."),
        ("from datetime import datetime, timedelta", "user['until'] = datetime(2025, 1, 1) + timedelta(1)"),
        ("from datetime import datetime", "user['at'] = datetime.fromisoformat(user['text'])"),
        ("import random", "user['n'] = random.Random(user.path).random()"),
        ("import random", "dice = random.Random(user.path)\nuser['n'] = dice.choice([1, 2])"),
        ("import uuid", "user['id'] = str(uuid.uuid5(uuid.NAMESPACE_URL, user.path))"),
        ("import hashlib", "user['hash'] = hashlib.sha256(user.id.encode()).hexdigest()"),
        ("TIERS = {}", "tiers = dict(TIERS)\ntiers['a'] = 1\ntiers.update(b=2)"),
        ("TIERS = {}", "TIERS = {}\nTIERS['a'] = 1"),
        ("TIERS = {}", "def fill(TIERS): TIERS['a'] = 1"),
        ("TIERS = {'a': 1}", "user['n'] = TIERS.get(user['tier'], next(iter(TIERS)))"),
        ("import logging\nlog = logging.getLogger(__name__)", "pass"),
        ("print('loading')", "pass"),
        ("import random", "random = user['random']\nrandom.seed"),
        ("import time", "for time in user['times']: time.time"),
        ("", "open = user['open']\nopen()"),
        ("import urllib.parse", "user['host'] = urllib.parse.urlsplit(user['url']).netloc"),
        ("import os.path", "user['name'] = os.path.basename(user['file'])"),
        ("from pathlib import PurePath", "user['suffix'] = PurePath(user['file']).suffix"),
        ("from . import time", "time.time()"),
        ("text = 'datetime.now()  # noqa: clock'", "pass"),
        ("a = b\nb = a", "a.now()"),
    ],
)
def test_what_is_pure_passes(tmp_path: Path, top: str, body: str) -> None:
    assert check(tmp_path, body, top) == []


def test_the_top_of_the_file_is_checked_too(tmp_path: Path) -> None:
    assert rules(check(tmp_path, top="import time\nNOW = time.time()")) == ["clock"]


def test_one_line_breaks_a_rule_once(tmp_path: Path) -> None:
    assert rules(check(tmp_path, "print(1), print(hash('a'))")) == ["print-data", "random"]


@pytest.mark.parametrize(
    ("rule", "step"),
    [
        (
            "async-step",
            '@each_document("a")\nasync def up(user, db): ...\n@up.verify\ndef check(user, db): ...',
        ),
        ("async-step", '@each_document("a")\ndef up(user, db): yield\n@up.verify\ndef check(user, db): ...'),
        (
            "async-step",
            '@each_document("a")\ndef up(user, db): ...\n@up.verify\nasync def check(user, db): ...',
        ),
        ("step-arguments", '@each_document("a")\ndef up(user): ...\n@up.verify\ndef check(user, db): ...'),
        ("step-arguments", '@each_document("a")\ndef up(a, b, c): ...\n@up.verify\ndef check(user, db): ...'),
        (
            "step-arguments",
            '@each_document("a")\ndef up(a, b, *, c): ...\n@up.verify\ndef check(user, db): ...',
        ),
        ("step-arguments", '@each_document("a")\ndef up(a, b): ...\n@up.verify\ndef check(user): ...'),
        ("step-arguments", "@script\ndef up(a, b): ...\n@up.verify\ndef check(db): ..."),
        ("step-arguments", "@script\ndef up(db): ...\n@up.verify\ndef check(user, db): ..."),
        ("step-arguments", "@fm.script\ndef up(): ...\n@up.verify\ndef check(db): ..."),
        (
            "step-arguments",
            "@script\ndef up(db): ...\n@up.verify\ndef a(db): ...\n@up.down\ndef b(user, db): ...",
        ),
        ("hidden-step", "@script\ndef up(db): ...\n@up.verify\ndef up(db): ..."),
        ("hidden-step", "@script\ndef up(db): ...\n@up.verify\ndef check(db): ...\nup = None"),
        ("missing-verify", "@script\ndef up(db): ..."),
        ("no-step", "def up(user, db): ..."),
    ],
)
def test_a_step_that_could_not_run_is_found(tmp_path: Path, rule: str, step: str) -> None:
    text = f'"""Doc."""\nimport firestore_migrations as fm\nfrom firestore_migrations import *\n{step}\n'
    text = text.replace("import *", "import each_document, script")
    [finding] = check_text(tmp_path, text)
    assert (finding.rule, finding.fails) == (rule, rule != "missing-verify")


@pytest.mark.parametrize(
    "step",
    [
        '@each_document("a")\ndef up(user, db, extra=1): ...\n@up.verify\ndef check(*all): ...',
        "@script\ndef up(db, /): ...\n@up.verify\ndef check(db, *, strict=True): ...",
        "@script\ndef up(db):\n    def a(): yield 1\n@up.verify\ndef _(db): ...\n@up.verify\ndef _(db): ...",
        'def move(user, db): ...\nup = each_document("a")(move)',
        "from recoup.shared import up",
    ],
)
def test_a_step_that_can_run_passes(tmp_path: Path, step: str) -> None:
    text = f'"""Doc."""\nfrom firestore_migrations import each_document, script\n{step}\n'
    assert check_text(tmp_path, text) == []


def test_a_broken_file_is_a_finding(tmp_path: Path) -> None:
    [finding] = check_text(tmp_path, '"""Doc."""\n\ndef up(:\n')
    assert (finding.rule, finding.line, finding.fails) == ("syntax", 3, True)


@pytest.mark.parametrize("text", ["return", "x = '\0'", "x = " + "(" * 5000])
def test_whatever_python_refuses_is_a_finding(tmp_path: Path, text: str) -> None:
    assert rules(check_text(tmp_path, f'"""Doc."""\n{text}\n')) == ["syntax"]


def test_a_file_that_is_not_there_is_a_finding(tmp_path: Path) -> None:
    assert rules(lint(tmp_path / "v001_gone.py")) == ["syntax"]


def test_the_name_and_the_docstring_are_checked(tmp_path: Path) -> None:
    text = WORLD.format(top="", body="    pass").replace('"""Give every user a plan."""', "")
    assert rules(check_text(tmp_path, text, "add_plan.py")) == ["docstring", "file-name"]


def test_nothing_of_the_file_runs(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    found = check(tmp_path, top=f"import pathlib\npathlib.Path({str(marker)!r}).touch()")
    assert (rules(found), marker.exists()) == (["file-io"], False)


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa: clock - the contract's own date",
        "#noqa:clock - why",
        "# noqa: random, clock -- why",
        "# noqa: DTZ005, clock - why",
    ],
)
def test_a_reason_lets_one_line_pass(tmp_path: Path, comment: str) -> None:
    body = f"user['a'] = datetime.now()  {comment}\nuser['b'] = datetime.now()"
    findings = check(tmp_path, body, "from datetime import datetime")
    assert [(finding.rule, finding.line) for finding in findings] == [("clock", 11)]


@pytest.mark.parametrize("comment", ["# noqa: clock", "# noqa: clock -", "# noqa: clock because"])
def test_without_a_reason_nothing_passes(tmp_path: Path, comment: str) -> None:
    findings = check(tmp_path, f"datetime.now()  {comment}", "from datetime import datetime")
    assert rules(findings) == ["clock", "noqa-reason"]


def test_a_rule_that_does_not_exist_is_a_finding(tmp_path: Path) -> None:
    assert rules(check(tmp_path, "pass  # noqa: clok - why")) == ["noqa-reason"]


@pytest.mark.parametrize("comment", ["# noqa", "# noqa: DTZ005", "# noqa: DTZ005, S311 - why"])
def test_the_comments_of_ruff_are_left_to_ruff(tmp_path: Path, comment: str) -> None:
    assert rules(check(tmp_path, f"datetime.now()  {comment}", "from datetime import datetime")) == ["clock"]


def test_every_rule_has_a_short_name() -> None:
    assert {rule for rule in RULES if not rule.replace("-", "").isalpha() or not rule.islower()} == set()

import hashlib
from collections import Counter
from datetime import timedelta

from demo.recoup import connect, fingerprint, is_empty, seed
from demo.recoup_data import COUNTS, TODAY, documents


def test_the_full_set_has_what_the_demo_promises():
    counts = Counter(path.split("/")[-2] for path, _ in documents())
    assert counts["users"] >= 5_000
    assert counts["clients"] >= 3_000
    assert counts["invoices"] >= 20_000
    assert counts["reminders"] == COUNTS["reminders"]


def test_no_path_is_drawn_twice():
    paths = [path for path, _ in documents()]
    assert len(set(paths)) == len(paths)


def test_every_machine_and_python_draws_the_same_documents():
    drawn = hashlib.sha256(repr(list(documents())).encode()).hexdigest()
    assert drawn == "7960210d33ca6da3172d21f93423fca47ceb10c3f5a00cfc205e66fdaddb0f67"


def test_whichever_day_it_is_made_on_invoices_became_overdue_in_the_days_before():
    today = TODAY + timedelta(days=300)
    overdue = [f for _, f in documents(0.1, today) if f.get("status") == "overdue" and f.get("dueDate")]
    since = [(today - invoice["dueDate"]).days for invoice in overdue]
    assert 0 < min(since) <= 7
    assert sum(days <= 45 for days in since) > len(since) / 4
    assert repr(list(documents(0.01, today))) == repr(list(documents(0.01, today)))


def test_two_seeds_have_one_fingerprint(emulator, project):
    counts = seed(emulator.host, project, scale=0.02)
    seed(emulator.host, f"{project}-again", "other", scale=0.02)
    first = fingerprint(emulator.host, project)
    assert counts["users"] > 100
    assert set(first) == {"users", "clients", "invoices"}
    assert fingerprint(emulator.host, f"{project}-again", "other") == first


def test_a_second_seed_changes_nothing(emulator, project):
    seed(emulator.host, project, scale=0.02)
    first = fingerprint(emulator.host, project)
    seed(emulator.host, project, scale=0.02)
    assert fingerprint(emulator.host, project) == first


def test_the_fingerprint_tells_minus_zero_from_zero_and_leaves_the_audit_out(emulator, project):
    with connect(emulator.host, project, "(default)") as database:
        database.begin_commit([("a/1", {"n": 0.0}), ("b/1", {"n": 0.0})]).result()
        before = fingerprint(emulator.host, project)
        database.begin_commit([("a/1", {"n": -0.0}), ("_migrations/v001", {"state": "applied"})]).result()
    after = fingerprint(emulator.host, project)
    assert after["b"] == before["b"]
    assert after["a"] != before["a"]
    assert set(after) == {"a", "b"}
    assert fingerprint(emulator.host, project, collections=["b"]) == {"b": before["b"]}


def test_a_database_is_empty_until_it_is_seeded(emulator, project):
    assert is_empty(emulator.host, project)
    seed(emulator.host, project, scale=0.001)
    assert not is_empty(emulator.host, project)

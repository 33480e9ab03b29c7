from datetime import datetime, timezone

from firestore_migrations.testing import assert_migrates, load_migration

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
AT_ZERO = {"totalInvoices": 0, "totalRevenue": 0.0, "averagePaymentTime": 0.0, "createdAt": NOW}

up = load_migration("v001_add_user_stats").step("up")


def test_a_user_gets_statistics_at_zero_and_is_left_alone():
    ada = {"users/ada": {"email": "ada@example.com", "subscriptionTier": "starter"}}
    assert_migrates(up, before=ada, after={**ada, "user_stats/ada": AT_ZERO}, now=NOW)


def test_statistics_that_exist_are_kept():
    world = {"users/ada": {"email": "ada@example.com"}, "user_stats/ada": {"totalInvoices": 7}}
    assert_migrates(up, before=world, after=world, now=NOW)


def test_a_user_without_fields_gets_statistics_too():
    assert_migrates(up, before={"users/42": {}}, after={"users/42": {}, "user_stats/42": AT_ZERO}, now=NOW)

import pytest

from firestore_migrations.testing import assert_migrates, load_migration

up = load_migration("v002_migrate_pricing").step("up")


@pytest.mark.parametrize("tier", ["free", "starter", "enterprise", None, "growth", "pro"])
def test_a_tier_that_still_exists_keeps_its_name(tier):
    assert_migrates(up, before={"subscriptionTier": tier}, after={"subscriptionTier": tier})


def test_professional_becomes_growth_at_the_new_price():
    assert_migrates(up, before={"subscriptionTier": "professional"}, after={"subscriptionTier": "growth"})


def test_business_becomes_pro_at_the_old_price():
    assert_migrates(
        up,
        before={"subscriptionTier": "business", "country": "SE"},
        after={"subscriptionTier": "pro", "lockedPrice": 79, "country": "SE"},
    )


@pytest.mark.parametrize(
    ("old", "new", "price"),
    [("starter", "starter", 9), ("professional", "growth", 29), ("enterprise", "enterprise", 249)],
)
def test_a_founding_member_on_a_paid_tier_keeps_the_price(old, new, price):
    assert_migrates(
        up,
        before={"subscriptionTier": old, "foundingMember": True},
        after={"subscriptionTier": new, "foundingMember": True, "lockedPrice": price},
    )


@pytest.mark.parametrize("user", [{"subscriptionTier": "free"}, {"subscriptionTier": None}, {}])
def test_a_founding_member_who_pays_nothing_has_no_price_to_keep(user):
    before = {**user, "foundingMember": True}
    assert_migrates(up, before=before, after=before)


def test_down_gives_the_old_name_to_the_tier_of_today():
    user = {"subscriptionTier": "pro", "lockedPrice": 29, "tags": ["vip"]}
    up.reverse(user, None)
    assert user == {"subscriptionTier": "business", "tags": ["vip"]}

"""Move users to the new price tiers: professional becomes growth, business becomes pro.

Free, starter and enterprise keep their names; no tier stays no tier, which the app reads as free.
Founding members on a paid tier, and everyone who comes from business, go on paying what they pay today:
that price, in US dollars a month, is kept as `lockedPrice`. A price that is locked already stays.
"""

from firestore_migrations import Database, Document, each_document

NEW_TIER = {"professional": "growth", "business": "pro"}
OLD_TIER = {new: old for old, new in NEW_TIER.items()}
OLD_PRICE = {"starter": 9, "professional": 29, "business": 79, "enterprise": 249}


@each_document("users")
def up(user: Document, db: Database) -> None:
    """Lock the price in while the old tier still tells it, then rename the tier."""
    tier = user.get("subscriptionTier")
    keeps_price = tier == "business" or user.get("foundingMember", False)
    if keeps_price and tier in OLD_PRICE:
        user.setdefault("lockedPrice", OLD_PRICE[tier])
    if tier in NEW_TIER:
        user["subscriptionTier"] = NEW_TIER[tier]


@up.verify
def old_tiers_are_gone(user: Document, db: Database) -> None:
    """No user is left on a tier that no longer exists."""
    assert user.get("subscriptionTier") not in NEW_TIER


@up.down
def down(user: Document, db: Database) -> None:
    """Back to the old name of whatever tier the user has by now."""
    tier = user.get("subscriptionTier")
    if tier in OLD_TIER:
        user["subscriptionTier"] = OLD_TIER[tier]
    user.pop("lockedPrice", None)

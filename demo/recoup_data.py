"""Recoup's documents: users, clients, invoices and reminders, invented, the same on every machine.

Recoup is an invoicing product that has grown on Firebase since 2019. Its data has the marks of that: fields
that older documents lack, ids of several ages, and some that careless tools damage (`awkward_documents`).
People, companies and addresses are made up; every e-mail address is at example.com.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")
Fields = dict[str, Any]

TODAY = datetime(2026, 1, 1, tzinfo=timezone.utc)
"""The day the data is of, unless another is asked for: an invoice is overdue when it was due before it."""

COUNTS = {"users": 5_000, "clients": 3_000, "invoices": 20_000, "reminders": 400}
"""Ordinary documents at scale 1, by collection id."""

_FOUNDED = datetime(2019, 3, 4, tzinfo=timezone.utc)
_FOUNDING_ENDS = datetime(2020, 6, 1, tzinfo=timezone.utc)
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TIERS = ("free",) * 55 + ("starter",) * 22 + ("professional",) * 14 + ("business",) * 6 + ("enterprise",) * 3
_FIRST = "Ada Amara Ben Carlos Chen Dana Elif Emma Farid Grace Hana Ines Ivan Jonas Kofi Lena Liam Maya Noor Olga"
_LAST = "Ahmed Becker Costa Dubois Eriksson Fischer García Haddad Ivanova Jensen Kim Lindqvist Müller Okafor"
_TRADE = "Bakery Carpentry Consulting Design Electric Film Gardens Joinery Legal Logistics Media Translations"
_TAGS = ("beta", "newsletter", "partner", "referral", "vip", "webinar-2024")
_WORK = (
    "Consulting day",
    "Site visit",
    "Logo design",
    "Monthly retainer",
    "Hosting",
    "Translation",
    "Materials",
)
_PLACES = (
    ("US", "USD", "Portland", 45.5152, -122.6784),
    ("US", "USD", "Austin", 30.2672, -97.7431),
    ("GB", "GBP", "Leeds", 53.8008, -1.5491),
    ("DE", "EUR", "Köln", 50.9375, 6.9603),
    ("FR", "EUR", "Lyon", 45.764, 4.8357),
    ("SE", "SEK", "Malmö", 55.605, 13.0038),
    ("CA", "CAD", "Québec", 46.8139, -71.208),
    ("AU", "AUD", "Hobart", -42.8821, 147.3272),
)
_USER_GAPS = {"displayName": 0.03, "subscriptionTier": 0.02, "notifications": 0.08, "currency": 0.05}
_CLIENT_GAPS = {"email": 0.06, "address": 0.1}
_INVOICE_GAPS = {"clientId": 0.02, "currency": 0.03, "dueDate": 0.01}


@dataclass(frozen=True)
class Reference:
    """A reference value: a path in the database that is written, or with `database` in another one."""

    path: str
    database: str | None = None


@dataclass(frozen=True)
class GeoPoint:
    """A point on the earth, in degrees."""

    latitude: float
    longitude: float


class Draw:
    """Draws from one seeded sequence, for data of one day.

    Only `random()` is used: it is the one method that Python promises to be the same in every version.
    """

    def __init__(self, today: datetime, seed: int = 20260101) -> None:
        self.today = today
        self.random = Random(seed).random

    def chance(self, share: float) -> bool:
        """Whether a thing that happens in this share of cases happens now."""
        return self.random() < share

    def below(self, limit: int) -> int:
        """A whole number from 0 up to, without, `limit`."""
        return int(self.random() * limit)

    def pick(self, values: Sequence[T]) -> T:
        """One of the values."""
        return values[self.below(len(values))]

    def word(self, words: str) -> str:
        """One of the words."""
        return self.pick(words.split())

    def document_id(self) -> str:
        """An id like those that Firestore's clients make."""
        return "".join([_ALPHABET[int(self.random() * 62)] for _ in range(20)])

    def instant(self, first: datetime, last: datetime) -> datetime:
        """A moment between two others, to the microsecond."""
        return first + timedelta(microseconds=self.below((last - first) // timedelta(microseconds=1)))

    def forget(self, fields: Fields, gaps: Mapping[str, float]) -> Fields:
        """The fields, each of `gaps` left out in its share of documents, as older ones never had it."""
        return {name: value for name, value in fields.items() if not self.chance(gaps.get(name, 0.0))}


def documents(scale: float = 1.0, today: datetime = TODAY) -> Iterator[tuple[str, Fields]]:
    """Every document as (path, fields); the same ones, in the same order, for the same scale and day.

    Args:
        scale: the share of `COUNTS` to make; the awkward documents always come too.
        today: midnight, in UTC, of the day the data is of.
    """
    draw = Draw(today)
    size = {collection: max(1, int(count * scale)) for collection, count in COUNTS.items()}
    users = {draw.document_id(): _user(draw, number) for number in range(size["users"])}
    yield from ((f"users/{uid}", user) for uid, user in users.items())
    owners = list(users)
    clients = [(draw.document_id(), _client(draw, draw.pick(owners))) for _ in range(size["clients"])]
    yield from ((f"clients/{client_id}", client) for client_id, client in clients)
    unpaid = []
    for number in range(size["invoices"]):
        client_id, client = draw.pick(clients)
        invoice_id = draw.document_id()
        invoice = _invoice(draw, number, client_id, client["ownerId"], users[client["ownerId"]].get("currency"))
        if invoice["status"] == "overdue":
            unpaid.append((invoice_id, invoice))
        yield f"invoices/{invoice_id}", invoice
    for _ in range(size["reminders"] if unpaid else 0):
        invoice_id, invoice = draw.pick(unpaid)
        yield f"users/{invoice['userId']}/reminders/{draw.document_id()}", _reminder(draw, invoice_id)
    yield from awkward_documents(today)


def _user(draw: Draw, number: int) -> Fields:
    first, tier = draw.word(_FIRST), draw.pick(_TIERS)
    country, currency, *_ = draw.pick(_PLACES)
    created = draw.instant(_FOUNDED, draw.today)
    user: Fields = {
        "email": f"{first.lower()}.{number}@example.com",
        "displayName": f"{first} {draw.word(_LAST)}",
        "subscriptionTier": tier,
        "notifications": {"email": draw.chance(0.8), "sms": draw.chance(0.25)},
        "createdAt": created,
        "country": country,
        "currency": currency,
    }
    if tier != "free":
        user["stripeCustomerId"] = f"cus_{draw.document_id()[:14]}"
    if created < _FOUNDING_ENDS:
        user["foundingMember"] = draw.chance(0.6)
    if draw.chance(0.3):
        user["tags"] = [tag for tag in _TAGS if draw.chance(0.35)]
    return draw.forget(user, _USER_GAPS)


def _client(draw: Draw, owner: str) -> Fields:
    country, _, city, latitude, longitude = draw.pick(_PLACES)
    family, trade = draw.word(_LAST), draw.word(_TRADE)
    client: Fields = {
        "name": f"{family} {trade}",
        "email": f"accounts.{draw.below(100_000)}@{trade.lower()}.example.com",
        "ownerId": owner,
        "address": {"street": f"{1 + draw.below(180)} {family} Street", "city": city, "country": country},
        "createdAt": draw.instant(_FOUNDED, draw.today),
    }
    if draw.chance(0.4):
        client["location"] = GeoPoint(round(latitude + draw.random() / 10, 5), round(longitude + draw.random() / 10, 5))
    return draw.forget(client, _CLIENT_GAPS)


def _invoice(draw: Draw, number: int, client_id: str, owner: str, currency: str | None) -> Fields:
    # The square makes recent invoices the more frequent: Recoup grows.
    issued = draw.today - timedelta(minutes=int(2 * 365 * 24 * 60 * draw.random() * draw.random()))
    due = (issued + timedelta(days=draw.pick((14, 30, 30, 60)))).replace(hour=0, minute=0)
    lines: list[Fields] = [
        {
            "description": draw.pick(_WORK),
            "quantity": 1 + draw.below(9),
            "unitPrice": (500 + draw.below(40_000)) / 100,
        }
        for _ in range(1 + draw.below(4))
    ]
    status = _status(draw, due)
    invoice: Fields = {
        "userId": owner,
        "clientId": client_id,
        "number": f"INV-{issued.year}-{number:05}",
        "amount": sum(round(line["quantity"] * line["unitPrice"] * 100) for line in lines) / 100,
        "currency": currency or "USD",
        "status": status,
        "dueDate": due,
        "lineItems": lines,
    }
    if status != "draft":
        invoice["issuedAt"] = issued
    if status == "paid":
        invoice["paidAt"] = min(draw.instant(issued, due + timedelta(days=12)), draw.today)
    if draw.chance(0.3):
        invoice["client"] = Reference(f"clients/{client_id}")
    return draw.forget(invoice, _INVOICE_GAPS)


def _status(draw: Draw, due: datetime) -> str:
    if due >= draw.today:
        return draw.pick(("draft", "paid", "paid", "sent", "sent", "sent"))
    # The longer ago it was due, the likelier it has been paid. Some overdue ones the app has not marked yet.
    if draw.chance(12 / (14 + (draw.today - due).days)):
        return "overdue" if draw.chance(0.9) else "sent"
    return "paid"


def _reminder(draw: Draw, invoice_id: str) -> Fields:
    return {
        "invoiceId": invoice_id,
        "channel": "sms" if draw.chance(0.2) else "email",
        "template": draw.pick(("friendly", "second-notice", "last-notice")),
        "sentAt": draw.instant(draw.today - timedelta(days=40), draw.today),
    }


def awkward_documents(today: datetime = TODAY) -> Iterator[tuple[str, Fields]]:
    """Documents of the kinds that tools damage: what Firestore may hold, a careless copy loses.

    Numeric and emoji ids, fractions of a second before 1970, NaN, -0.0, integers past 2**53, bytes, empty
    maps, keys with dots, nulls, a reference into another project, and a document with no fields at all.
    """
    before_1970 = datetime(1969, 12, 31, 23, 59, 58, 999_999, tzinfo=timezone.utc)
    paid = {"status": "paid", "paidAt": today, "currency": "EUR"}
    yield "users/👩‍🚀", {"displayName": "Zoë 👩‍🚀", "subscriptionTier": "business", "createdAt": today}
    yield "users/__id42__", {"email": "datastore@example.com", "subscriptionTier": "professional", "tags": []}
    yield "users/1001", {"subscriptionTier": "business", "foundingMember": True, "dateOfBirth": before_1970}
    yield (
        "users/imported",
        {"settings.theme": "dark", "a`b\\c": {"x.y": 1}, "notifications": {}, "tags": None},
    )
    yield "users/no-tier", {"email": "null@example.com", "subscriptionTier": None, "foundingMember": True}
    yield "users/no-fields", {}
    yield "invoices/💸", {"status": "sent", "amount": float("nan"), "discount": -0.0, "lineItems": []}
    yield "invoices/__id7__", {**paid, "amount": 9_007_199_254_740_993, "signature": bytes(range(256))}
    yield "invoices/no-due-date", {"status": "overdue", "amount": float("inf"), "dueDate": None}
    yield "clients/株式会社", {"name": "株式会社レクープ", "address": {}, "location": GeoPoint(-0.0, 180.0)}
    yield (
        "clients/moved",
        {
            "name": "e\u0301 decomposed",
            "was": Reference("clients/old", "projects/recoup-2019/databases/(default)"),
        },
    )

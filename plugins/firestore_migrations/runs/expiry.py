"""Expiry: by which fields a time-to-live policy deletes documents, and which writes it would delete them for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from firestore_migrations.errors import ConfigurationError, DataWouldExpire
from firestore_migrations.firestore import filters, wire
from firestore_migrations.firestore.admin import Admin
from firestore_migrations.runs.plan import Row
from firestore_migrations.runs.run import Target

_SECOND = 1_000_000


class TtlPolicy(NamedTuple):
    """A time-to-live policy: a document is deleted once the time in its field is past.

    Attributes:
        collection: id of the collection group.
        field: the field's path, as Firestore writes it.
        seconds: how long after that time.
    """

    collection: str
    field: str
    seconds: int = 0


class TtlPolicies(NamedTuple):
    """The time-to-live policies of a target.

    Attributes:
        known: those that the connection names, and those that Google's Admin API tells.
        fault: why the Admin API did not tell; empty where it did, and where there is none.
    """

    known: tuple[TtlPolicy, ...] = ()
    fault: str = ""


NO_POLICIES = TtlPolicies()


def policies_of(target: Target) -> TtlPolicies:
    """Find the policies of a target. One request, and none to an emulator; writes nothing.

    Raises:
        Unavailable: the Admin API does not answer; without it a document might be written that is then deleted.
    """
    named = {_named(name) for name in target.policy.ttl_fields}
    if not target.address.has_admin:
        return TtlPolicies(tuple(sorted(named)))
    try:
        with Admin(target.address) as admin:
            told = {TtlPolicy(*found) for found in admin.ttl_fields()}
    except ConfigurationError as error:
        return TtlPolicies(tuple(sorted(named)), str(error.facts.get("code", type(error).__name__)))
    told_of = {policy[:2] for policy in told}
    return TtlPolicies(tuple(sorted(told | {policy for policy in named if policy[:2] not in told_of})))


def _named(name: str) -> TtlPolicy:
    """The policy of `sessions.expireAt`, also where its collection is named as scopes are: `users/{uid}/sessions`."""
    collection, _, field = name.partition(".")
    return TtlPolicy(collection.rsplit("/", 1)[-1], field)


class Expiry:
    """Looks at writes for what the policies would do to their documents.

    Args:
        version: of the migration, for messages.
        policies: of the target.
        now: the instant that a document expires before, in microseconds since 1970.
    """

    def __init__(self, version: str, policies: Iterable[TtlPolicy], now: int) -> None:
        self._version = version
        self._now = now
        self._of: dict[str, list[tuple[TtlPolicy, tuple[str, ...]]]] = defaultdict(list)
        for policy in policies:
            self._of[policy.collection].append((policy, filters.parts_of(policy.field)))

    def see(self, row: Row) -> list[str]:
        """The fields with a policy that a write changes. Costs a look at the path where its collection has none.

        Raises:
            DataWouldExpire: a policy would delete the document.
        """
        policies = self._of.get(row.path.rsplit("/", 2)[-2]) if self._of else None
        if not policies:
            return []
        write = wire.Write.FromString(row.write)
        stamped = stamped_by_server(write)
        changed = []
        for policy, parts in policies:
            value = filters.find(parts, write.update.fields)
            is_stamped = policy.field in stamped
            if value is None and not is_stamped:
                continue
            changed.append(policy.field)
            if (is_stamped and not policy.seconds) or (value is not None and self._is_past(policy, value)):
                raise self._refusal(row, policy)
        return changed

    def _is_past(self, policy: TtlPolicy, value: Any) -> bool:
        is_time = value.WhichOneof("value_type") == "timestamp_value"
        return is_time and wire.micros(value.timestamp_value) + policy.seconds * _SECOND <= self._now

    def _refusal(self, row: Row, policy: TtlPolicy) -> DataWouldExpire:
        return DataWouldExpire(
            f"{self._version} sets {policy.field} of {row.path} to a time that is past, and a time-to-live policy "
            "deletes such documents.",
            f"It was not written. Leave {policy.field} as it is, or set it to a later time; if the documents are to "
            "stay, disable the policy first: `gcloud firestore fields ttls update "
            f"{policy.field} --collection-group={policy.collection} --disable-ttl`.",
            path=row.path,
            field=policy.field,
        )


def stamped_by_server(write: Any) -> list[str]:
    """The fields of a write that get the time of the commit, which is past as soon as they have it."""
    return [transform.field_path for transform in write.update_transforms if transform.set_to_server_value]

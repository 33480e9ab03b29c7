"""A scope names the documents that a step reads, and refuses what is no collection."""

from __future__ import annotations

from typing import Any

import pytest

from firestore_migrations.errors import BadStep
from firestore_migrations.firestore.scope import Scope


@pytest.mark.parametrize(
    ("collection", "group", "says"),
    [
        ("", False, "empty path segment"),
        ("/users", False, "empty path segment"),
        ("users/", False, "empty path segment"),
        ("users//invoices", False, "empty path segment"),
        ("users/ada", False, "names a document"),
        ("users/{uid}", False, "names a document"),
        ("{any}", False, "wildcard in place of a collection"),
        ("users/{uid}/{any}", False, "wildcard in place of a collection"),
        ("{any}", True, "wildcard in place of a collection"),
        ("users/{uid}/invoices", True, r"each_document\('invoices', group=True\)"),
        ("_migrations", False, "audit trail"),
        ("_migrations", True, "audit trail"),
        ("_migrations/{version}/runs", False, "audit trail"),
    ],
)
def test_what_is_no_collection_of_the_author_is_refused(collection: str, *, group: bool, says: str) -> None:
    with pytest.raises(BadStep, match=says):
        Scope(collection, group=group)


@pytest.mark.parametrize(
    ("scope", "collection_id", "parent", "has_wildcard"),
    [
        (Scope("users"), "users", "", False),
        (Scope("users/ada/invoices"), "invoices", "users/ada", False),
        (Scope("users/{uid}/invoices"), "invoices", "", True),
        (Scope("users/ada/invoices/{id}/lines"), "lines", "users/ada", True),
        (Scope("users/{uid}/invoices/i1/lines"), "lines", "", True),
        (Scope("invoices", group=True), "invoices", "", False),
        (Scope("users/a{b}c/invoices"), "invoices", "users/a{b}c", False),
    ],
    ids=lambda value: getattr(value, "collection", None),
)
def test_a_scope_knows_its_collection_and_what_its_documents_share(
    *, scope: Scope, collection_id: str, parent: str, has_wildcard: bool
) -> None:
    assert (scope.collection_id, scope.parent, scope.has_wildcard) == (collection_id, parent, has_wildcard)


@pytest.mark.parametrize(
    ("scope", "inside", "outside"),
    [
        (Scope("users"), ["users/ada"], ["users/ada/invoices/1", "user/ada", "users", "_migrations/v001"]),
        (
            Scope("users/{uid}/invoices"),
            ["users/ada/invoices/1", "users/{uid}/invoices/2"],
            ["users/ada", "invoices/1", "clients/ada/invoices/1", "users/ada/invoices/1/lines/1"],
        ),
        (Scope("users/ada/invoices"), ["users/ada/invoices/1"], ["users/bob/invoices/1"]),
        (
            Scope("invoices", group=True),
            ["invoices/1", "users/ada/invoices/1", "a/b/c/d/invoices/1"],
            ["invoices/1/lines/1", "users/invoices", "invoices", "_migrations/v001/invoices/1"],
        ),
        (Scope("runs", group=True), ["machines/1/runs/2"], ["_migrations/v001/runs/1"]),
    ],
    ids=lambda value: getattr(value, "collection", None),
)
def test_a_scope_contains_its_own_documents_alone(scope: Scope, inside: list[str], outside: list[str]) -> None:
    assert [path for path in inside + outside if scope.contains(path)] == inside


def test_a_scope_is_a_value() -> None:
    condition: Any = ("active", "==", True)
    assert Scope("users", where=(condition,)) == Scope("users", where=(condition,)) != Scope("users")

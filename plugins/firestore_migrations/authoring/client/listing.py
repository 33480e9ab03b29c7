"""Listings: the names of documents and collections, after what was planned and recorded so far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.ordering import name_key
from firestore_migrations.firestore.scope import AUDIT_COLLECTION

if TYPE_CHECKING:
    from firestore_migrations.authoring.drafts import Base, Drafts


def listed_documents(drafts: Drafts, base: Base, collection: str) -> Iterator[str]:
    """The paths in a collection, in order: documents that exist, and missing ones with something below them."""
    parent, _, collection_id = collection.rpartition("/")
    depth = collection.count("/") + 2
    changed = _changed_below(drafts, base, collection)
    touched = {"/".join(path.split("/")[:depth]) for path in changed}
    paths = set(base.at.names(parent, collection_id))
    for path in touched:
        if drafts.current(path) is not None or _has_below(drafts, base, path):
            paths.add(path)
        else:
            paths.discard(path)
    return iter(sorted(paths, key=name_key))


def listed_collections(drafts: Drafts, base: Base, parent: str) -> Iterator[str]:
    """The ids of the collections under a document, or of the database, that have something in them; in order."""
    ids = set(base.at.collection_ids(parent))
    depth = parent.count("/") + 1 if parent else 0
    for touched in {path.split("/")[depth] for path in _changed_below(drafts, base, parent)}:
        collection = f"{parent}/{touched}" if parent else touched
        if next(listed_documents(drafts, base, collection), None) is None:
            ids.discard(touched)
        else:
            ids.add(touched)
    if not parent:
        ids.discard(AUDIT_COLLECTION)
    return iter(sorted(ids))


def _changed_below(drafts: Drafts, base: Base, prefix: str) -> list[str]:
    """The changed documents below a path, those that the change leaves as they are included."""
    below = f"{prefix}/" if prefix else ""
    paths = {path for overlay in (drafts.overlay, base.overlay) for path in overlay.paths() if path.startswith(below)}
    drafts.fetch(paths)
    return sorted(paths, key=name_key)


def _has_below(drafts: Drafts, base: Base, path: str) -> bool:
    """Whether a document has any document below it."""
    changed = set(_changed_below(drafts, base, path))
    if any(drafts.current(below) is not None for below in changed):
        return True
    query = wire.StructuredQuery()
    query.from_.add(all_descendants=True)
    query.select.fields.add(field_path="__name__")
    query.order_by.add(direction=wire.StructuredQuery.ASCENDING).field.field_path = "__name__"
    return any(stored.path not in changed for stored in base.at.stream(path, query))

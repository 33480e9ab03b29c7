"""Hypothesis strategies: every id that a document can have, and paths of the same collection at several depths."""

from __future__ import annotations

import re

from hypothesis import strategies as st

_RESERVED = re.compile("__.+__", re.DOTALL)
AWKWARD = [
    "a",
    "a-",
    "a b",
    "B",
    "10",
    "9",
    "é",
    "e\u0301",
    "\ue000",
    "\uffff",
    "\U0001f600",
    "\x00",
    "\x01\n\x7f",
    "a\x00",
    "__",
    "____",
    "__id7",
    "id7__",
    "__id7__\n",
    "...",
    "{uid}",
    "%2F",
    "x" * 1500,
    "é" * 750,
    "\U0001f600" * 375,
    "__id7__",
    "__id10__",
    "__id-3__",
    f"__id{2**63 - 1}__",
    f"__id-{2**63}__",
]


def _is_free(name: str) -> bool:
    return name not in {".", ".."} and not _RESERVED.fullmatch(name)


_numeric = st.integers(-(2**63), 2**63 - 1).filter(bool).map(lambda number: f"__id{number}__")
_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1, max_size=8)
ids = st.sampled_from(AWKWARD) | _text.filter(_is_free) | _numeric

_short = st.sampled_from(["a", "a-", "b", "__id7__", "\U0001f600", "\x00"])
_parents = st.sampled_from(["{{}}", "users/{0}/{{}}", "users/{0}/teams/{1}/{{}}", "{{}}/{0}/{{}}", "ghosts/{0}/{{}}"])


def paths(collection: str) -> st.SearchStrategy[str]:
    """Documents of the collection of this id: at the top, below documents that are missing, below each other."""
    parent = st.builds(lambda form, one, two: form.format(one, two), _parents, _short, _short)
    return st.builds(lambda form, name: f"{form}/{name}".replace("{}", collection, 2), parent, ids)

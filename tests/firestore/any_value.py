"""Hypothesis strategies: everything that Firestore can hold, with the awkward values drawn often."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.auth.credentials import AnonymousCredentials
from google.cloud.firestore import Client, DocumentReference, GeoPoint
from google.cloud.firestore_v1.vector import Vector
from hypothesis import strategies as st

_CLIENTS = {
    (project, database): Client(project=project, database=database, credentials=AnonymousCredentials())
    for project in ("one", "two")
    for database in ("(default)", "other")
}


def reference(full_name: str) -> DocumentReference:
    _, project, _, database, _, *path = full_name.split("/")
    return DocumentReference(*path, client=_CLIENTS[project, database])


_near = [0, 1, -1, 2, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
integers = st.sampled_from(_near) | st.integers(-(2**63), 2**63 - 1)
doubles = st.sampled_from([float(number) for number in _near] + [-0.0, float("nan")]) | st.floats()
_text = st.text(st.sampled_from("aAz~\x00\uffff\ue000é\U0001f600"), max_size=4)
strings = _text | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_times = st.datetimes(timezones=st.sampled_from([timezone.utc, timezone(timedelta(hours=-7, minutes=-30))]))
_FIRST, _LAST = datetime(1, 1, 3, tzinfo=timezone.utc), datetime(9999, 12, 29, tzinfo=timezone.utc)
_in_range = _times.filter(lambda at: _FIRST < at < _LAST)
times = _in_range | st.sampled_from(
    [
        datetime(1, 1, 1, tzinfo=timezone.utc),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc),
        datetime(1969, 12, 31, 23, 59, 58, 1, tzinfo=timezone.utc),
        datetime(2500, 1, 1, 0, 0, 0, 999999, tzinfo=timezone.utc),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc),
    ]
)
nanoseconds = st.builds(
    lambda at, nanos: DatetimeWithNanoseconds(
        at.year, at.month, at.day, at.hour, at.minute, at.second, nanosecond=nanos, tzinfo=timezone.utc
    ),
    times,
    st.integers(0, 999_999_999),
)
_ids = st.sampled_from(["a", "a-", "b", "__id7__", "__id10__", "__id-3__", "\uffff", "\U0001f600"])
references = st.builds(
    lambda project, database, ids: reference(
        f"projects/{project}/databases/{database}/documents/" + "/".join(f"c/{name}" for name in ids)
    ),
    st.sampled_from(["one", "two"]),
    st.sampled_from(["(default)", "other"]),
    st.lists(_ids, min_size=1, max_size=2),
)
points = st.builds(
    GeoPoint,
    st.sampled_from([0.0, -0.0, 90.0, -90.0]) | st.floats(-90, 90),
    st.sampled_from([0.0, -0.0, 180.0, -180.0]) | st.floats(-180, 180),
)
vectors = st.builds(
    Vector,
    st.lists(st.sampled_from([0.0, -0.0]) | st.floats(allow_nan=False), min_size=1, max_size=3),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    integers,
    doubles,
    times,
    strings,
    st.binary(max_size=3),
    references,
    points,
)
keys = st.sampled_from(["a", "b", "aa", "A", "a.b", "`", "é", "\uffff", "\U0001f600", "__", "a b"])


def _containers(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    in_array = inner.filter(lambda item: not isinstance(item, (list, Vector)))
    return st.lists(in_array, max_size=3) | st.dictionaries(keys, inner, max_size=3)


values = st.recursive(scalars | vectors, _containers, max_leaves=6)

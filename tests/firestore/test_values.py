"""Values survive the way to Python, to the server and back; what cannot is refused before it is sent."""

from __future__ import annotations

from collections import UserDict, UserList
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum

import grpc
import pytest
from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.cloud.firestore import SERVER_TIMESTAMP, GeoPoint
from google.cloud.firestore_v1 import _helpers as official
from google.cloud.firestore_v1.vector import Vector
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firestore_migrations.errors import InvalidValue
from firestore_migrations.firestore.values import Value, canonical, decode, encode, encode_fields, same
from tests.firestore import any_value
from tests.firestore.any_value import reference

on_the_server = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Tier(str, Enum):
    PRO = "pro"


class Level(IntEnum):
    ADMIN = 3


class Keyed(UserDict):
    pass


EXTREMES = {
    "null": None,
    "bools": [True, False],
    "integers": [0, 2**63 - 1, -(2**63), 2**53 + 1],
    "doubles": [0.0, -0.0, 1.0, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf"), float("nan")],
    "times": [
        datetime(1, 1, 1, tzinfo=timezone.utc),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc),
        datetime(1970, 1, 1, tzinfo=timezone.utc),
        datetime(2500, 1, 1, 0, 0, 0, 999999, tzinfo=timezone.utc),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc),
    ],
    "strings": ["", "\x00", "\U0001f600", "e\u0301", "é", "x" * 10_000],
    "bytes": [b"", b"\x00\xff", b"x" * 10_000],
    "references": [
        reference("projects/one/databases/(default)/documents/c/a"),
        reference("projects/two/databases/other/documents/c/a/d/\U0001f600"),
    ],
    "points": [GeoPoint(90.0, -180.0), GeoPoint(-0.0, 0.0)],
    "vector": Vector([1.0, -0.0, float("inf")]),
    "longest vector": Vector([0.5] * 2048),
    "empty array": [],
    "empty map": {},
    "a.b": {"c.d": 1, "`": 2, "\\": 3, "\x00": 4, "/": 5, " ": 6},
    "arrays": [{"inner": [1, {"deeper": ["x"]}]}],
}


def of_python(value):
    """The value with its types, in a form that == compares exactly."""
    if isinstance(value, dict):
        return {key: of_python(item) for key, item in value.items()}
    if isinstance(value, (list, Vector)):
        return type(value).__name__, [of_python(item) for item in value]
    if isinstance(value, GeoPoint):
        return "GeoPoint", repr(value.latitude), repr(value.longitude)
    if isinstance(value, datetime):
        return "datetime", value.isoformat(), getattr(value, "nanosecond", 0) or value.microsecond * 1000
    return type(value).__name__, repr(value) if isinstance(value, float) else value


def test_every_type_survives_the_server_at_its_extremes(server):
    server.put({"c/a": encode_fields(EXTREMES)})
    (stored,) = server.query("c")
    assert {key: of_python(decode(value, reference)) for key, value in stored.fields.items()} == {
        key: of_python(value) for key, value in EXTREMES.items()
    }
    assert same(stored.fields, encode_fields(EXTREMES))


@given(any_value.values)
def test_decoding_undoes_encoding(value):
    encoded = encode(value, "f")
    again = encode(decode(encoded, reference), "f")
    assert canonical(again) == canonical(encoded)


@given(any_value.nanoseconds)
def test_nanoseconds_survive(value):
    decoded = decode(encode(value, "f"), reference)
    assert (decoded, decoded.nanosecond, decoded.tzinfo) == (value, value.nanosecond, timezone.utc)


@given(any_value.times)
def test_times_are_exact_in_every_year_and_zone(value):
    assert decode(encode(value, "f"), reference) == value


@given(st.datetimes())
def test_a_naive_time_is_utc(value):
    assert decode(encode(value, "f"), reference) == value.replace(tzinfo=timezone.utc)


@given(st.recursive(any_value.scalars.filter(lambda value: not isinstance(value, datetime)), st.lists))
def test_encoding_agrees_with_the_official_client(value):
    if isinstance(value, list):
        value = [item for item in value if not isinstance(item, list)]
    assert canonical(encode(value, "f")) == canonical(official.encode_value(value)._pb)


@given(any_value.values)
@on_the_server
def test_the_server_returns_what_was_encoded(server, value):
    collection = server.put_all([encode(value, "f")])
    (stored,) = server.query(collection)
    assert same(stored.fields["f"], encode(value, "f"))
    assert of_python(decode(stored.fields["f"], reference)) == of_python(decode(encode(value, "f"), reference))


_TWINS = [1, 1.0, 0.0, -0.0, float("nan"), "é", "e\u0301", b"1", "1", None, False, [], {}, [1], [1.0]]
_TWIN_TIMES = [DatetimeWithNanoseconds(1960, 1, 1, nanosecond=nanos) for nanos in (0, 1, 999, 1000, 1001)]
_twin = st.sampled_from(_TWINS + _TWIN_TIMES)
_twins = _twin | st.dictionaries(st.sampled_from("ab"), _twin, max_size=2)


@given(_twins, _twins)
@on_the_server
def test_same_is_the_servers_own_test_of_a_write_that_changes_nothing(server, before, after):
    (first,) = server.put({"c/a": {"f": encode(before, "f")}})
    (second,) = server.put({"c/a": {"f": encode(after, "f")}})
    assert same(encode(before, "f"), encode(after, "f")) == (first == second)


def test_every_nan_is_the_same():
    other = Value.FromString(b"\x19\x01\x00\x00\x00\x00\x00\xf8\xff")
    assert other.double_value != other.double_value
    assert same(other, encode(float("nan"), "f"))


def test_canonical_does_not_know_the_order_of_keys():
    forwards = {str(number): number for number in range(50)}
    backwards = dict(reversed(forwards.items()))
    assert canonical(encode(forwards, "f")) == canonical(encode(backwards, "f"))
    assert canonical(encode_fields(forwards)) == canonical(encode_fields(backwards))
    assert canonical(encode_fields(forwards)) == canonical(encode(forwards, "f").map_value)


def test_a_decoded_map_has_its_keys_in_order():
    keys = [f"k{number:02}" for number in range(30)]
    assert list(decode(encode(dict.fromkeys(reversed(keys)), "f"), reference)) == keys


@pytest.mark.parametrize(
    ("given_value", "stored"),
    [
        (bytearray(b"ab"), b"ab"),
        ((1, "a"), [1, "a"]),
        (Tier.PRO, "pro"),
        (Level.ADMIN, 3),
        (Keyed(a=1), {"a": 1}),
        (UserList([1]), [1]),
        (
            datetime(2020, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
            datetime(2020, 1, 1, tzinfo=timezone.utc),
        ),
        (
            datetime(2020, 1, 1, tzinfo=timezone(timedelta(microseconds=1))),
            datetime(2019, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_near_types_are_stored_as_their_kind(given_value, stored):
    with pytest.raises(InvalidValue):
        encode(object(), "f")  # every type extends this one, which has no kind
    assert canonical(encode(given_value, "f")) == canonical(encode(stored, "f"))


@pytest.mark.parametrize(
    ("value", "field_path", "remedy"),
    [
        (2**63, "f", "str(...)"),
        ({"a": [0, 4242424242424242424242]}, "f.a[1]", "str(...)"),
        ({4242, 4243}, "f", "sorted(...)"),
        (frozenset(), "f", "list(...)"),
        (date(4242, 1, 1), "f", "datetime("),
        (timedelta(4242), "f", "total_seconds"),
        (Decimal(4242), "f", "float(...)"),
        (object(), "f", "Convert"),
        ((4242 for _ in ()), "f", "list(...)"),
        ([SERVER_TIMESTAMP], "f[0]", "sentinel"),
        ({4242: "x"}, "f", "str(key)"),
        ({"a": {"": 4242}}, "f.a", "Name"),
        ({"a": {"__x__": 4242}}, "f.a", "rename"),
        ({"a": {"k" * 1501: 4242}}, "f.a", "Shorten"),
        ({"a b": {"c": [[4242]]}}, "f.`a b`.c[0]", "map between"),
        ([Vector([4242])], "f[0]", "map between"),
        ("4242\ud800", "f", "surrogatepass"),
        ({"\ud800": 4242}, "f", "Rename"),
        (GeoPoint(4242, 0), "f", "-90 to 90"),
        (GeoPoint(float("nan"), 0), "f", "-90 to 90"),
        (Vector([]), "f", "2048"),
        (Vector([float("nan")]), "f", "2048"),
        (Vector([4242.0] * 2049), "f", "2048"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "f", "inside"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_firestore_cannot_hold_is_refused_with_field_and_remedy_and_without_the_value(value, field_path, remedy):
    with pytest.raises(InvalidValue) as refused:
        encode(value, "f")
    assert refused.value.facts["field_path"] == field_path
    assert field_path in refused.value.what
    assert remedy in refused.value.next_step
    assert "4242" not in str(refused.value)


def test_an_enums_member_as_a_key_is_its_text():
    assert list(encode_fields({Tier.PRO: 1})) == ["pro"]
    assert canonical(encode({Tier.PRO: 1}, "f")) == canonical(encode({"pro": 1}, "f"))


@pytest.mark.parametrize("key", ["", "__name__", "_____", 7, "k" * 1501], ids=str)
def test_a_documents_own_field_names_are_checked_too(key):
    with pytest.raises(InvalidValue):
        encode_fields({key: 1})


def nested(levels, inner):
    for _ in range(levels):
        inner = {"a": inner}
    return inner


@pytest.mark.parametrize("inner", [1, [], Vector([1.0])], ids=repr)
def test_twenty_levels_are_stored(server, inner):
    server.put({"c/a": {"f": encode(nested(20, inner), "f")}})


@pytest.mark.parametrize("inner", [{}, [1], {"a": 1}], ids=repr)
def test_the_twenty_first_level_is_refused_as_the_server_does(server, inner):
    with pytest.raises(InvalidValue, match="20"):
        encode(nested(20, inner), "f")
    with pytest.raises(InvalidValue):
        encode(nested(19, inner), "a.f", depth=1)
    too_deep = encode(inner, "f")
    for _ in range(20):
        outer = Value()
        outer.map_value.fields["a"].CopyFrom(too_deep)
        too_deep = outer
    with pytest.raises(grpc.RpcError) as refused:
        server.put({"c/a": {"f": too_deep}})
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("value", [Value(), Value(field_reference_value="f"), Value.FromString(b"\xfa\x01\x00")])
def test_a_value_of_no_known_kind_is_refused_when_read(value):
    with pytest.raises(InvalidValue):
        decode(value, reference)

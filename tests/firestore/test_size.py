"""Our count of a document's bytes is the server's."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from firestore_migrations.errors import InvalidValue
from firestore_migrations.firestore.size import MOST_BYTES, refuse_too_large, size_of
from firestore_migrations.firestore.values import encode
from firestore_migrations.firestore.wire import Document, Value
from tests.firestore import any_value
from tests.firestore.raw_server import RawServer
from tests.runs.extremes import extremes

HERE = "projects/p/databases/(default)/documents"
PATHS = ["c/a", "c/é\U0001f600", "c/__id7__", "c/__id-123__/d/__id9__", "__id7/__id7/__/id7__", "c/a b/c/" + "x" * 1500]


def document(path: str, **fields: object) -> Document:
    return Document(name=f"{HERE}/{path}", fields=fields)


def padded_to(path: str, fields: dict[str, Value], size: int) -> Document:
    """The same with two texts that make it exactly as large; one text alone may not be."""
    empty = Document(name=f"{HERE}/{path}", fields={**fields, "x": Value(string_value=""), "y": Value(string_value="")})
    missing = size - size_of(empty)
    empty.fields["x"].string_value = "x" * (missing // 2)
    empty.fields["y"].string_value = "y" * (missing - missing // 2)
    return empty


def is_taken(server: RawServer, sent: Document) -> bool:
    try:
        server.put({sent.name.removeprefix(f"{HERE}/"): sent.fields})
    except grpc.RpcError as error:
        if error.details() != "maximum entity size is 1048576 bytes":
            raise
        return False
    return True


def check(server: RawServer, path: str, fields: dict[str, Value]) -> None:
    largest, larger = padded_to(path, fields, MOST_BYTES), padded_to(path, fields, MOST_BYTES + 1)
    assert (is_taken(server, largest), is_taken(server, larger)) == (True, False)
    refuse_too_large(largest)
    with pytest.raises(InvalidValue, match="would be 1,048,577 bytes; a document takes at most 1,048,576") as refused:
        refuse_too_large(larger)
    assert refused.value.facts == {"path": path, "size": MOST_BYTES + 1}


@pytest.mark.parametrize("path", PATHS)
def test_the_largest_document_is_taken_and_one_byte_more_is_not(server: RawServer, path: str) -> None:
    check(server, path, extremes("p"))


@given(st.dictionaries(any_value.keys, any_value.values, max_size=5))
@example({"a": [], "b": [b""], "c": [b"", b""], "d": [{}], "e": {"f": []}, "g": b""})
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_it_holds(server: RawServer, data: dict[str, object]) -> None:
    check(server, "c/a", {name: encode(value, name) for name, value in data.items()})


def test_the_documented_example() -> None:
    """The one of https://cloud.google.com/firestore/docs/storage-size."""
    task = document(
        "users/jeff/tasks/my_task_id",
        type=Value(string_value="Personal"),
        done=Value(boolean_value=False),
        priority=Value(integer_value=1),
        description=Value(string_value="Learn Cloud Firestore"),
    )
    assert size_of(task) == 147


@pytest.mark.parametrize(
    "value",
    [
        Value(geo_point_value={}),
        Value(integer_value=0),
        Value(timestamp_value={}),
        Value(double_value=0),
    ],
)
def test_a_document_that_is_small_on_the_wire_is_counted_too(value: Value) -> None:
    count = MOST_BYTES // 8
    with pytest.raises(InvalidValue):
        refuse_too_large(document("c/a", f=Value(array_value={"values": [value] * count})))

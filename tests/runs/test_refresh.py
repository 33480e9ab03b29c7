"""A refresh makes the rehearsal database what its source is, and never touches the source."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud.firestore_admin_v1.types import database as databases
from google.cloud.firestore_admin_v1.types import firestore_admin
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, timestamp_pb2
from google.rpc import status_pb2

from firestore_migrations import Database, Document, each_document
from firestore_migrations.emulator import Emulator
from firestore_migrations.errors import ConfigurationError, LeaseHeld, Refused
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.connection import Address
from firestore_migrations.runs.copy import copy_documents
from firestore_migrations.runs.fingerprint import take_fingerprint
from firestore_migrations.runs.policy import Policy
from firestore_migrations.runs.refresh import clone, refresh
from tests.runs.rehearsing import Stage
from tests.runs.world import World

_SERVICE = "google.firestore.admin.v1.FirestoreAdmin"


@pytest.fixture
def stage(emulator: Emulator, project: str, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(emulator.host, project, tmp_path)
    yield made
    made.close()


def test_the_copy_becomes_byte_equal_at_any_depth(stage: Stage) -> None:
    ada = stage.source.writer.full_name("users/ada")
    stage.source.write(
        {
            "users/ada": {"self": wire.Value(reference_value=ada), "nan": float("nan"), "zero": -0.0, "b": b"\x00"},
            "users/ada/notes/1/lines/2": {"deep": {"list": [1, 1.0, None]}},
            "users/__id7__": {"n": 1},
            "same/x": {"n": 1},
        }
    )
    for start in range(0, 1200, 400):
        stage.source.write({f"many/{number:04}": {"n": number} for number in range(start, start + 400)})
    stage.copy.write({"users/old": {"n": 1}, "gone/y": {"n": 2}, "same/x": {"n": 1}, "many/0000": {"n": 9}})
    times = stage.source.update_times()
    same = stage.copy.update_times()["same/x"]

    copied = copy_documents(stage.source.writer, stage.copy.writer)

    assert (copied.documents, copied.written, copied.removed) == (1204, 1203, 2)
    assert take_fingerprint(stage.copy.writer) == take_fingerprint(stage.source.writer)
    assert stage.copy.update_times()["same/x"] == same  # what is alike is not written
    reference = stage.copy.data()["users/ada"]["self"]
    assert "databases/rehearsal" in getattr(reference, "_document_path", str(reference))
    assert stage.source.update_times() == times


def test_the_audit_of_the_copy_says_where_the_source_stands_and_knows_no_run(stage: Stage) -> None:
    stage.source.write({"_migrations/v001": _version("verified"), "_migrations/v001/runs/r1": {"old": 1}})
    stage.copy.write({"_migrations/v002": _version("failed"), "_migrations/v002/runs/r2/batches/1": {"old": 1}})

    refresh(stage.production, stage.target, "rehearsal/night-1")

    records = stage.copy.records()
    assert {path: data.get("state") for path, data in records.items() if path != "_lease"} == {"v001": "verified"}
    assert records["_lease"]["holder"] == ""


def test_the_versions_are_taken_over_as_they_were_when_the_data_was_read(stage: Stage) -> None:
    stage.source.write({"users/ada": {"n": 1}, "_migrations/v001": _version("pending")})
    copied = copy_documents(stage.source.writer, stage.copy.writer)
    stage.source.write({"users/ada": {"n": 2}, "_migrations/v001": _version("verified")})
    states = [stage.source.audit.versions(at)["v001"]["state"] for at in (copied.read_time, None)]
    assert (stage.copy.data(), states) == ({"users/ada": {"n": 1}}, ["pending", "verified"])


def test_a_run_at_work_on_the_rehearsal_database_is_not_pulled_from_under(stage: Stage) -> None:
    @each_document("users")
    def up(user: Document, db: Database) -> None:
        user["a"] = 1

    stage.copy.write({"users/ada": {}})
    stage.copy.run(up, up_to="preflight")

    with pytest.raises(LeaseHeld):
        refresh(stage.production, stage.target, "rehearsal/night-1")
    assert stage.copy.data() == {"users/ada": {}}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"policy": Policy()}, "holds data of its own; nothing may overwrite it"),
        ({"policy": Policy(rehearsal_of="another")}, "is the copy of another, not of production"),
        ({"environment": "production"}, "is a production database"),
        ({"address": "source"}, "lead to one database"),
    ],
)
def test_what_is_no_rehearsal_database_of_the_source_is_never_overwritten(
    stage: Stage, changes: dict[str, Any], why: str
) -> None:
    stage.copy.write({"users/mine": {"n": 1}})
    if changes.get("address"):
        host = str(stage.production.address.emulator_host).replace("127.0.0.1", "localhost")
        changes = {"address": replace(stage.production.address, emulator_host=host)}

    with pytest.raises(Refused, match=why):
        refresh(stage.production, replace(stage.target, **changes), "rehearsal/night-1")

    assert stage.copy.data() == {"users/mine": {"n": 1}}


def test_a_database_that_production_ran_on_is_never_overwritten(stage: Stage) -> None:
    @each_document("users")
    def up(user: Document, db: Database) -> None:
        user["a"] = 1

    stage.copy.write({"users/mine": {"n": 1}})
    life = stage.copy.begin(up)
    life.run = replace(life.run, target=replace(life.run.target, environment="production"))
    life.perform("preflight", "finish")
    before = stage.copy.records(), stage.copy.data()
    with pytest.raises(Refused, match="may hold data of its own: runs against a production database are in its audit"):
        refresh(stage.production, stage.target, "rehearsal/night-1")
    assert (stage.copy.records(), stage.copy.data()) == before


def test_one_of_googles_databases_is_overwritten_only_if_a_refresh_has_made_it(stage: Stage) -> None:
    stage.source.write({"users/ada": {"n": 1}})
    stage.copy.write({"users/mine": {"n": 1}})
    server = AdminServer()
    policy = replace(stage.target.policy, refresh="copy")
    target = replace(stage.target, address=replace(stage.target.address, admin_host=server.host), policy=policy)
    with pytest.raises(Refused, match="databases/rehearsal, where rehearsal leads to, may hold data of its own"):
        refresh(stage.production, target, "rehearsal/night-1")
    assert stage.copy.data() == {"users/mine": {"n": 1}}
    stage.copy.delete("users/mine")
    for night in ("night-1", "night-2"):
        refresh(stage.production, target, f"rehearsal/{night}")
    assert stage.copy.data() == {"users/ada": {"n": 1}}

    another = replace(target, address=replace(target.address, database="another"))
    stage.copy.writer.get(["x/y"])
    elsewhere = World(str(target.address.emulator_host), target.address.project, stage.copy.storage, "another")
    elsewhere.write({"users/mine": {"n": 1}})
    with pytest.raises(Refused, match="databases/another"):
        refresh(stage.production, another, "rehearsal/night-3")
    server.stop()
    assert (elsewhere.data(), server.asked) == ({"users/mine": {"n": 1}}, [])
    elsewhere.close()


def test_the_id_of_a_deleted_database_is_waited_for() -> None:
    server = AdminServer(exists=False)
    server.not_yet = 2
    source, copy = (Address("p", name, admin_host=server.host) for name in ("production", "rehearsal"))
    clone(source, copy, seconds=0)
    server.stop()
    assert [type(request).__name__ for request in server.asked] == ["CloneDatabaseRequest"]


class AdminServer:
    """Google's Admin API by its own request types: it notes what it is asked for, and every operation ends well."""

    def __init__(self, *, exists: bool = True, error: str = "") -> None:
        self.asked: list[Any] = []
        self.exists = exists
        self.error = error
        self.not_yet = 0  # how often the id of the new database is not available
        self._server = grpc.server(ThreadPoolExecutor(2))
        kinds = {
            "GetDatabase": (firestore_admin.GetDatabaseRequest.pb(), self._get),
            "DeleteDatabase": (firestore_admin.DeleteDatabaseRequest.pb(), self._start),
            "CloneDatabase": (firestore_admin.CloneDatabaseRequest.pb(), self._start),
        }
        looks = {
            "GetOperation": (operations_pb2.GetOperationRequest, self._ended),
            "ListOperations": (operations_pb2.ListOperationsRequest, self._list),
        }
        for service, methods in ((_SERVICE, kinds), ("google.longrunning.Operations", looks)):
            handlers = {
                name: grpc.unary_unary_rpc_method_handler(
                    answer, request_deserializer=request.FromString, response_serializer=lambda m: m.SerializeToString()
                )
                for name, (request, answer) in methods.items()
            }
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self.host = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None)

    def _get(self, request: Any, context: Any) -> Any:
        if request.name.endswith("/rehearsal") and not self.exists:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such database")
        return databases.Database.pb()(name=request.name, earliest_version_time=timestamp_pb2.Timestamp(seconds=60))

    def _start(self, request: Any, context: Any) -> Any:
        if self.not_yet:
            self.not_yet -= 1
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Database ID 'rehearsal' is not available. Please retry.")
        self.asked.append(request)
        return operations_pb2.Operation(name=f"operations/{len(self.asked)}")

    def _ended(self, request: Any, _context: Any) -> Any:
        if self.error:
            return operations_pb2.Operation(
                name=request.name, done=True, error=status_pb2.Status(code=7, message=self.error)
            )
        return operations_pb2.Operation(name=request.name, done=True, response=any_pb2.Any())

    def _list(self, _request: Any, _context: Any) -> Any:
        return operations_pb2.ListOperationsResponse()


def test_a_clone_deletes_the_old_copy_and_asks_for_a_whole_minute_of_the_source() -> None:
    server = AdminServer()
    source, copy = (Address("p", name, admin_host=server.host) for name in ("production", "rehearsal"))

    clone(source, copy, seconds=0)

    server.stop()
    deletion, request = server.asked
    assert deletion == firestore_admin.DeleteDatabaseRequest.pb()(name="projects/p/databases/rehearsal")
    assert (request.parent, request.database_id) == ("projects/p", "rehearsal")
    assert request.pitr_snapshot.database == "projects/p/databases/production"
    assert request.pitr_snapshot.snapshot_time.seconds % 60 == 0


def test_a_clone_that_google_gives_up_is_told_with_its_reason() -> None:
    server = AdminServer(exists=False, error="the quota is exhausted")
    source, copy = (Address("p", name, admin_host=server.host) for name in ("production", "rehearsal"))

    with pytest.raises(ConfigurationError, match="the quota is exhausted"):
        clone(source, copy, seconds=0)

    server.stop()
    assert [type(request).__name__ for request in server.asked] == ["CloneDatabaseRequest"]


def _version(state: str) -> dict[str, Any]:
    return {"state": state, "checksum": "0" * 64, "rollout_percent": 100, "windows": []}

"""Who asks for what, seen from the server: a front with TLS before the emulator that notes each call's token."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from firestore_migrations.firestore import wire
from tests.runs.world import World

LIFE = """
import sys
from pathlib import Path
from google.oauth2.credentials import Credentials
from firestore_migrations import each_document
from firestore_migrations.firestore import connection
from firestore_migrations.runs.options import Options
from firestore_migrations.runs.run import Run, Target
from tests.runs.world import Life, World

front, host, project, storage, planner = sys.argv[1:]
connection._GOOGLE = front
address = connection.Address(
    project,
    credentials=lambda: Credentials("runner"),
    reading_credentials=(lambda: Credentials("planner")) if planner else None,
)

@each_document("users")
def up(user, db):
    user["seen"] = user["n"]

migration = World(host, project, Path(storage)).migration(up)
run = Run("run-1", migration, Target("here", address, Path(storage), writes_per_second=0), Options(shards=2))
Life(run).perform("preflight", "finish")
"""


class Front(grpc.GenericRpcHandler):
    """Passes every call on to the emulator.

    Attributes:
        askers: the tokens that each method was called with, of a query by what it read: `RunQuery users`.
    """

    def __init__(self, host: str, key: bytes, certificate: bytes) -> None:
        self.askers: dict[str, set[str]] = defaultdict(set)
        self._to_emulator = grpc.insecure_channel(host)
        self._server = grpc.server(ThreadPoolExecutor(16))
        self._server.add_generic_rpc_handlers((self,))
        port = self._server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(key, certificate)]))
        self.host = f"localhost:{port}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(None).wait()
        self._to_emulator.close()

    def service(self, details: Any) -> Any:
        name = details.method.rpartition("/")[2]
        metadata = dict(details.invocation_metadata)
        token = metadata["authorization"].removeprefix("Bearer ")
        passed = [("authorization", "Bearer owner")]
        wanted = ["x-goog-request-params"]
        if not details.method.startswith("/google.firestore.admin."):  # which is asked about a database by its name
            wanted.append("google-cloud-resource-prefix")
        passed += [(key, metadata[key]) for key in wanted]

        def stream(request: bytes, context: Any) -> Iterator[bytes]:
            what = ""
            if name == "RunQuery":
                what = wire.RunQueryRequest.FromString(request).structured_query.from_[0].collection_id
            self.askers[f"{name} {what}".strip()].add(token)
            try:
                yield from self._to_emulator.unary_stream(details.method)(request, metadata=passed)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())

        def unary(request: bytes, context: Any) -> bytes:
            self.askers[name].add(token)
            try:
                return self._to_emulator.unary_unary(details.method)(request, metadata=passed)  # type: ignore[no-any-return]
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
                raise

        if name in ("RunQuery", "BatchGetDocuments", "RunAggregationQuery"):
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


@pytest.fixture
def front(world: World, tmp_path: Path) -> Iterator[Front]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "roots.pem").write_bytes(certificate)
    made = Front(str(world.address.emulator_host), private, certificate)
    yield made
    made.close()


def _live(world: World, front: Front, tmp_path: Path, planner: str) -> dict[str, set[str]]:
    """The askers of a whole life, from preflight to finish."""
    world.write({f"users/{number}": {"n": number} for number in range(20)})
    place = [front.host, str(world.address.emulator_host), world.address.project, str(world.storage), planner]
    roots = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(tmp_path / "roots.pem"), "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-c", LIFE, *place],
        env={**os.environ, **roots, "no_grpc_proxy": "localhost"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, world.state()) == (0, "verified"), done.stderr
    return front.askers


def test_the_planner_reads_the_scope_and_never_commits_and_the_runner_commits_and_never_reads_the_scope(
    world: World, front: Front, tmp_path: Path
) -> None:
    askers = _live(world, front, tmp_path, "planner")
    assert (askers["RunQuery users"], askers["PartitionQuery"], askers["Commit"]) == (
        {"planner"},
        {"planner"},
        {"runner"},
    )


def test_without_a_planner_the_connections_own_identity_does_all(world: World, front: Front, tmp_path: Path) -> None:
    askers = _live(world, front, tmp_path, "")
    assert {asker for method in askers.values() for asker in method} == {"runner"}

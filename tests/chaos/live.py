"""Live writers: other clients, in processes of their own, that write while a run goes on, and keep a log of it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from firestore_migrations.firestore import values, wire
from firestore_migrations.firestore.connection import Address, Writer
from firestore_migrations.runs.ledger import MOVED
from tests.chaos.worker import FORKS

if TYPE_CHECKING:
    from typing_extensions import Self

Data = dict[str, dict[str, Any]]


class Written(NamedTuple):
    """One write that the server has acknowledged.

    Attributes:
        at: its commit time; no two commits share one.
        kind: `create`, `update`, `delete` or `increment`.
        path: of the document.
        fields: what was written; of an increment, what was added.
    """

    at: int
    kind: str
    path: str
    fields: dict[str, Any]


class Client:
    """Writes as an application does: one document a commit, and only where it is there, or is not there yet."""

    def __init__(self, address: Address) -> None:
        self._writer = Writer(address)
        self.log: list[Written] = []

    def write(self, kind: str, path: str, **fields: Any) -> bool:
        """Write, and log it once it is acknowledged; whether the document allowed it."""
        write = wire.Write()
        name = self._writer.full_name(path)
        write.current_document.exists = kind != "create"
        if kind == "delete":
            write.delete = name
        elif kind == "increment":
            write.transform.document = name
            for field, number in fields.items():
                write.transform.field_transforms.add(field_path=field).increment.integer_value = number
        else:
            write.update.name = name
            for field, value in fields.items():
                write.update.fields[field].CopyFrom(values.encode(value, field))
            if kind == "update":
                write.update_mask.field_paths.extend(fields)
        try:
            at = self._writer.commit([write.SerializeToString()], timeout=60)
        except grpc.RpcError as error:
            if error.code() not in MOVED:
                raise
            return False
        self.log.append(Written(at, kind, path, fields))
        return True


class LiveWriters:
    """Processes that write, each so often, once they are let go; leaving the `with` block waits for them.

    Args:
        address: the database.
        work: what each does: called again and again with its client, random numbers and how often it was called.
        paths: the documents to write to, shared out among them.
        calls: of each.
        seed: of their random numbers.
        processes: how many.
    """

    def __init__(
        self, address: Address, work: Any, paths: Sequence[str], calls: int, seed: str, processes: int = 2
    ) -> None:
        self._may_go = FORKS.Event()
        self._pipes = []
        self._processes = []
        self.log: list[Written] = []
        for number in range(processes):
            answer, tell = FORKS.Pipe(duplex=False)
            mine = (address, work, paths[number::processes], calls, f"{seed}/{number}")
            self._processes.append(FORKS.Process(target=_write_on, args=(*mine, self._may_go, tell), daemon=True))
            self._pipes.append(answer)

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        return self

    def let_go(self) -> None:
        self._may_go.set()

    def __exit__(self, *_: object) -> None:
        self.let_go()
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            self.log += pipe.recv()
            process.join()


def _write_on(address: Address, work: Any, paths: Sequence[str], calls: int, seed: str, may_go: Any, tell: Any) -> None:
    client, chance = Client(address), random.Random(seed)
    may_go.wait()
    for call in range(calls):
        work(client, chance, paths, call)
        time.sleep(0.002)  # a client among others, not an attack
    tell.send(client.log)


def told(before: Data, log: Iterable[Written]) -> Data:
    """What the database would hold if nobody but the live writers had written."""
    data = {path: dict(fields) for path, fields in before.items()}
    for entry in sorted(log):
        if entry.kind == "create":
            data[entry.path] = dict(entry.fields)
        elif entry.kind == "update":
            data[entry.path].update(entry.fields)
        elif entry.kind == "increment":
            for field, number in entry.fields.items():
                data[entry.path][field] += number
        else:
            with suppress(KeyError):
                del data[entry.path]
    return data


def written_by(log: Iterable[Written], *kinds: str) -> set[str]:
    """The documents that were written to."""
    return {entry.path for entry in log if not kinds or entry.kind in kinds}


def old_code(client: Client, chance: random.Random, paths: Sequence[str], call: int) -> None:
    """An application that was not deployed anew: amounts are text. It also writes fields of its own."""
    path, number = chance.choice(paths), chance.randrange(10**9)
    kind = chance.choices(("note", "amount", "hot", "create", "delete"), (4, 4, 1, 1, 1))[0]
    if kind == "note":
        client.write("update", path, note=f"note {number}")
    elif kind == "amount":
        client.write("update", path, amount=str(number), note=f"amount {number}")
    elif kind == "hot":
        client.write("update", paths[0], amount=str(number))
    elif kind == "create":
        client.write("create", f"orders/{chance.choice('amz')}-{number}", amount=str(number))
    else:
        client.write("delete", path)


def new_code(client: Client, chance: random.Random, paths: Sequence[str], call: int) -> None:
    """An application that knows the new shape, and both while it reads."""
    path, number = chance.choice(paths), chance.randrange(10**9)
    kind = chance.choices(("note", "amount", "create", "delete"), (4, 4, 1, 1))[0]
    if kind == "note":
        client.write("update", path, note=f"new note {number}")
    elif kind == "amount":
        client.write("update", path, amount=number)
    elif kind == "create":
        client.write("create", f"orders/{chance.choice('bny')}-{number}", amount=number)
    else:
        client.write("delete", path)


def counting_code(client: Client, chance: random.Random, paths: Sequence[str], call: int) -> None:
    """An application that adds thousands to the very number that the migration counts up."""
    path, number = chance.choice(paths), chance.randrange(10**9)
    kind = chance.choices(("increment", "note", "create", "delete"), (6, 2, 1, 1))[0]
    if kind == "increment":
        client.write("increment", path, n=1000)
    elif kind == "note":
        client.write("update", path, note=f"note {number}")
    elif kind == "create":
        client.write("create", f"c/{chance.choice('0x')}-{number}", n=0)
    else:
        client.write("delete", path)

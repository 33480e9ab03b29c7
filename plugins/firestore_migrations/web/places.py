"""The targets of this deployment, each asked on threads of its own: one that is down holds up no other, and no page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass, field
from typing import TypeVar

from airflow.models.connection import Connection
from airflow.utils.session import create_session
from sqlalchemy import select

from firestore_migrations import configuration
from firestore_migrations.errors import ConfigurationError, FirestoreMigrationsError, Unavailable
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.hooks.firestore import FirestoreHook
from firestore_migrations.runs.run import Target

Answer = TypeVar("Answer")
Question = Callable[[Target, Reader], Answer]
_PATIENCE = 2.0
_SHORT = 0.4  # seconds, for a target that has just not answered
_THREADS = 4
_REMEMBERED = 10.0


@dataclass
class _Line:
    """The way to one target: its threads, its connection, and when it last did not answer."""

    threads: ThreadPoolExecutor
    reader: Reader | None = None
    silent_since: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reader_of(self, target: Target) -> Reader:
        """The connection, opened once for all who ask, and again when the target is described anew."""
        with self.lock:
            if self.reader is None or self.reader.address != target.address:
                self.reader = Reader(target.address)
            return self.reader


class Places:
    """Knows the targets by name, and asks them. Every question reads alone: the connection cannot write."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """The targets of the configuration; without any, every connection of type firestore."""
        configured = configuration.targets()
        if configured:
            return configured
        with create_session() as session:
            kind = FirestoreHook.conn_type
            found = session.scalars(select(Connection.conn_id).where(Connection.conn_type == kind)).all()
        return sorted({*found} or {configuration.DEFAULT_TARGET})

    def refuse_unknown(self, name: str) -> None:
        """Refuse a name that is no target: a link may hold any."""
        if name not in self.names():
            raise ConfigurationError(f"There is no target {name!r}.", f"There are: {', '.join(self.names())}.")

    def ask(self, name: str, question: Question[Answer], seconds: float | None = None) -> Answer:
        """Ask one target, and wait for so many seconds at most; by default for two.

        Raises:
            Unavailable: it does not answer in time.
            FirestoreMigrationsError: what the question raises.
        """
        self.refuse_unknown(name)
        patience = self._patience(name) if seconds is None else seconds
        return self._result(name, self._asked(name, question), patience)

    def ask_all(self, names: Sequence[str], question: Question[Answer]) -> dict[str, Answer | FirestoreMigrationsError]:
        """Ask several targets side by side; of one that fails, why."""
        patience = {name: self._patience(name) for name in names}
        asked = {name: self._asked(name, question) for name in names}
        began = time.monotonic()
        wait(asked.values(), timeout=max(patience.values(), default=0))
        answers: dict[str, Answer | FirestoreMigrationsError] = {}
        for name, future in asked.items():
            left = max(0.0, patience[name] - (time.monotonic() - began))
            try:
                answers[name] = self._result(name, future, left)
            except FirestoreMigrationsError as error:
                answers[name] = error
        return answers

    def _asked(self, name: str, question: Question[Answer]) -> Future[Answer]:
        line = self._line(name)

        def answer() -> Answer:
            target = FirestoreHook(name).target()
            return question(target, line.reader_of(target))

        return line.threads.submit(answer)

    def _result(self, name: str, future: Future[Answer], seconds: float) -> Answer:
        line = self._line(name)
        try:
            answer = future.result(seconds)
        except TookTooLong:
            future.cancel()
            line.silent_since = time.monotonic()
            raise Unavailable(
                f"{name} does not answer.",
                "Look whether its emulator runs, or whether this server reaches Google; then load the page again.",
                target=name,
            ) from None
        except Unavailable:
            line.silent_since = time.monotonic()
            raise
        line.silent_since = None
        return answer

    def _patience(self, name: str) -> float:
        silent = self._line(name).silent_since
        is_silent = silent is not None and time.monotonic() - silent < _REMEMBERED
        return _SHORT if is_silent else _PATIENCE

    def _line(self, name: str) -> _Line:
        with self._lock:
            if name not in self._lines:
                self._lines[name] = _Line(ThreadPoolExecutor(_THREADS, thread_name_prefix=f"firestore {name}"))
            return self._lines[name]


PLACES = Places()

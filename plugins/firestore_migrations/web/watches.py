"""Watches: one of each run, whoever looks at it. What a second visitor sees costs no second reading."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from firestore_migrations import configuration
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.runs.progress import Progress
from firestore_migrations.runs.run import Target
from firestore_migrations.runs.watch import Watch

_MOST = 100
_FRESH = 0.8  # seconds
_SHARE = 5  # looking takes a fifth of the time at most


@dataclass
class _Kept:
    watch: Watch
    reader: Reader
    lock: threading.Lock = field(default_factory=threading.Lock)
    progress: Progress | None = None
    at: float = 0.0
    took: float = 0.0


class Watches:
    """Keeps the watches of the runs that were looked at last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, str], _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def look(self, target: Target, reader: Reader, version: str, run_id: str, migration: Migration | None) -> Progress:
        """How far a run is: as it was within the last second, or now."""
        kept = self._find(target, reader, version, run_id, migration)
        with kept.lock:
            began = time.monotonic()
            if kept.progress is None or began - kept.at > max(_FRESH, kept.took * _SHARE):
                kept.progress = kept.watch.look()
                kept.at = time.monotonic()
                kept.took = kept.at - began
            return kept.progress

    def _find(self, target: Target, reader: Reader, version: str, run_id: str, migration: Migration | None) -> _Kept:
        key = (target.name, version, run_id)
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or kept.reader is not reader:
                watch = Watch(target, reader, version, run_id, configuration.prices(), migration)
                kept = self._kept[key] = _Kept(watch, reader)
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)
            return kept


WATCHES = Watches()

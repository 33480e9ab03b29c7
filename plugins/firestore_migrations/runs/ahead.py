"""Ahead: what is read while something else is done.

A server sends several streams faster than one. So each is read on a thread of its own, one portion ahead, and gives its
portions in its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Portion = TypeVar("Portion")
STREAMS = 8
"""At once; a server sends so much faster than by one, and memory holds two portions of each."""
_END = object()


def ahead(portions: Iterable[Portion]) -> Iterator[Portion]:
    """The same portions, the next one made on another thread while the present one is used."""
    remaining = iter(portions)
    with ThreadPoolExecutor(1, "ahead") as thread:
        coming = thread.submit(next, remaining, _END)
        while (portion := coming.result()) is not _END:
            coming = thread.submit(next, remaining, _END)
            yield portion  # type: ignore[misc]


def by_turns(streams: Iterable[Iterator[Portion]]) -> Iterator[Portion]:
    """One portion of each stream after the other, of some at once; where one ends, the next begins."""
    remaining = iter(streams)
    open_streams = deque(islice(remaining, STREAMS))
    while open_streams:
        stream = open_streams.popleft()
        portion = next(stream, _END)
        if portion is _END:
            open_streams.extend(islice(remaining, 1))
        else:
            open_streams.append(stream)
            yield portion  # type: ignore[misc]

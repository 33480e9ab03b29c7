"""Turns: several streams of a server, read by one thread.

A server sends several streams faster than one. While one of them is read, the connection goes on taking in what comes
of the others, as much as their windows let the server send. A thread for each would cost more than all else that is
done with a document: Python's lock goes back and forth between them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Portion = TypeVar("Portion")
STREAMS = 8
"""At once: as many as make one process busy, each with some hundred names on their way."""
_END = object()


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

"""Wait for something that happens in another process."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import httpx

T = TypeVar("T")


def wait_for(look: Callable[[], T], seconds: float, complaint: Callable[[], str] = str) -> T:
    """What `look` gives as soon as that is true of it; a server that is too busy to answer is asked again."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(httpx.TransportError):
            if found := look():
                return found
        assert time.monotonic() < deadline, f"not after {seconds} s: {complaint()}"
        time.sleep(0.2)

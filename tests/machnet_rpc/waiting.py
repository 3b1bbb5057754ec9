"""Waiting for what must come true within some iterations of the event loop, or some time."""

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Returns once the condition holds; fails the test if it does not in time."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it never came true"
        await asyncio.sleep(0)


def until_seen(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """The same, of what happens in other threads."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.001)

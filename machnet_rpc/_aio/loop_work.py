"""How long one callback may hold up an event loop, and the callbacks that would wait for it."""

import asyncio
import gc
from collections import deque
from typing import Final

TURN_NS: Final = 25_000  # where it can be seen whether the loop has other work
TURN_SLOW_NS: Final = 50_000  # ... in asyncio's own loop, of which an iteration takes 10 us, not 3
TURN_BLIND_NS: Final = 10_000  # and where it cannot


def ready_queue(loop: asyncio.AbstractEventLoop) -> deque[asyncio.Handle] | None:
    """The callbacks that wait for the loop's thread, in the loop's own queue; None: not found.

    asyncio has it in an attribute. uvloop has it, too, and no way to it but that of the garbage
    collector. It is the one in which a callback is found that was just added.
    """
    added = loop.call_soon(_nothing)
    try:
        for each in (getattr(loop, "_ready", None), *gc.get_referents(loop)):
            if type(each) is deque and any(one is added for one in each):
                return each
    finally:
        added.cancel()
    return None


def turn_ns(loop: asyncio.AbstractEventLoop, ready: deque[asyncio.Handle] | None) -> int:
    """How long a callback may take that looks at this queue between its steps."""
    if ready is None:
        return TURN_BLIND_NS
    return TURN_SLOW_NS if isinstance(loop, asyncio.BaseEventLoop) else TURN_NS


def _nothing() -> None:
    """Looked for, and not run."""

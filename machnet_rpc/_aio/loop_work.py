"""What else an event loop has to do, as one of its callbacks sees it, and how long that may take.

A callback that has more work than it should do at once has two ways: it schedules itself again,
which costs an iteration of the loop, or it looks whether anybody would wait if it went on.
"""

import asyncio
import ctypes
import gc
from collections import deque
from collections.abc import Sized
from typing import Any, Final

import uvloop.loop

TURN_NS: Final = 25_000  # where it can be seen whether the loop has other work
TURN_BLIND_NS: Final = 10_000  # and where it cannot


class LoopWork:
    """The work that waits for one event loop. Thread: the loop's.

    ready: the callbacks that wait, in the loop's own queue; empty where it is hidden.
    fileno: a descriptor that is readable when another one waits for the loop; -1: unknown. Newly
        added ones and timers do not show.
    turn_ns: how long a callback may take that looks at `ready` between its steps, and when that is
        over, at `fileno`, to go on.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        ready = ready_queue(loop)
        self.ready: Sized = () if ready is None else ready
        self.turn_ns = TURN_BLIND_NS if ready is None else TURN_NS
        self.fileno = -1 if ready is None else _fileno(loop)


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


def _fileno(loop: asyncio.AbstractEventLoop) -> int:
    """The set of descriptors in which the loop waits, which is one itself; -1: unknown."""
    selector: Any = getattr(loop, "_selector", None)
    try:
        is_uv = isinstance(loop, uvloop.loop.Loop)
        fileno: int = _uv_backend_fd(loop) if is_uv else selector.fileno()
    except (AttributeError, OSError, ValueError):
        return -1
    return fileno


def _uv_backend_fd(loop: asyncio.AbstractEventLoop) -> int:
    """Where libuv waits. Errors: AttributeError, OSError: this uvloop does not say."""
    capsule = uvloop.loop.libuv_get_loop_t_ptr(loop)  # type: ignore[attr-defined]
    address = ctypes.pythonapi.PyCapsule_GetPointer
    address.restype = ctypes.c_void_p
    address.argtypes = [ctypes.py_object, ctypes.c_char_p]
    backend_fd = ctypes.PyDLL(uvloop.loop.__file__).uv_backend_fd
    backend_fd.argtypes = [ctypes.c_void_p]
    fileno: int = backend_fd(address(capsule, None))
    return fileno


def _nothing() -> None:
    """Looked for, and not run."""

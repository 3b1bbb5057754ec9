"""The time by which calls have deadlines: the system's, or that of a test's virtual clock.

Whoever reads it calls `_clock.monotonic_ns()`, and so sees a clock that is set later. Does not know
who sets one.
Thread: while a clock is set, the process has one thread that makes or serves calls.
"""

import time
from collections.abc import Callable
from typing import Any

from transport_engine._native import ffi

monotonic_ns: Callable[[], int] = time.monotonic_ns
engine_clock: Any = ffi.NULL
"""For engines in this process: a `uint64_t *` that holds the same time; NULL: they read it."""


def seconds_until(time_ns: int) -> float:
    """How long it is until then, not below 0."""
    return max(time_ns - monotonic_ns(), 0) / 1e9


def is_virtual() -> bool:
    """Whether time stands still while there is anything to do: looking for it to pass is vain."""
    return bool(engine_clock)


def set_clock(monotonic: Callable[[], int], engines: Any) -> None:
    """Takes the time from elsewhere, until `reset_clock`. Errors: RuntimeError for a second one."""
    global monotonic_ns, engine_clock
    if is_virtual():
        raise RuntimeError("a virtual clock is running already: a process has one at a time")
    monotonic_ns, engine_clock = monotonic, engines


def reset_clock() -> None:
    """Takes the time from the system again."""
    global monotonic_ns, engine_clock
    monotonic_ns, engine_clock = time.monotonic_ns, ffi.NULL

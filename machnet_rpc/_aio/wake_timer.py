"""One timer of an event loop that is set again and again: the earliest time wins."""

import asyncio
from collections.abc import Callable

from machnet_rpc import _clock


class WakeTimer:
    """Calls back once, at the earliest of the times it was set to. Thread: the loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_time: Callable[[], None]) -> None:
        self._loop = loop
        self._on_time = on_time
        self._handle: asyncio.TimerHandle | None = None
        self._wake_ns = 0

    def set(self, wake_ns: int | None) -> None:
        """On the monotonic clock; None sets nothing, as does a time after the one it has."""
        if wake_ns is None:
            return
        if self._handle is not None:
            if self._wake_ns <= wake_ns:
                return  # whoever is called back then looks again
            self._handle.cancel()
        sleep_ns = max(wake_ns - _clock.monotonic_ns(), 0)
        self._handle = self._loop.call_later(sleep_ns / 1e9, self._fire)
        self._wake_ns = wake_ns

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        self._on_time()

"""One timer of an event loop that is set again and again: the earliest time wins."""

import asyncio
from collections.abc import Callable

from machnet_rpc import _clock
from machnet_rpc._aio.steady import Steady


class WakeTimer:
    """Calls back once, at the earliest of the times it was set to. Thread: the loop's."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_time: Callable[[], None],
        recover: Callable[[], None],
    ) -> None:
        """`recover` is told of what was raised as it called back, or in there."""
        self._loop = loop
        self._fire = Steady(on_time, recover)
        self._handle: asyncio.TimerHandle | None = None
        self._wake_ns = 0

    def set(self, wake_ns: int | None) -> None:
        """On the monotonic clock; None sets nothing, as does a time after the one it has."""
        if wake_ns is None:
            return
        now_ns = _clock.monotonic_ns()
        if self._handle is not None and self._fire.is_due:
            if now_ns <= self._wake_ns <= wake_ns:
                return  # whoever is called back then looks again
            self._handle.cancel()  # or it is late, and perhaps lost: asyncio may be interrupted
            wake_ns = min(wake_ns, self._wake_ns)
        sleep_ns = max(wake_ns - now_ns, 0)
        self._handle = self._loop.call_later(sleep_ns / 1e9, self._fire.callback)
        self._fire.is_due = True
        self._wake_ns = wake_ns

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

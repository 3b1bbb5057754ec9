"""A clock for tests: time stands still while there is anything to do, then jumps to what is next.

Deadlines, pauses and keep-alives pass in no time, always in the same order. Drives an event loop of
asyncio, deadlines of calls, and the engines that are opened in this process meanwhile. Knows no
services.
Source: the idea is that of trio.testing.MockClock with autojump_threshold=0.
"""

import asyncio
from collections.abc import Callable
from selectors import BaseSelector, SelectorKey
from typing import Any, Final, Self

from machnet_rpc import _clock
from machnet_rpc._aio.belonging import running_loop
from transport_engine._native import ffi

BEGINS_NS: Final = 1_000_000_000_000  # always the same, so that every run rounds alike
PATIENCE_SECONDS: Final = 10.0
STANDSTILL_MAX: Final = 1_000_000  # turns of the loop while time does not move


class StandstillError(RuntimeError):
    """No timer is left and nothing comes, or something polls and never lets time go on."""


class VirtualClock:
    """Virtual time for the running event loop, while its block runs.

    What the block opens it also closes; timers that were set before it wait until it has ended.
    Work in threads (`run_in_executor`) takes no time: time waits for it. After `patience` seconds
    of the system's time in which nothing comes and no timer is left, the loop ends with a
    StandstillError.
    Errors: RuntimeError for a loop that is not asyncio's own, and for a second clock.
    """

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self.patience = patience
        self._now: Any = ffi.new("uint64_t *", BEGINS_NS)
        self._loop: Any = None
        self._selector: _Jumper | None = None
        self._in_threads = 0
        self._run_in_executor: Callable[..., asyncio.Future[Any]] | None = None

    def __repr__(self) -> str:
        return f"<VirtualClock {self.elapsed:.9f} s {'stopped' if self._loop is None else 'runs'}>"

    @property
    def elapsed(self) -> float:
        """Seconds of virtual time since the block began."""
        return (self.monotonic_ns() - BEGINS_NS) / 1e9

    def monotonic_ns(self) -> int:
        """The virtual time."""
        now_ns: int = self._now[0]
        return now_ns

    async def __aenter__(self) -> Self:
        loop: Any = running_loop()
        selector = getattr(loop, "_selector", None)
        if not isinstance(selector, BaseSelector):
            raise RuntimeError(
                f"virtual time needs asyncio's own event loop, not {type(loop).__module__}'s: run "
                "this test on asyncio.new_event_loop"
            )
        _clock.set_clock(self.monotonic_ns, self._now)
        self._now[0] = BEGINS_NS
        self._loop = loop
        self._selector = loop._selector = _Jumper(selector, self)  # noqa: SLF001 (asyncio's own)
        self._run_in_executor = loop.run_in_executor
        loop.time, loop.run_in_executor = self._seconds, self._run
        return self

    async def __aexit__(self, *_: object) -> None:
        loop, selector = self._loop, self._selector
        assert selector is not None
        self._loop = None
        loop._selector = selector.inner  # noqa: SLF001
        del loop.time, loop.run_in_executor
        _clock.reset_clock()

    def jump(self, seconds: float) -> None:
        """Lets time go on at once, as if nothing had been done meanwhile."""
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds} s")
        self._now[0] += round(seconds * 1e9)

    def _seconds(self) -> float:
        return self.monotonic_ns() / 1e9

    @property
    def is_waited_for(self) -> bool:
        """Whether threads work, for which time waits."""
        return self._in_threads > 0

    def _run(self, executor: Any, function: Callable[..., Any], *args: Any) -> Any:
        assert self._run_in_executor is not None
        done = self._run_in_executor(executor, function, *args)
        self._in_threads += 1
        done.add_done_callback(self._on_thread_done)
        return done

    def _on_thread_done(self, _: object) -> None:
        self._in_threads -= 1


class _Jumper(BaseSelector):
    """A selector that does not sleep: where nothing is ready, time jumps by what it would have."""

    def __init__(self, inner: BaseSelector, clock: VirtualClock) -> None:
        self.inner = inner
        self._clock = clock
        self._turns = 0  # since time last moved

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        return self.inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> SelectorKey:
        return self.inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        return self.inner.modify(fileobj, events, data)

    def close(self) -> None:
        self.inner.close()

    def get_map(self) -> Any:
        return self.inner.get_map()

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        ready = self.inner.select(0)
        self._turns += 1
        if self._turns > STANDSTILL_MAX:
            self._turns = 0
            raise StandstillError(
                f"time has stood still for {STANDSTILL_MAX} turns of the event loop: something "
                "polls by asyncio.sleep(0), which should sleep for a while, or a client or server "
                "was opened before the clock: enter the clock first"
            )
        if ready or timeout == 0:
            return ready
        if timeout is None or self._clock.is_waited_for:
            ready = self.inner.select(self._clock.patience)
            if not ready:
                raise StandstillError(
                    f"nothing came for {self._clock.patience:g} s, and no timer is left: tasks "
                    "wait for what nobody sends"
                )
            return ready
        self._turns = 0
        self._clock.jump(max(timeout, 1e-9))
        return []

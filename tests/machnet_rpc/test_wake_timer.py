"""A timer that is set again and again: the earliest time wins, and no other is left."""

from typing import Any, cast

from machnet_rpc import _clock
from machnet_rpc._aio.wake_timer import WakeTimer

SECOND = 1_000_000_000


class Handle:
    def __init__(self, seconds: float, fire: Any) -> None:
        self.seconds = seconds
        self.fire = fire
        self.is_set = True

    def cancel(self) -> None:
        self.is_set = False


class Loop:
    """Keeps what is to be called later."""

    def __init__(self) -> None:
        self.handles: list[Handle] = []

    def call_later(self, seconds: float, fire: Any) -> Handle:
        self.handles.append(Handle(seconds, fire))
        return self.handles[-1]


def never() -> None:
    raise AssertionError("nothing was raised")


def test_the_earliest_time_wins_and_no_other_is_left() -> None:
    loop, fired = Loop(), list[int]()
    timer = WakeTimer(cast(Any, loop), lambda: fired.append(len(loop.handles)), never)
    now_ns = _clock.monotonic_ns()
    for seconds in (60, 30, 45, 30):
        timer.set(now_ns + seconds * SECOND)
    timer.set(None)
    assert [handle.is_set for handle in loop.handles] == [False, True]
    loop.handles[1].fire()
    timer.set(now_ns + 60 * SECOND)
    assert (fired, len(loop.handles)) == ([2], 3)
    timer.cancel()
    assert not loop.handles[2].is_set


def test_a_time_that_passed_in_silence_is_not_waited_for() -> None:
    """As asyncio passes it by where it is interrupted itself."""
    loop = Loop()
    timer = WakeTimer(cast(Any, loop), never, never)
    now_ns = _clock.monotonic_ns()
    timer.set(now_ns - SECOND)
    timer.set(now_ns + SECOND)
    assert [(handle.is_set, handle.seconds) for handle in loop.handles] == [(False, 0), (True, 0)]

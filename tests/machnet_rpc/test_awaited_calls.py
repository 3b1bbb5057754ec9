"""A call that is awaited is like a future of asyncio, whatever is done with it, for one awaiter."""

import asyncio
import random
from typing import Any

import pytest

from machnet_rpc._native import crossing
from machnet_rpc._protocol.calls import OutgoingCall
from tests.machnet_rpc.test_crossing import Rig, rig

pytestmark = pytest.mark.skipif(crossing is None, reason="in Python it has a future of asyncio")

__all__ = ["rig"]

FOREVER_NS = (1 << 63) - 1
MESSAGES: tuple[Any, ...] = (None, "why", ("a", 1), asyncio.CancelledError("inner"))
STEPS = 24


class Both:
    """A call and a future with the same history; each of them has told so many things."""

    def __init__(self) -> None:
        self.call: Any = OutgoingCall(1, FOREVER_NS, asyncio.get_running_loop())
        self.future: Any = asyncio.get_running_loop().create_future()
        self.told: tuple[list[Any], list[Any]] = ([], [])
        self.awaiters = tuple(told.append for told in self.told)
        self.has_awaiter = False

    def complete(self, value: int) -> None:
        self.call.complete(value)
        if not self.future.done():
            self.future.set_result(value)

    def cancel(self, message: Any) -> None:
        assert self.call.cancel(message) == self.future.cancel(message)

    def add(self) -> None:
        if self.has_awaiter:
            with pytest.raises(RuntimeError, match="awaited once"):
                self.call.add_done_callback(self.awaiters[0])
            return
        self.call.add_done_callback(self.awaiters[0])
        self.future.add_done_callback(self.awaiters[1])
        self.has_awaiter = not self.future.done()

    def remove(self) -> None:
        assert self.call.remove_done_callback(print) == 0
        counts = [
            awaited.remove_done_callback(awaiter)
            for awaited, awaiter in zip((self.call, self.future), self.awaiters, strict=True)
        ]
        assert counts[0] == counts[1]
        self.has_awaiter = False

    def send(self) -> None:
        """As a task does."""
        ends = []
        for awaited in (self.call, self.future):
            try:
                assert next(awaited.__await__()) is awaited
                assert awaited._asyncio_future_blocking
                awaited._asyncio_future_blocking = False
                ends.append("waits")
            except (asyncio.CancelledError, StopIteration) as end:
                ends.append(f"{type(end).__name__} {end.args}")
        assert ends[0] == ends[1]

    def compare(self) -> None:
        call, future = self.call, self.future
        assert (call.done(), call.cancelled()) == (future.done(), future.cancelled())
        assert len(self.told[0]) == len(self.told[1])
        assert self.told[0] in ([], [call] * len(self.told[0]))
        assert end_of(call) == end_of(future)


def end_of(awaited: Any) -> object:
    try:
        return awaited.result()
    except asyncio.CancelledError as error:
        return error.args
    except (RuntimeError, asyncio.InvalidStateError):
        return "it has not ended"


@pytest.mark.parametrize("seed", range(40))
async def test_it_is_like_a_future(seed: int) -> None:
    chance = random.Random(seed)
    both = Both()
    steps = (both.add, both.remove, both.send)
    for step in range(STEPS):
        act = chance.randrange(12)
        if act == 0:
            both.complete(step)
        elif act == 1:
            both.cancel(chance.choice(MESSAGES))
        elif act < 4:
            await asyncio.sleep(0)
        else:
            chance.choice(steps)()
        both.has_awaiter = both.has_awaiter and not both.future.done()
        both.compare()
    await asyncio.sleep(0)
    both.compare()


@pytest.mark.parametrize("message", MESSAGES)
async def test_who_cancels_may_say_anything(message: Any) -> None:
    both, given = Both(), []

    async def awaits(awaited: Any) -> None:
        await awaited

    for awaited in (both.call, both.future):
        task = asyncio.ensure_future(awaits(awaited))
        await asyncio.sleep(0)
        task.cancel(message)
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
        given.append(cancelled.value.args)
    assert given[0] == given[1]


async def test_what_an_awaiter_raises_is_told_of_by_the_loop_and_stops_nobody(rig: Rig) -> None:
    raises, lives = rig.call(1), rig.call(2)
    told, resumed = list[Any](), list[object]()

    def raising(_: object) -> None:
        raise KeyError("of its own")

    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    raises.add_done_callback(raising)  # type: ignore[attr-defined]
    lives.add_done_callback(resumed.append)  # type: ignore[attr-defined]
    rig.reply(1, b"")
    rig.reply(2, b"")
    assert rig.crossing.receive(0) == []
    assert resumed == [lives]
    (context,) = told
    assert isinstance(context["exception"], KeyError)


async def test_an_awaiter_that_is_freed_may_be_followed_by_another() -> None:
    call: Any = OutgoingCall(1, FOREVER_NS, asyncio.get_running_loop())
    told: list[Any] = []

    class First:
        def __call__(self, ended: Any) -> None:
            raise AssertionError("it was taken away")

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

        def __del__(self) -> None:
            call.add_done_callback(told.append)

    call.add_done_callback(First())
    assert call.remove_done_callback(print) == 1
    call.complete(b"answer")
    await asyncio.sleep(0)
    assert told == [call]

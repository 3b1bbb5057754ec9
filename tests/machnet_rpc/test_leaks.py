"""Nothing is held of what crosses in C: no block of memory, and no reference to what lives longer.

Each kind of step is taken hundreds of times, also those that end in exceptions.
"""

import asyncio
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

import pytest

from machnet_rpc._aio.handler_task import HandlerTask
from machnet_rpc._native import crossing
from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import IncomingCall, OutgoingCall
from machnet_rpc._protocol.outbox import Ticket
from machnet_rpc.context import CURRENT
from tests.machnet_rpc.test_caller import Called
from tests.machnet_rpc.test_crossing import FLOW, FOREVER_NS, Rig
from tests.machnet_rpc.test_crossing import rig as rig  # a fixture
from tests.machnet_rpc.test_desk import ECHO, LENGTH, Served
from tests.machnet_rpc.test_requester import Sending

pytestmark = pytest.mark.skipif(crossing is None, reason="messages cross in Python here")

TIMES = 1000
GROWN_MAX = TIMES // 5  # by less caches grow, which hold some 100 of what came last

Step = Callable[[int], object]


def nothing_is_held(step: Step) -> None:
    """Takes the step often, and compares memory and references with those before."""
    for number in range(100):
        step(number)
    gc.collect()
    objects = [*gc.get_objects(), None, True]
    before = [sys.getrefcount(each) for each in objects]
    blocks = sys.getallocatedblocks()
    for number in range(TIMES):
        step(number)
    gc.collect()
    grown_blocks = sys.getallocatedblocks() - blocks
    after = [sys.getrefcount(each) for each in objects]
    grown = [
        f"{now - then} references to {type(each).__name__}"
        for each, now, then in zip(objects, after, before, strict=True)
        if now - then > GROWN_MAX
    ]
    assert grown == []
    assert grown_blocks < GROWN_MAX


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def in_loop(loop: asyncio.AbstractEventLoop, make: Callable[[], Any]) -> Any:
    async def made() -> Any:
        return make()

    return loop.run_until_complete(made())


def from_the_loop(loop: asyncio.AbstractEventLoop, work: Callable[[], object]) -> None:
    """Works where no task is current, and then does what the loop has to do, and that again."""
    loop.call_soon(work)
    for _ in range(3):
        loop.call_soon(loop.stop)
        loop.run_forever()


# -- handlers --


def raises() -> None:
    raise ValueError("no")


def exits() -> None:
    raise SystemExit(3)


def cancels() -> None:
    task: Any = asyncio.current_task()
    task.cancel("enough")


async def waits() -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, None)
    await future


REQUESTS: dict[str, tuple[int, bytes]] = {
    "bytes": (ECHO, b"payload"),
    "large": (ECHO, bytes(65_537)),
    "raises": (ECHO, b"raises"),
    "exits": (ECHO, b"exits"),
    "cancels": (ECHO, b"cancels"),
    "waits": (ECHO, b"waits"),
    "another type": (LENGTH, b"\xa4four"),
    "malformed": (LENGTH, b"\xc1"),
    "unknown": (17, b""),
}


WELL = ("bytes", "large", "waits", "another type")


@pytest.mark.parametrize("kind", REQUESTS)
def test_requests(loop: asyncio.AbstractEventLoop, kind: str) -> None:
    method, payload = REQUESTS[kind]
    rig: Served = in_loop(loop, Served)
    rig.service.doings = {
        b"raises": raises,
        b"exits": exits,
        b"cancels": cancels,
        b"waits": waits,
    }

    def step(number: int) -> None:
        def received() -> None:
            for each in range(3):  # what follows an exit is kept for the next turn
                for record in records.pieces(
                    records.REQUEST, FLOW, 3 * number + each, payload, method_id=method
                ):
                    rig.far.send(record)
                    if len(payload) > 1 << 16:
                        rig.crossing.receive(0)
            rig.far.send(records.pack(records.CANCEL, FLOW, FOREVER_NS))
            for _ in range(2):
                with suppress(SystemExit):
                    rig.crossing.receive(0)

        from_the_loop(loop, received)
        taken = rig.taken()
        while rig.outbox:
            rig.flush_in_c()
            taken += rig.taken()
        assert (kind in WELL) == all(head[records.STATUS] == 0 for head, _ in taken)
        rig.service.seen.clear()

    nothing_is_held(step)
    rig.close()


# -- calls --


def answered(rig: Rig, call: OutgoingCall) -> None:
    rig.far.receive()
    rig.reply(call.call_id, b"answer")
    rig.crossing.receive(0)
    assert call.result() == b"answer"


def refused(rig: Rig, call: OutgoingCall) -> None:
    rig.reply(call.call_id, b"answer", flags=records.ERROR, status=3)
    ((_, payload),) = rig.crossing.receive(0)
    assert payload == b"answer"
    rig.calls.pop(call.call_id)


def resumed(rig: Rig, call: Any) -> None:
    told: list[object] = []
    call.add_done_callback(told.append)
    answered(rig, call)
    assert told == [call]


def resumed_by_the_loop(rig: Rig, call: Any) -> None:
    told: list[object] = []
    context = copy_context()
    call.add_done_callback(told.append, context=context)
    context.run(answered, rig, call)
    assert told == []


def exited(rig: Rig, call: Any) -> None:
    def exit_from(_: object) -> None:
        raise SystemExit(3)

    call.add_done_callback(exit_from)
    rig.far.send(records.pack(records.CANCEL, FLOW, 1))
    with suppress(SystemExit):
        answered(rig, call)
    assert len(rig.crossing.receive(0)) == 1


def cancelled(rig: Rig, call: Any) -> None:
    call.add_done_callback(print)
    assert call.remove_done_callback(len) == 0
    assert call.remove_done_callback(print) == 1
    call.add_done_callback(id)
    call.cancel(("a", "message"))
    with suppress(asyncio.CancelledError):
        call.result()
    with suppress(asyncio.CancelledError):
        next(call)
    rig.calls.pop(call.call_id)


def awaited(rig: Rig, call: Any) -> None:
    assert next(iter(call)) is call
    answered(rig, call)
    with suppress(StopIteration):
        next(call)


ENDS = [answered, refused, resumed, resumed_by_the_loop, exited, cancelled, awaited]


@pytest.mark.parametrize("end", ENDS)
def test_calls(
    rig: Rig, loop: asyncio.AbstractEventLoop, end: Callable[[Rig, OutgoingCall], None]
) -> None:
    wheel = crossing.Deadlines()
    flow = crossing.Flow(rig.crossing, FLOW, "the connection", rig.calls, wheel)

    def step(number: int) -> None:
        payload = b"payload" if number % 2 else memoryview(b"payload")
        call = flow.request(payload, 2, FOREVER_NS, 4_000, 3, 7, 0, loop)

        def ended() -> None:
            end(rig, call)
            wheel.discard(call)

        from_the_loop(loop, ended)
        rig.far.receive()
        assert rig.calls == {}

    nothing_is_held(step)


def test_the_usual_calls(rig: Rig, loop: asyncio.AbstractEventLoop) -> None:
    sending: Sending = in_loop(loop, lambda: Sending(rig))
    connection = sending.connection

    def called(number: int) -> None:
        around = SimpleNamespace(deadline_ns=FOREVER_NS - number)
        sending.around.set((around, None, object(), None)[number])
        sending.keeper.connection = (connection, None, connection, object())[number]
        with suppress(AttributeError):  # of the last two
            call = sending.begin()
            if call is not None:
                answered(rig, call)

    def step(number: int) -> None:
        from_the_loop(loop, lambda: copy_context().run(called, number % 4))

    nothing_is_held(step)


def test_calls_past_the_loop() -> None:
    def fails_to_wait(call: OutgoingCall, spin_ns: int) -> None:
        raise ValueError("no")

    rig = Called()
    caller, decoded = rig.caller(), rig.caller(gives=False)
    how = (1, 10**9, 0, 4, rig.loop, 0)
    fails: Any = crossing.Caller(
        rig.line, how, fails_to_wait, rig.give_up, None, None, False, False
    )

    def step(number: int) -> None:
        for call, payload in ((caller, b"at once, or later"), (decoded, b"decoded")):
            rig.open()
            answer = call(payload)
            if isinstance(answer, OutgoingCall):  # something else came first
                rig.connection.cancel(answer)
        rig.open()
        with suppress(ValueError):
            fails.exchange(b"never")
        assert caller(bytearray(b"a")) is not None
        rig.line.close()
        assert caller(b"closed") is None
        rig.unusual.clear()
        rig.crossing.receive(0)

    try:
        nothing_is_held(step)
    finally:
        rig.close()


# -- all else --


def test_what_waits_for_room(rig: Rig) -> None:
    def step(number: int) -> None:
        for payload in (bytes(70_000), memoryview(bytes(70_000))):
            rig.post(Ticket(), payload)
            rig.post(OutgoingCall(1, FOREVER_NS, None), payload)
        while rig.outbox:
            rig.flush_in_c()
            rig.taken()
        with suppress(TypeError, OverflowError, BufferError):
            rig.post(Ticket(), (memoryview(b"a b c")[::2], "text", 5)[number % 3])

    nothing_is_held(step)


def test_what_is_lent(rig: Rig) -> None:
    rig.crossing.lent = {2}

    def step(number: int) -> None:
        for record in records.pieces(records.REQUEST, FLOW, 9, bytes(70_000), method_id=2):
            rig.far.send(record)
        ((_, whole),) = rig.crossing.receive(0)
        assert memoryview(whole).nbytes == len(whole) == 70_000

    step(0)
    pooled = crossing.pool()
    nothing_is_held(step)
    assert crossing.pool() == pooled


def test_messages_that_end_early() -> None:
    first = next(iter(records.pieces(records.REQUEST, FLOW, 9, bytes(70_000), method_id=2)))

    def step(number: int) -> None:
        rig = Rig()
        rig.crossing.lent = {2} if number % 2 else set()
        call: Any = OutgoingCall(2, FOREVER_NS, None)
        call.add_done_callback(sys.exit)
        rig.calls[1] = call
        rig.reply(1, b"ends in an exception")
        rig.far.send(records.pack(records.CANCEL, FLOW, 1))  # is left
        rig.far.send(first)
        with suppress(SystemExit):
            rig.crossing.receive(0)
        rig.close()

    nothing_is_held(step)


def test_timers_and_tallies() -> None:
    wheel, tally = crossing.Deadlines(), crossing.Tally()
    wheel.add(IncomingCall(1, 2, FOREVER_NS, None))

    def step(number: int) -> None:
        timed = [OutgoingCall(1, 1_000_000 * number + each, None) for each in range(3)]
        for each in timed:
            wheel.add(each)
        wheel.discard(timed[0])
        with suppress(ValueError):
            wheel.add(timed[1])
        assert set(wheel.expire(1_000_000 * (number + 1))) == set(timed[1:])
        tally.begin()
        tally.end(number % 20, number)
        assert sum(tally.ended()) == sum(tally.buckets()) == tally.begun

    nothing_is_held(step)
    assert len(wheel) == 1


def test_steps_of_coroutines(loop: asyncio.AbstractEventLoop) -> None:
    async def ends(how: int) -> int:
        if how == 0:
            raise ValueError("no")
        if how == 1:
            await asyncio.sleep(0)
        return how

    def step(number: int) -> None:
        task, coroutine = object(), ends(number % 3)
        with suppress(ValueError):
            is_over, _ = crossing.step(loop, task, coroutine)
            assert is_over == (number % 3 == 2)
        coroutine.close()

    nothing_is_held(step)


def test_what_is_made_and_dropped(rig: Rig, loop: asyncio.AbstractEventLoop) -> None:
    context = copy_context()

    def step(number: int) -> None:
        how = (1, 1, 0, 4, loop, 0)
        desk = crossing.Desk(None, {}, (HandlerTask, print, loop, context, {}, CURRENT), (1, 2, 3))
        flow = crossing.Flow(rig.crossing, number, None, {}, crossing.Deadlines())
        flow.serve({}, Ticket(), 1 << 20, desk)
        rig.crossing.watch(number, {})
        line = crossing.Line(print, CURRENT)
        line.open(flow)
        crossing.Caller(line, how, print, print, None, None, False, False)
        crossing.Requester(how, CURRENT, rig, print)
        rig.crossing.forget(number)

    nothing_is_held(step)

"""What begins the usual calls of a client in one step, and leaves all others alone."""

import asyncio
import gc
import weakref
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest

from machnet_rpc._aio.belonging import loop_if_any
from machnet_rpc._clock import monotonic_ns
from machnet_rpc._native import crossing
from tests.machnet_rpc.test_crossing import FLOW, Rig
from tests.machnet_rpc.test_crossing import rig as rig  # a fixture

pytestmark = pytest.mark.skipif(crossing is None, reason="messages cross in Python here")

METHOD_ID = 2
LANE = 1
PRIORITY = 6
TIMEOUT_NS = 1_000_000_000
MESSAGE_BYTES_MAX = 2048


class Sending:
    """A Requester, and a keeper of a connection for its calls."""

    def __init__(self, rig: Rig) -> None:
        self.around: ContextVar[Any] = ContextVar("around", default=None)
        self.wheel = crossing.Deadlines()
        how = (METHOD_ID, TIMEOUT_NS, LANE, PRIORITY, asyncio.get_running_loop(), 0)
        self.connection = SimpleNamespace(is_usable=True)
        self.keeper = SimpleNamespace(connection=self.connection)
        self.requester = crossing.Requester(how, self.around, self.keeper, loop_if_any)
        flow = crossing.Flow(rig.crossing, FLOW, self.connection, rig.calls, self.wheel)
        flow.message_bytes_max = MESSAGE_BYTES_MAX
        self.connection.exchanger = flow

    def begin(self, payload: Any = b"payload") -> Any:
        return self.requester.begin(payload)


@pytest.fixture
async def sending(rig: Rig) -> Sending:
    return Sending(rig)


async def test_a_usual_call(rig: Rig, sending: Sending) -> None:
    before_ns = monotonic_ns()
    call = sending.begin()
    assert before_ns + TIMEOUT_NS <= call.deadline_ns <= monotonic_ns() + TIMEOUT_NS
    assert (call.connection, call.priority, call.sent) == (sending.connection, PRIORITY, True)
    assert rig.calls == {call.call_id: call}
    assert len(sending.wheel) == 1
    ((head, payload),) = rig.taken()
    assert payload == b"payload"
    assert head[:4] == (call.call_id, METHOD_ID, TIMEOUT_NS, FLOW)
    assert (head[9], head[10]) == (LANE, PRIORITY)


async def test_the_deadline_of_a_handler_bounds_its_calls(rig: Rig, sending: Sending) -> None:
    sooner_ns = monotonic_ns() + TIMEOUT_NS // 2
    sending.around.set(SimpleNamespace(deadline_ns=sooner_ns))
    assert sending.begin().deadline_ns == sooner_ns
    ((head, _),) = rig.taken()
    assert 0 < head[2] <= TIMEOUT_NS // 2
    sending.around.set(SimpleNamespace(deadline_ns=monotonic_ns() + 2 * TIMEOUT_NS))
    assert sending.begin().deadline_ns <= monotonic_ns() + TIMEOUT_NS


def late(_: Rig, sending: Sending) -> None:
    sending.around.set(SimpleNamespace(deadline_ns=monotonic_ns()))


def leaving(_: Rig, sending: Sending) -> None:
    sending.connection.is_usable = False


def unconnected(_: Rig, sending: Sending) -> None:
    sending.keeper.connection = None


def in_python(_: Rig, sending: Sending) -> None:
    sending.connection.exchanger = object()


def queued(rig: Rig, _: Sending) -> None:
    rig.crossing.is_blocked = True


def short(_: Rig, sending: Sending) -> None:
    sending.connection.exchanger.message_bytes_max = 6


@pytest.mark.parametrize("unusual", [late, leaving, unconnected, in_python, queued, short])
async def test_what_is_not_usual_is_left(rig: Rig, sending: Sending, unusual: Any) -> None:
    unusual(rig, sending)
    assert sending.begin() is None
    assert (rig.taken(), rig.calls, len(sending.wheel)) == ([], {}, 0)


async def test_in_another_thread_it_sends_nothing(rig: Rig, sending: Sending) -> None:
    assert await asyncio.to_thread(sending.begin) is None
    assert (rig.taken(), rig.calls) == ([], {})


async def test_in_another_loop_it_sends_nothing(rig: Rig, sending: Sending) -> None:
    async def begun() -> Any:
        return sending.begin()

    assert sending.begin() is not None
    rig.taken()
    assert await asyncio.to_thread(asyncio.run, begun()) is None
    assert rig.taken() == []


async def test_only_bytes_are_usual(rig: Rig, sending: Sending) -> None:
    for payload in (bytearray(b"x"), memoryview(b"x"), "text"):
        assert sending.begin(payload) is None
    assert rig.taken() == []


async def test_mistakes_are_said_and_change_nothing(rig: Rig, sending: Sending) -> None:
    for wrong in ((), (b"", 3)):
        with pytest.raises(TypeError, match="begin"):
            sending.requester.begin(*wrong)
    sending.keeper.connection = object()
    with pytest.raises(AttributeError, match="is_usable"):
        sending.begin()
    del sending.keeper.connection
    with pytest.raises(AttributeError, match="connection"):
        sending.begin()
    sending.keeper.connection = sending.connection
    sending.around.set(object())
    with pytest.raises(AttributeError, match="deadline_ns"):
        sending.begin()
    assert (rig.taken(), rig.calls) == ([], {})
    for arguments in ((), ((1, 2, 3), None), ((1, 2, 256, 4, None, "x"), None)):
        with pytest.raises((TypeError, OverflowError)):
            crossing.Requester(*arguments, None, loop_if_any)


def test_nothing_leaks() -> None:
    class Loop:
        pass

    loop = Loop()
    gone = weakref.ref(loop)
    requester = crossing.Requester(
        (METHOD_ID, 1, LANE, PRIORITY, loop, 0), ContextVar[Any]("around"), loop, loop_if_any
    )
    loop.requester = requester  # type: ignore[attr-defined]
    del loop, requester
    gc.collect()
    assert gone() is None


def test_loops_are_collected_with_what_they_lead_to() -> None:
    class Loop(asyncio.SelectorEventLoop):
        requester: Any

    class Keeper:
        connection = None

    def used() -> weakref.ref[Loop]:
        loop = Loop()
        how = (METHOD_ID, 1, LANE, PRIORITY, loop, 0)
        loop.requester = crossing.Requester(how, ContextVar[Any]("around"), Keeper(), loop_if_any)

        async def begin() -> None:
            assert loop.requester.begin(b"") is None

        loop.run_until_complete(begin())
        loop.close()
        return weakref.ref(loop)

    loops = [used() for _ in range(5)]
    gc.collect()
    assert sum(each() is not None for each in loops) <= 1  # the last that was asked about

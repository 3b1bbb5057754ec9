"""A call whose answer is looked for right where it was made: what is its answer, and what is not.

The far end answers within that look, as an engine that is polled there.
"""

import asyncio
import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from machnet_rpc._native import FUNCTIONS, crossing
from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.deadlines import Deadlines
from tests.machnet_rpc.test_crossing import FLOW, Rig
from transport_engine._native import ffi, lib
from transport_engine.errors import ChannelCorruptError

pytestmark = pytest.mark.skipif(crossing is None, reason="messages cross in Python here")

METHOD_ID = 1
PRIORITY = 6
SECOND_NS = 1_000_000_000
MESSAGE_BYTES_MAX = 1 << 20
LARGE = bytes(range(256)) * 400
TRIES_MAX = 100
NOWHERE = 1  # stands for an engine, of which only `poll` knows


class Exchanging(Rig):
    """A flow at one end; at the other what `answers` does once a request has come."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: Callable[[int], object] = self.reply_at_once
        self.wheel: Deadlines[Any] = Deadlines()
        self.connection = Connection(
            FLOW, "peer", self.outbox, self.wheel, MESSAGE_BYTES_MAX, post=self.crossing.post
        )
        self.calls = self.connection.awaited
        self.crossing = crossing.Crossing(
            self.near.lend(self.close_crossing), NOWHERE, self.outbox.post, self.rouse
        )
        self.crossing.watch(FLOW, self.calls)
        self.flow = crossing.Flow(self.crossing, FLOW, self.connection, self.calls, self.wheel)
        self.flow.message_bytes_max = MESSAGE_BYTES_MAX
        self.loop = asyncio.new_event_loop()
        self._poll = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(self._polled)
        self._addresses = [
            int(ffi.cast("uintptr_t", ffi.addressof(lib, name))) for name in FUNCTIONS
        ]
        poll = ctypes.cast(self._poll, ctypes.c_void_p).value
        crossing.bind(*self._addresses[:-1], poll, ChannelCorruptError)

    def _polled(self, _: int) -> int:
        for head, _payload in self.taken():
            if head[records.KIND] == records.REQUEST:
                self.answers(head[records.CALL_ID])
        return 0

    def reply_at_once(self, call_id: int) -> None:
        self.reply(call_id, b"answer")

    def exchange(self, payload: Any = b"payload", spin_ns: int = SECOND_NS) -> Any:
        """As soon as it may: whoever was idle looks first."""
        for _ in range(TRIES_MAX):
            given = self.exchange_once(payload, spin_ns)
            if given is not None:
                return given
        raise AssertionError("it was always idle, or may not")

    def exchange_once(self, payload: Any = b"payload", spin_ns: int = SECOND_NS) -> Any:
        how = (METHOD_ID, SECOND_NS, 0, PRIORITY, self.loop, spin_ns)
        return self.flow.exchange(payload, how)

    @property
    def is_refused(self) -> bool:
        """Whether nothing is sent, also by who has just looked."""
        return [self.exchange_once() for _ in range(3)] == [None] * 3

    def close(self) -> None:
        crossing.bind(*self._addresses, ChannelCorruptError)
        self.loop.close()
        super().close()


@pytest.fixture
def rig() -> Iterator[Exchanging]:
    rig = Exchanging()
    yield rig
    rig.close()


def test_an_answer_at_once(rig: Exchanging) -> None:
    assert [rig.exchange(), rig.exchange()] == [b"answer", b"answer"]
    assert (rig.calls, len(rig.wheel), rig.outbox.size_bytes) == ({}, 0, 0)
    assert rig.crossing.receive(0) is None


def test_without_a_look_it_is_left(rig: Exchanging) -> None:
    call = rig.exchange(spin_ns=0)
    assert isinstance(call, OutgoingCall)
    assert (call.sent, call.priority, call.method_id) == (True, PRIORITY, METHOD_ID)
    assert rig.calls == {call.call_id: call}
    assert rig.flow.wait(call, SECOND_NS) == b"answer"
    assert (rig.calls, len(rig.wheel)) == ({}, 0)


def refused(rig: Exchanging, call_id: int) -> None:
    rig.reply(call_id, b"no", flags=records.ERROR, status=3)


def with_metadata(rig: Exchanging, call_id: int) -> None:
    rig.reply(call_id, b"what Python takes off", flags=records.METADATA)


def of_another_call(rig: Exchanging, call_id: int) -> None:
    rig.reply(call_id + 1, b"nobody's")


def on_another_flow(rig: Exchanging, call_id: int) -> None:
    rig.far.send(records.pack(records.REPLY, FLOW + 1, call_id, b"of that flow's call"))


def of_another_kind(rig: Exchanging, call_id: int) -> None:
    rig.far.send(records.pack(records.CANCEL, FLOW, call_id))


NO_ANSWERS = [refused, with_metadata, of_another_call, on_another_flow, of_another_kind]


@pytest.mark.parametrize("answers", NO_ANSWERS)
def test_what_is_no_answer_is_left(rig: Exchanging, answers: Any) -> None:
    rig.answers = lambda call_id: answers(rig, call_id)
    call = rig.exchange()
    assert isinstance(call, OutgoingCall)
    assert (call.done(), rig.calls) == (False, {call.call_id: call})
    assert rig.flow.wait(call, SECOND_NS) is call  # it does not go past what came
    assert rig.is_refused  # nor does the next call
    assert len(rig.crossing.receive(0)) == 1
    rig.answers = rig.reply_at_once
    assert rig.exchange() == b"answer"


def test_an_answer_in_pieces(rig: Exchanging) -> None:
    rig.answers = lambda call_id: rig.reply(call_id, LARGE)
    call = rig.exchange()
    assert isinstance(call, OutgoingCall)
    assert rig.flow.wait(call, SECOND_NS) == LARGE


async def test_what_two_bursts_left_is_given_in_order(rig: Exchanging) -> None:
    """A callback that waits for a call of its own, and then fails, before its burst is through."""
    rig.answers = lambda call_id: None
    other = rig.exchange(spin_ns=0)

    def waits_and_fails(_: object) -> None:
        rig.far.send(records.pack(records.REQUEST, FLOW, 10, b"with its answer"))
        rig.reply(other.call_id, b"answer")
        assert rig.flow.wait(other, SECOND_NS) == b"answer"
        raise SystemExit(3)

    rig.call(1 << 40).add_done_callback(waits_and_fails)  # type: ignore[attr-defined]
    rig.reply(1 << 40, b"")
    rig.far.send(records.pack(records.REQUEST, FLOW, 9, b"behind it"))
    with pytest.raises(SystemExit):
        rig.crossing.receive(0)
    left = rig.crossing.receive(0)
    assert [payload for _, payload in left] == [b"behind it", b"with its answer"]


def test_a_large_request(rig: Exchanging) -> None:
    call = rig.exchange(memoryview(LARGE))
    assert isinstance(call, OutgoingCall)
    assert (call.sent, call.priority) == (True, PRIORITY)
    assert rig.flow.wait(call, SECOND_NS) == b"answer"


def test_what_waits_goes_first(rig: Exchanging) -> None:
    rig.crossing.is_blocked = True
    assert rig.is_refused
    rig.crossing.is_blocked = False
    rig.flow.message_bytes_max = 6
    assert rig.is_refused
    assert rig.exchange(b"payloa") == b"answer"


def test_whoever_waits_has_turns_taken(rig: Exchanging) -> None:
    rig.answers = int
    call = rig.exchange()
    assert rig.flow.wait(call, 1) is call
    assert rig.roused == 1
    rig.crossing.is_watched = True
    assert rig.flow.wait(call, 1) is call
    assert rig.roused == 1


def test_who_cannot_wait_gives_up(rig: Exchanging) -> None:
    def fails() -> None:
        raise KeyError("on purpose")

    rig.answers = int
    rig.crossing = crossing.Crossing(
        rig.near.lend(rig.close_crossing), NOWHERE, rig.outbox.post, fails
    )
    rig.flow = crossing.Flow(rig.crossing, FLOW, rig.connection, rig.calls, rig.wheel)
    rig.flow.message_bytes_max = MESSAGE_BYTES_MAX
    call = rig.exchange()
    with pytest.raises(KeyError, match="on purpose"):
        rig.flow.wait(call, SECOND_NS)
    assert (rig.calls, len(rig.wheel), call.gone) == ({}, 0, True)


def test_a_wait_ends_at_the_deadline(rig: Exchanging) -> None:
    rig.answers = int
    call = rig.exchange()
    call.deadline_ns = 1
    assert rig.flow.wait(call, 1 << 61) is call


def test_a_call_whose_time_is_over_says_so(rig: Exchanging) -> None:
    """Nothing left would be no deadline to the server."""
    for deadline_ns in (4_000, 3_999, 0):
        rig.flow.request(b"payload", METHOD_ID, deadline_ns, 4_000, 0, None, 0, rig.loop)
        ((head, _),) = rig.taken()
        assert head[records.REMAINING] == 1


def test_a_wait_ends_where_the_channel_is_corrupt(rig: Exchanging) -> None:
    def breaks(call_id: int) -> None:
        record = records.pack(records.REPLY, FLOW, call_id, b"answer")
        rig.far.send(record)
        rig.memory[rig.memory.find(record) + 40] = 0xFF  # its kind

    rig.answers = breaks
    call = rig.exchange()
    assert rig.flow.wait(call, SECOND_NS) is call
    with pytest.raises(ChannelCorruptError):
        rig.crossing.receive(0)


def test_what_came_before_the_channel_was_corrupt_is_given_first(rig: Exchanging) -> None:
    def breaks(call_id: int) -> None:
        refused(rig, call_id)
        record = records.pack(records.CREDIT, FLOW, 99, b"garbage")
        rig.far.send(record)
        rig.memory[rig.memory.find(record) + 40] = 0xFF  # its kind

    rig.answers = breaks
    call = rig.exchange()
    assert rig.flow.wait(call, SECOND_NS) is call
    received = rig.crossing.receive(0)
    assert received is not None
    assert [head[records.CALL_ID] for head, _ in received] == [call.call_id]
    with pytest.raises(ChannelCorruptError):
        rig.crossing.receive(0)

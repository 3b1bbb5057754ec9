"""Calls past Python are what they would be in it: answered at once, late, otherwise, or not at all.

The far end is a process of its own: while it is looked for at once, nothing else runs in this one.
"""

import asyncio
import gc
import os
import signal
import sys
import time
from asyncio import events
from collections.abc import Iterator
from typing import Any

import pytest

from machnet_rpc._native import crossing
from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.deadlines import Deadlines
from machnet_rpc.context import CURRENT
from tests.machnet_rpc.test_crossing import FLOW, Rig

pytestmark = pytest.mark.skipif(crossing is None, reason="messages cross in Python here")

SECONDS_MAX = 120.0  # of a peer that nobody ends
TRIES_MAX = 100
MESSAGE_BYTES_MAX = 1 << 20
LARGE = bytes(range(256)) * 400


def peer(rig: Rig) -> None:
    """Answers each request as it asks to be."""
    ends = time.monotonic() + SECONDS_MAX
    while time.monotonic() < ends:
        for head, payload in rig.taken():
            call_id = head[records.CALL_ID]
            if payload == b"late":
                time.sleep(0.002)
            if payload == b"after another":
                rig.reply(call_id + 100, b"nobody's")
            if payload == b"never":
                continue
            flags = {"flags": records.ERROR, "status": 5} if payload == b"error" else {}
            rig.reply(call_id, LARGE if payload == b"large" else payload, **flags)
        rig.far.ring()


class Called(Rig):
    """A Caller at one end, and `peer` at the other."""

    def __init__(self) -> None:
        super().__init__()
        self.wheel: Deadlines[Any] = Deadlines()
        post = self.crossing.post
        self.connection = Connection(
            FLOW, "peer", self.outbox, self.wheel, MESSAGE_BYTES_MAX, post=post
        )
        self.calls = self.connection.awaited
        self.crossing.watch(FLOW, self.calls)
        self.flow = crossing.Flow(self.crossing, FLOW, self.connection, self.calls, self.wheel)
        self.flow.message_bytes_max = MESSAGE_BYTES_MAX
        self.line = crossing.Line(events._get_running_loop, CURRENT)
        self.loop = asyncio.new_event_loop()
        self.finished = 0
        self.unusual: list[Any] = []
        self.child = os.fork()
        if self.child == 0:
            try:
                peer(self)
            finally:
                os._exit(0)

    def finish(self, call: OutgoingCall, spin_ns: int) -> bytes | OutgoingCall:
        """Waits on where others are busy, and nobody spins; a blocking client sleeps then."""
        self.finished += 1
        ends_ns, calm = time.monotonic_ns() + spin_ns, 0
        while True:
            answer: bytes | OutgoingCall = self.flow.wait(call, spin_ns)
            # Once, and others may just have been busy; twice, and something else came first.
            calm = 0 if crossing.is_contended() else calm + 1
            is_late = calm > 1 or time.monotonic_ns() >= ends_ns
            if is_late or type(answer) is bytes or call.done():
                return answer
            if calm == 0:
                time.sleep(0.001)

    def give_up(self, call: OutgoingCall) -> None:
        self.connection.cancel(call)

    def given(self, payload: bytes, answer: object) -> object:
        self.unusual.append(answer)
        return answer

    def method(self, *args: object, **kwargs: object) -> object:
        return "by Python", args, kwargs

    def caller(self, timeout_s: float = 10.0, *, takes: bool = True, gives: bool = True) -> Any:
        how = (1, int(timeout_s * 1e9), 0, 4, self.loop, 5_000_000_000)
        rest = (self.method, self.given, takes, gives)
        return crossing.Caller(self.line, how, self.finish, self.give_up, *rest)

    def open(self) -> None:
        """As whoever enters a client does, who looks first."""
        self.flow.message_bytes_max = 0  # so that nothing is sent
        assert self.flow.exchange(b"look", (1, 1, 0, 4, self.loop, 0)) is None
        self.flow.message_bytes_max = MESSAGE_BYTES_MAX
        self.line.open(self.flow)

    def made(self, call: Any, payload: bytes) -> Any:
        """Calls as soon as it may, which is not where this process had to wait meanwhile."""
        for _ in range(TRIES_MAX):
            self.open()
            answer = call(payload)
            if answer is not None:
                return answer
            assert self.unusual.pop() is None
        raise AssertionError("there was always something first")

    def close(self) -> None:
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        self.loop.close()
        super().close()


@pytest.fixture
def called() -> Iterator[Called]:
    called = Called()
    yield called
    called.close()


def test_answers_come_at_once_and_later(called: Called) -> None:
    call = called.caller()
    for number in range(200):
        payload = bytes([number % 251]) * (number * 10)
        assert called.made(call, payload) == payload
    assert called.made(call, b"late") == b"late"
    assert called.calls == {}
    assert len(called.wheel) == 0
    assert called.unusual == []


def test_what_is_not_usual_is_for_python(called: Called) -> None:
    call = called.caller()
    assert called.made(call, b"large") == LARGE
    error = called.made(call, b"error")
    assert isinstance(error, OutgoingCall)
    assert not error.done()  # its record is left for the pump
    assert called.unusual == [error]
    assert [payload for _, payload in called.crossing.receive(0)] == [b"error"]
    other = called.made(call, b"after another")
    taken = called.crossing.receive(0)
    assert taken is not None
    assert [payload for _, payload in taken] == [b"nobody's"]
    assert other == b"after another" or called.unusual[-1] is other


def test_a_deadline_passes(called: Called) -> None:
    before = time.monotonic()
    late = called.made(called.caller(timeout_s=0.05), b"never")
    assert isinstance(late, OutgoingCall)
    assert 0.05 <= time.monotonic() - before < 2
    assert called.wheel.expire(late.deadline_ns + 2_000_000) == [late]
    assert (late.executed, late.stage) == ("maybe", "sent")


def test_who_may_not_call_past_the_loop(called: Called) -> None:
    call = called.caller()
    assert call(b"closed") is None
    time.sleep(0.02)
    called.line.open(called.flow)
    assert call(b"was idle") is None
    called.open()
    token = CURRENT.set(called)  # type: ignore[arg-type]
    assert call(b"in a handler") is None
    CURRENT.reset(token)

    async def main() -> None:
        assert call(b"in a loop") is None

    asyncio.run(main())
    called.line.close()
    assert call(b"closed again") is None
    assert called.unusual == [None] * 5
    assert called.calls == {}


def test_other_arguments_are_for_python(called: Called) -> None:
    called.open()
    call = called.caller()
    assert call(b"a", b"b") == ("by Python", (b"a", b"b"), {})
    assert call(data=b"a") == ("by Python", (), {"data": b"a"})
    assert call() == ("by Python", (), {})
    assert call(bytearray(b"a")) == ("by Python", (bytearray(b"a"),), {})
    assert call(*[b"x"] * 3, key=1) == ("by Python", (b"x", b"x", b"x"), {"key": 1})
    assert called.caller(takes=False)(b"a") == ("by Python", (b"a",), {})
    decoded = called.made(called.caller(gives=False), b"decode me")
    assert decoded == b"decode me"
    assert called.unusual == [b"decode me"]
    assert call.__name__ == "method"  # what it has not is the method's
    assert repr(call) == repr(called.method)
    with pytest.raises(AttributeError):
        _ = call.nothing


def test_who_fails_to_wait_gives_the_call_up(called: Called) -> None:
    def fails(call: OutgoingCall, spin_ns: int) -> bytes:
        raise KeyboardInterrupt

    how = (1, 10**9, 0, 4, called.loop, 1000)
    caller = crossing.Caller(called.line, how, fails, called.give_up, None, None, False, False)
    called.unusual = [None] * TRIES_MAX  # what it only exchanges is not told here
    with pytest.raises(KeyboardInterrupt):
        called.made(caller.exchange, b"never")
    assert called.calls == {}
    assert len(called.wheel) == 0
    with pytest.raises(TypeError, match="only exchanges"):
        caller(b"")


def test_a_collection_between_calls_and_within(called: Called) -> None:
    """What runs then may call itself: nothing of a call may stand half done."""
    call = called.caller()

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            called.line.close()
            called.crossing.receive(0)
            called.line.open(called.flow)

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(300):
            Cycle()
            called.open()
            payload = number.to_bytes(2, "big")
            answer = call(payload)
            while answer is None and sys.version_info >= (3, 12):
                # Collected in the midst of a step of Python's: the line was closed, nothing sent.
                called.open()
                answer = call(payload)
            assert answer == payload
    finally:
        gc.set_threshold(*threshold)
    assert set(called.unusual) <= ({None} if sys.version_info >= (3, 12) else set())


def test_what_another_thread_took_is_not_made_anew(called: Called) -> None:
    """Memory is taken before it is looked who is inside: a collection could let others in."""
    under_way: list[object] = []

    def running_loop() -> None:
        if not under_way:  # here another thread has its turn, and its call takes long
            under_way.append(None)
            under_way.append(other.exchange(b"never"))

    def at_once(call: OutgoingCall, spin_ns: int) -> OutgoingCall:
        return call

    called.line = crossing.Line(running_loop, CURRENT)
    how = (1, 10**10, 0, 4, called.loop, 0)
    rest = (at_once, called.give_up, None, None, False, False)
    caller, other = (crossing.Caller(called.line, how, *rest) for _ in range(2))
    for _ in range(TRIES_MAX):  # as `made`, where this process had to wait meanwhile
        under_way.clear()
        called.open()
        assert caller.exchange(b"not sent") is None
        if under_way[1:] != [None]:
            break
    assert list(called.calls.values()) == under_way[1:] != [None]


def test_what_cannot_be_made() -> None:
    line = crossing.Line(print, CURRENT)
    good = (1, 1, 0, 0, None, 0)
    wrong = (("a", 1, 0, 0, None, 0), (1, 1, 256, 0, None, 0), (1, 1, 0, 8, None, 0))
    for how in ((), None, (1, 2, 3), *wrong):
        with pytest.raises((TypeError, OverflowError)):
            crossing.Caller(line, how, print, print, None, None, False, False)
    with pytest.raises(TypeError):
        crossing.Caller(None, good, print, print, None, None, False, False)
    with pytest.raises(TypeError):
        line.open(None)
    with pytest.raises(TypeError):
        crossing.Line()

"""What crosses in C is what would cross in Python: any size, full rings, whatever a peer does."""

import asyncio
import gc
import mmap
import os
import random
import weakref
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest

from machnet_rpc._native import crossing
from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.outbox import Outbox, Ticket
from machnet_rpc._protocol.records import Joiner
from transport_engine.channel import Channel, PairMaker
from transport_engine.errors import ChannelCorruptError

pytestmark = pytest.mark.skipif(crossing is None, reason="messages cross in Python here")

FLOW = 7
FOREVER_NS = (1 << 63) - 1
RING_BYTES = 1 << 17
SIZES = [0, 1, 7, 8, 1024, 65535, 65536, 65537, 131072, 200_001]


class Rig:
    """A Crossing at one end of a pair of rings, and a plain channel at the other."""

    def __init__(self) -> None:
        maker = PairMaker(RING_BYTES)
        ends: list[Channel] = []
        for accepts in (False, True):
            memory_fd, doorbell_fd = maker.descriptors(accepts=accepts)
            ends.append(Channel(os.dup(memory_fd), os.dup(doorbell_fd), accepts=accepts))
        memory_fd, _ = maker.descriptors(accepts=False)
        self.memory = mmap.mmap(memory_fd, 0)  # as a hostile peer has it
        maker.close()
        self.near, self.far = ends
        self.roused = 0
        self.outbox = Outbox()
        self.joiner = Joiner()
        self.calls: dict[int, OutgoingCall] = {}
        self.crossing = crossing.Crossing(
            self.near.lend(self.close_crossing), 0, self.outbox.post, self.rouse
        )
        self.crossing.watch(FLOW, self.calls)

    def rouse(self) -> None:
        self.roused += 1

    def close_crossing(self) -> None:
        self.crossing.close()

    def close(self) -> None:
        self.near.close()
        self.far.close()
        self.memory.close()

    def post(self, ticket: object, payload: Any, call_id: int = 1) -> None:
        self.crossing.post(ticket, payload, records.REQUEST, FLOW, call_id, 2, 3, 0, 4, 5, 6)

    def flush(self) -> None:
        """What a port does in a turn for what is queued."""
        while burst := self.outbox.burst():
            taken = self.near.send(burst)
            if taken == 0:
                break
            self.outbox.took(taken)
        self.crossing.is_blocked = bool(self.outbox)

    def flush_in_c(self) -> None:
        """The same, as a port does it."""
        self.outbox.drain(self.crossing.put)
        self.crossing.is_blocked = bool(self.outbox)

    def taken(self) -> list[tuple[tuple[int, ...], bytes]]:
        """Whole messages, as the far end gets them."""
        joined = [(head, self.joiner.join(head, part)) for head, part in self.far.receive()]
        return [(head, whole) for head, whole in joined if whole is not None]

    def reply(self, call_id: int, payload: bytes, **fields: int) -> None:
        for record in records.pieces(records.REPLY, FLOW, call_id, payload, **fields):
            assert self.far.send(record) == len(record)

    def call(self, call_id: int) -> OutgoingCall:
        call = OutgoingCall(2, FOREVER_NS, asyncio.get_running_loop())
        call.call_id = call_id
        self.calls[call_id] = call
        return call


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_out(rig: Rig, size: int, kind: Any) -> None:
    payload, ticket = random.Random(size).randbytes(size), Ticket()
    rig.post(ticket, kind(payload))
    got: list[tuple[tuple[int, ...], bytes]] = []
    for _ in range(10):
        got += rig.taken()
        rig.flush()
    ((head, whole),) = got
    assert whole == payload
    assert (head[:2], head[3], head[6:8], head[9:12]) == (
        (1, 2), FLOW, (size, records.REQUEST), (4, 6, 5),
    )  # fmt: skip
    assert not rig.outbox


@pytest.mark.parametrize("size", SIZES)
def test_in(rig: Rig, size: int) -> None:
    payload = random.Random(size).randbytes(size)
    arrived: list[tuple[tuple[int, ...], bytes]] = []
    for record in records.pieces(records.REQUEST, FLOW, 9, payload, method_id=2, lane=3):
        while rig.far.send(record) == 0:
            arrived += rig.crossing.receive(0)
    while (more := rig.crossing.receive(0)) is not None:
        arrived += more
    ((head, whole),) = arrived
    assert whole == payload
    assert head == (*head[:4], *head[4:6], size, records.REQUEST, head[8], 3, 0, 0, 0, 0)
    assert head[:2] == (9, 2)


def test_tickets_say_what_has_left(rig: Rig) -> None:
    whole, cut, behind = (OutgoingCall(2, FOREVER_NS, None) for _ in range(3))
    rig.post(whole, bytes(1024))
    assert (whole.sent, whole.started, whole.executed, whole.stage) == (
        True,
        False,
        "maybe",
        "sent",
    )
    rig.post(cut, bytes(150_000))
    assert (cut.sent, cut.started, cut.executed, cut.stage) == (False, True, "maybe", "local ring")
    rig.post(behind, b"must not overtake")
    assert (behind.sent, behind.started, behind.executed) == (False, False, "no")
    sizes: list[int] = []
    for _ in range(10):
        sizes += [len(payload) for _, payload in rig.taken()]
        rig.flush()
    assert sizes == [1024, 150_000, 17]
    assert cut.sent
    assert behind.sent
    assert not rig.crossing.is_blocked


@pytest.mark.parametrize("size", SIZES)
async def test_a_reply_resumes_its_awaiter_at_once(rig: Rig, size: int) -> None:
    payload, call = random.Random(size).randbytes(size), rig.call(5)

    async def awaits() -> Any:
        return await call

    task = asyncio.ensure_future(awaits())
    await asyncio.sleep(0)
    for record in records.pieces(records.REPLY, FLOW, 5, payload):
        while rig.far.send(record) == 0:
            rig.crossing.receive(0)
    await from_the_loop(rig)
    assert task.done(), "it took another trip through the loop"
    assert task.result() == payload
    assert (call.gone, rig.calls) == (True, {})


async def from_the_loop(rig: Rig) -> None:
    """Receives all there is where no task is current, as a pump's turn does."""
    done = asyncio.get_running_loop().create_future()

    def turn() -> None:
        while rig.crossing.receive(0) is not None:
            pass
        done.set_result(None)

    asyncio.get_running_loop().call_soon(turn)
    await done


async def test_what_is_no_answer_comes_back(rig: Rig) -> None:
    rig.call(1)
    rig.reply(1, b"an error", flags=records.ERROR, status=3)
    rig.reply(2, b"to a call that is gone")
    rig.far.send(records.pack(records.REPLY, FLOW + 1, 1, b"on no flow of ours"))
    rig.far.send(records.pack(records.CANCEL, FLOW, 1))
    others = rig.crossing.receive(0)
    assert [payload for _, payload in others] == [
        b"an error", b"to a call that is gone", b"on no flow of ours", b"",
    ]  # fmt: skip
    assert list(rig.calls) == [1]
    rig.crossing.forget(FLOW)
    rig.reply(1, b"after its flow ended")
    assert len(rig.crossing.receive(0)) == 1


async def test_an_awaiter_that_ends_the_process_loses_nobody(rig: Rig) -> None:
    loop, ends, lives = asyncio.get_running_loop(), rig.call(1), rig.call(2)
    resumed: list[int] = []

    def exits(_: object) -> None:
        raise SystemExit(3)

    ends.add_done_callback(exits)  # type: ignore[attr-defined]
    lives.add_done_callback(lambda call: resumed.append(call.call_id))  # type: ignore[attr-defined]
    rig.reply(1, b"")
    rig.far.send(records.pack(records.REQUEST, FLOW, 9, b"behind it"))
    rig.reply(2, b"")
    with pytest.raises(SystemExit):
        rig.crossing.receive(0)
    await asyncio.sleep(0)
    assert resumed == [2]
    ((_, payload),) = rig.crossing.receive(0)
    assert payload == b"behind it"
    assert loop.is_running()


async def test_an_awaiter_whose_context_is_in_use_is_resumed_by_the_loop(rig: Rig) -> None:
    context, resumed = copy_context(), asyncio.get_running_loop().create_future()
    rig.call(1).add_done_callback(resumed.set_result, context=context)  # type: ignore[attr-defined]
    rig.reply(1, b"answer")
    assert context.run(rig.crossing.receive, 0) == []
    ended = await asyncio.wait_for(resumed, 10)
    assert ended.result() == b"answer"


async def test_an_awaiter_may_close_everything(rig: Rig) -> None:
    first, second = rig.call(1), rig.call(2)
    order: list[str] = []

    def closes(_: object) -> None:
        order.append("closed")
        rig.close()

    first.add_done_callback(closes)  # type: ignore[attr-defined]
    second.add_done_callback(lambda _: order.append("told"))  # type: ignore[attr-defined]
    rig.reply(1, b"")
    rig.reply(2, b"")
    assert rig.crossing.receive(0) == []
    assert order == ["closed", "told"]
    assert rig.crossing.receive(0) is None
    rig.post(Ticket(), b"goes to the queue")
    assert rig.outbox
    assert not crossing.spin([rig.crossing], 0)


async def test_a_call_is_awaited_like_a_future(rig: Rig) -> None:
    call = rig.call(1)
    task = asyncio.ensure_future(asyncio.wait_for(call, 5))
    await asyncio.sleep(0)
    task.cancel("why")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert call.cancelled()  # type: ignore[attr-defined]
    call.complete(b"too late")
    with pytest.raises(asyncio.CancelledError):
        await call
    ended = rig.call(2)
    ended.complete(b"early")
    assert await ended == b"early"
    with pytest.raises(RuntimeError):
        rig.call(3).result()


def test_spinning_ends(rig: Rig) -> None:
    assert not crossing.spin([rig.crossing], 200_000)
    rig.far.send(records.pack(records.REQUEST, FLOW, 1))
    assert crossing.spin([rig.crossing], 60_000_000_000)
    assert crossing.spin([rig.crossing] * 17, 0) is False
    for wrong in ([None], None, [rig.crossing, 1]):
        with pytest.raises(TypeError):
            crossing.spin(wrong, 1)


def test_a_peer_that_breaks_the_rules(rig: Rig) -> None:
    rig.far.send(records.pack(records.REQUEST, FLOW, 1, b"good"))
    bad = records.pack(records.REQUEST, FLOW, 2, b"bad")
    rig.far.send(bad)
    rig.memory[rig.memory.find(bad) + 40] = 0xFF  # its kind
    ((_, payload),) = rig.crossing.receive(0)
    assert payload == b"good"
    for _ in range(2):
        with pytest.raises(ChannelCorruptError):
            rig.crossing.receive(0)
    rig.post(Ticket(), b"into a corrupt channel")
    assert rig.outbox


@pytest.mark.parametrize("seed", range(20))
async def test_a_peer_that_writes_anything(rig: Rig, seed: int) -> None:
    """Any bytes give messages or ChannelCorruptError, and every call keeps its state."""
    pick = random.Random(seed)
    for _ in range(300):
        call_id = pick.randrange(4)
        if call_id not in rig.calls:
            rig.call(call_id)
        payload = pick.randbytes(pick.choice([0, 3, 100, 70_000]))
        kind, flow = pick.choice([records.REPLY, records.REQUEST]), FLOW + pick.randrange(2)
        for record in records.pieces(kind, flow, call_id, payload):
            rig.far.send(record)
            at = rig.memory.find(record[:48])
            if at >= 0 and pick.random() < 0.2:
                rig.memory[at + pick.randrange(48)] = pick.randrange(256)
        try:
            others = rig.crossing.receive(0)
            rig.post(Ticket(), payload)
        except ChannelCorruptError:
            return
        for head, whole in others or []:
            assert head[6] == len(whole)
    raise AssertionError("nothing of it was noticed")


@pytest.mark.parametrize(
    "wrong",
    [
        (), (1,), (Ticket(), b"", 1, 2, 3, 4, 5, 6, 7, 8),
        (Ticket(), "text", 1, 2, 3, 4, 5, 6, 7, 8, 0), (Ticket(), b"", 256, 2, 3, 4, 5, 6, 7, 8, 0),
        (Ticket(), b"", 1, -1, 3, 4, 5, 6, 7, 8, 0),
        (Ticket(), b"", 1, 2, 1 << 64, 4, 5, 6, 7, 8, 0),
        (Ticket(), b"", None, 2, 3, 4, 5, 6, 7, 8, 0), (Ticket(), b"", 1, 2, 3, 4, 5, 6, 7, 8, 9),
    ],
)  # fmt: skip
def test_wrong_arguments_are_said_and_change_nothing(rig: Rig, wrong: tuple[Any, ...]) -> None:
    with pytest.raises((TypeError, OverflowError)):
        rig.crossing.post(*wrong)
    assert rig.taken() == []
    assert not rig.outbox


def test_what_cannot_be_made() -> None:
    for wrong in ((), (0, 0, None, None), ("x", 0, None, None)):
        with pytest.raises((TypeError, ValueError)):
            crossing.Crossing(*wrong)
    for wrong_call in ((), (1, 2), (-1, 2, None), (1, "x", None)):
        with pytest.raises((TypeError, OverflowError, ValueError)):
            crossing.OutgoingCall(*wrong_call)
    wheel = crossing.Deadlines()
    call = OutgoingCall(1, 5, None)
    wheel.add(call)
    for item in (call, object()):
        with pytest.raises((TypeError, ValueError)):
            wheel.add(item)
    assert len(wheel) == 1


def test_nothing_leaks() -> None:
    class Witness:
        pass

    witness = Witness()
    gone = weakref.ref(witness)
    rig, wheel, call = Rig(), crossing.Deadlines(), OutgoingCall(1, 5, None)
    call.connection = (witness, call, wheel, rig)
    wheel.add(call)
    rig.calls[1] = call
    rig.close()
    del witness, rig, wheel, call
    gc.collect()
    assert gone() is None


async def test_requests_in_one_step(rig: Rig) -> None:
    wheel = crossing.Deadlines()
    flow = crossing.Flow(rig.crossing, FLOW, "the connection", rig.calls, wheel)
    loop = asyncio.get_running_loop()
    call = flow.request(b"payload", 2, 10_000, 4_000, 3, 7, records.METADATA, loop)
    late = flow.request(bytes(150_000), 2, 10_000, 20_000, 0, None, 0, loop)
    assert (call.connection, call.sent, late.started) == ("the connection", True, True)
    assert rig.calls == {call.call_id: call, late.call_id: late}
    assert len(wheel) == 2
    ((head, payload),) = rig.taken()[:1]
    assert payload == b"payload"
    assert head[:4] == (call.call_id, 2, 6_000, FLOW)
    assert (head[7], head[9], head[10]) == (records.REQUEST, 3, 7)
    assert head[records.FLAGS] == records.METADATA | records.FIRST | records.LAST
    assert (call.priority, late.priority) == (7, records.USUAL_PRIORITY)
    for wrong in (
        (),
        ("text", 2, 3, 4, 5, 0, 0, loop),
        (b"", -1, 3, 4, 5, 0, 0, loop),
        (b"", 1, 3, 4, 256, 0, 0, loop),
        (b"", 1, 3, 4, 0, 8, 0, loop),
        (b"", 1, 3, 4, 0, 0, 256, loop),
    ):
        with pytest.raises((TypeError, OverflowError)):
            flow.request(*wrong)
    with pytest.raises(TypeError):
        crossing.Flow(rig.crossing, FLOW, None, [], wheel)

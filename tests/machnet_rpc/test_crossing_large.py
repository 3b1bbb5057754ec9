"""Large messages cross while the other end keeps up, and into memory that is lent."""

import random
import threading
import time
from typing import Any

import pytest

from machnet_rpc._native import crossing
from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.outbox import Ticket
from tests.machnet_rpc.test_crossing import FLOW, FOREVER_NS, Rig, rig

pytestmark = pytest.mark.skipif(crossing is None, reason="messages cross in Python here")
__all__ = ["rig"]


@pytest.mark.parametrize("size", [65_537, 400_001, 3 << 20])
def test_large_ones_while_the_far_end_takes_them(rig: Rig, size: int) -> None:
    """Without a turn in between, if this machine lets both run; with some, if not."""
    payload, ticket = random.Random(size).randbytes(size), OutgoingCall(2, FOREVER_NS, None)
    got: list[tuple[tuple[int, ...], bytes]] = []

    def take() -> None:
        ends = time.monotonic() + 10
        while not got and time.monotonic() < ends:
            got.extend(rig.taken())

    taker = threading.Thread(target=take)
    taker.start()
    rig.post(ticket, memoryview(payload))
    while rig.outbox and taker.is_alive():
        rig.flush_in_c()
    taker.join()
    assert [whole for _, whole in got] == [payload]
    assert (ticket.sent, ticket.started) == (True, False)
    assert not rig.crossing.is_blocked


def test_a_far_end_that_stalls_is_not_waited_for(rig: Rig) -> None:
    ticket = OutgoingCall(2, FOREVER_NS, None)
    begun = time.thread_time()
    rig.post(ticket, bytes(8 << 20))
    for _ in range(20):
        rig.flush_in_c()
    assert time.thread_time() - begun < 0.5
    assert (ticket.sent, ticket.started) == (False, True)
    begun = time.thread_time()
    for record in list(records.pieces(records.REQUEST, FLOW, 9, bytes(200_000)))[:1]:
        rig.far.send(record)
    for _ in range(20):
        assert not rig.crossing.receive(0)
    assert time.thread_time() - begun < 0.5


@pytest.mark.parametrize("size", [65_537, 131_072, 400_001])
@pytest.mark.parametrize("lent", [None, set(), {2}, {2, 3}])
def test_what_is_lent(rig: Rig, size: int, lent: set[int] | None) -> None:
    rig.crossing.lent = lent
    payload = random.Random(size).randbytes(size)
    arrived: list[tuple[tuple[int, ...], Any]] = []
    for record in records.pieces(records.REQUEST, FLOW, 9, payload, method_id=2):
        while rig.far.send(record) == 0:
            arrived += rig.crossing.receive(0)
    while (more := rig.crossing.receive(0)) is not None:
        arrived += more
    ((_, whole),) = arrived
    assert type(whole) is (crossing.Received if lent else bytes)
    view = memoryview(whole)
    assert (len(whole), view.readonly, view.nbytes) == (size, True, size)
    assert view == payload


def test_memory_that_waits_to_be_used_again_is_bounded(rig: Rig) -> None:
    rig.crossing.lent = {2}
    wholes: list[Any] = []
    for _ in range(12):
        for record in records.pieces(records.REQUEST, FLOW, 9, bytes(70_000), method_id=2):
            rig.far.send(record)
        wholes += [whole for _, whole in rig.crossing.receive(0)]
    assert len(wholes) == 12
    wholes.clear()
    count, size_bytes = crossing.pool()
    assert 1 <= count <= 8
    assert size_bytes <= 32 << 20


def test_received_memory_is_made_by_the_crossing_alone() -> None:
    with pytest.raises(TypeError):
        crossing.Received()


def test_put_of_what_is_wrong(rig: Rig) -> None:
    right = (FLOW, 3, 4, 5, 0, 7, 8, 6)
    for wrong in (
        (),
        (Ticket(), b"x", 1, *right),
        (Ticket(), "x", 1, *right, 0),
        (Ticket(), b"x", 1, *right, 2),
        (Ticket(), b"x", 99, *right, 0),
        (Ticket(), b"x", 1, *right, -1),
    ):
        with pytest.raises((TypeError, ValueError, OverflowError)):
            rig.crossing.put(*wrong)
    assert rig.taken() == []
    whole = (Ticket(), b"x", records.REQUEST, FLOW, 3, 4, 5, 0, 7, 8, 6, 0)
    assert rig.crossing.put(*whole) == 2
    rig.crossing.close()
    assert rig.crossing.put(*whole) == 0


def test_what_waits_for_room_is_not_overtaken(rig: Rig) -> None:
    sizes = [60_000, 60_000, 60_000, 1, 60_000, 1]  # the third has no room, the fourth would have
    for size in sizes:
        rig.post(Ticket(), bytes(size))
    assert rig.crossing.is_blocked
    got = rig.taken()
    while rig.outbox:
        rig.flush_in_c()
        got += rig.taken()
    assert [len(whole) for _, whole in got] == sizes

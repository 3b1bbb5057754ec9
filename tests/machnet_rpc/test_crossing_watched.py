"""Who takes turns for a channel is not woken, and who does not is."""

import select
import time
from functools import partial

import pytest

from machnet_rpc._native import crossing
from machnet_rpc._protocol.outbox import Ticket
from tests.machnet_rpc.test_crossing import RING_BYTES, Rig, rig
from tests.machnet_rpc.test_desk import SECOND_NS, Served, in_turn
from transport_engine.channel import READABLE

pytestmark = pytest.mark.skipif(crossing is None, reason="messages cross in Python here")
__all__ = ["rig"]


def test_whoever_sends_while_nobody_looks_rouses(rig: Rig) -> None:
    rig.post(Ticket(), b"")
    assert rig.roused == 1
    rig.crossing.is_watched = True
    rig.post(Ticket(), b"")
    assert rig.roused == 1


def woken(rig: Rig) -> bool:
    return bool(select.select([rig.near], [], [], 0)[0])


def test_whoever_answers_at_once_need_not_ring_back() -> None:
    class Answering(Rig):
        def rouse(self) -> None:
            self.reply(1, b"")
            self.far.ring()

    rig = Answering()
    assert rig.near.arm(READABLE) == 0
    rig.post(Ticket(), b"")
    assert not woken(rig)
    rig.close()


@pytest.mark.parametrize("failures", [1, 2])
@pytest.mark.parametrize("size", [1, 2 * RING_BYTES])
def test_whatever_is_raised_turns_are_taken(failures: int, size: int) -> None:
    """For whoever answers was told not to ring."""

    class Interrupted(Rig):
        def rouse(self) -> None:
            super().rouse()
            if self.roused <= failures:
                raise KeyboardInterrupt(self.roused)

    rig = Interrupted()
    with pytest.raises(KeyboardInterrupt) as raised:
        rig.post(Ticket(), bytes(size))
    assert raised.value.args == (1,)
    assert rig.roused == 2
    assert rig.far.receive()
    rig.close()


async def test_it_is_known_when_something_came(rig: Rig) -> None:
    assert rig.crossing.receive(0) is None
    assert rig.crossing.moved_ns == 0
    rig.reply(1, b"")
    before_ns = time.monotonic_ns()
    rig.crossing.receive(0)
    assert before_ns <= rig.crossing.moved_ns <= time.monotonic_ns()


@pytest.mark.parametrize("wakes_by_itself", [False, True])
def test_whoever_is_awake_again_is_not_woken_in_vain(rig: Rig, wakes_by_itself: bool) -> None:
    assert rig.near.arm(READABLE) == 0
    if wakes_by_itself:
        rig.crossing.is_watched = True
    rig.reply(1, b"")
    rig.far.ring()
    assert woken(rig) is not wakes_by_itself


@pytest.mark.parametrize(("what", "value"), [("is_blocked", True), ("is_watched", False)])
async def test_a_turn_ends_where_python_has_to_look(what: str, value: bool) -> None:
    rig = Served()

    def two() -> None:
        setattr(rig.crossing, what, value)
        rig.request(3, b"three")

    rig.service.doings = {b"one": partial(rig.request, 2, b"two"), b"two": two}
    rig.request(1, b"one")
    assert await in_turn(rig, 10 * SECOND_NS, []) == []
    assert rig.service.seen == [b"one", b"two"]
    rig.close()


async def test_a_burst_has_an_end() -> None:
    rig = Served()
    for call_id in range(70):
        rig.request(call_id, b"payload")
    assert await in_turn(rig) == []
    assert len(rig.service.seen) == 64
    assert await in_turn(rig) == []
    assert len(rig.service.seen) == 70
    rig.close()

"""Who takes turns for a channel is not woken, and who does not is."""

import select
from functools import partial

import pytest

from machnet_rpc._native import crossing
from machnet_rpc._protocol.outbox import Ticket
from tests.machnet_rpc.test_crossing import Rig, rig
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


@pytest.mark.parametrize("wakes_by_itself", [False, True])
def test_whoever_is_awake_again_is_not_woken_in_vain(rig: Rig, wakes_by_itself: bool) -> None:
    assert rig.near.arm(READABLE) == 0
    if wakes_by_itself:
        rig.crossing.is_watched = True
    rig.reply(1, b"")
    rig.far.ring()
    woken, _, _ = select.select([rig.near], [], [], 0)
    assert bool(woken) is not wakes_by_itself


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

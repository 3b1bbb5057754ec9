"""Who takes turns for a channel is not woken, and who does not is."""

import select

import pytest

from machnet_rpc._native import crossing
from machnet_rpc._protocol.outbox import Ticket
from tests.machnet_rpc.test_crossing import Rig, rig
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

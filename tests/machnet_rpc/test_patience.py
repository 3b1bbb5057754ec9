"""A port sleeps sooner once that is mostly right, and stays again once it is not."""

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from machnet_rpc import MemoryNetwork
from machnet_rpc._aio.patience import BALANCE_MAX, HOT_MOVES, SHORT_NS, Patience
from machnet_rpc._protocol.records import REPLY, pack
from tests.machnet_rpc.test_pump import Rig, call

SPIN_NS = 10 * SHORT_NS


class Life:
    """Of one port: what it does in the pauses between messages."""

    def __init__(self, spin_ns: int = SPIN_NS) -> None:
        self.now_ns = 1
        self.patience = Patience(spin_ns)
        self.patience.moved(self.now_ns)

    def stays(self, pause_ns: int, *, is_awaited: bool = False) -> bool:
        """Whether it is awake when the next message comes."""
        self.now_ns += pause_ns
        is_awake = not self.patience.is_over(self.now_ns - 1, is_awaited)
        if not is_awake:
            self.patience.slept()
        self.patience.moved(self.now_ns)
        return is_awake


def test_it_stays_for_all_of_it_at_first() -> None:
    life = Life()
    assert life.stays(SPIN_NS)
    assert not life.stays(SPIN_NS + 1)


def test_it_stays_for_less_after_a_long_pause() -> None:
    life = Life()
    assert not life.stays(2 * SPIN_NS)
    assert not life.stays(SPIN_NS)
    assert life.stays(SHORT_NS)


def test_it_stays_for_what_is_on_its_way() -> None:
    life = Life()
    assert not life.stays(2 * SPIN_NS)
    assert life.stays(SPIN_NS, is_awaited=True)


def test_short_pauses_have_it_stay_again() -> None:
    life = Life()
    for _ in range(1000):
        assert not life.stays(2 * SPIN_NS)
    pauses = [life.stays(SPIN_NS // 2) for _ in range(10)]
    assert pauses == [False] * 2 + [True] * 8


def test_traffic_without_a_pause_has_it_stay_until_it_sleeps_again() -> None:
    life = Life()
    for _ in range(BALANCE_MAX):
        assert not life.stays(2 * SPIN_NS)
    is_short = [life.patience.is_short]
    for _ in range(HOT_MOVES):
        assert life.stays(SHORT_NS)
    is_short.append(life.patience.is_short)
    assert not life.stays(2 * SPIN_NS)
    is_short.append(life.patience.is_short)
    assert is_short == [True, False, True]


@given(st.lists(st.integers(1, 4 * SPIN_NS), max_size=100), st.integers(0, SPIN_NS))
def test_it_never_stays_longer_than_it_may(pauses: list[int], spin_ns: int) -> None:
    life = Life(spin_ns)
    for pause in pauses:
        assert life.stays(pause) <= (pause <= spin_ns)


async def test_a_port_sleeps_sooner_unless_it_waits_for_an_answer(network: MemoryNetwork) -> None:
    rig = Rig(network, spin=3600.0)
    connection = await rig.open()
    port = rig.pump.port
    for hours in range(1, BALANCE_MAX + 1):
        port.patience.slept()
        port.patience.moved(time.monotonic_ns() + hours * 3600 * 10**9)
    rig.pump._rouse(port)
    await rig.asleep()
    connection.call(call(), b"", time.monotonic_ns())
    await asyncio.sleep(0.01)
    assert port.is_awake
    (flow,) = rig.peer.flows
    rig.peer.send(pack(REPLY, flow, 1))
    await rig.asleep()
    await rig.close()

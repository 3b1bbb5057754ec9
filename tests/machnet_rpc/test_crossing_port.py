"""When something moved, of a port whose messages cross in C: by this its owner lays it down."""

import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from machnet_rpc._aio.crossing_port import CrossingPort, port_of
from machnet_rpc._aio.port import PortOwner
from machnet_rpc._native import crossing
from machnet_rpc._protocol import records
from machnet_rpc._protocol.deadlines import Deadlines
from machnet_rpc._protocol.outbox import Ticket
from machnet_rpc._transports.channel_wire import ChannelWire
from tests.machnet_rpc.test_crossing import FLOW, RING_BYTES, Rig

pytestmark = pytest.mark.skipif(crossing is None, reason="messages cross in Python here")


class Owner:
    """Of a port; has nothing to do."""

    def __init__(self) -> None:
        self.deadlines: Deadlines[Any] = Deadlines()
        self.lent: frozenset[int] = frozenset()

    def on_event(self, *_: object) -> None: ...
    def on_request(self, *_: object) -> None: ...
    def on_flow(self, *_: object) -> None: ...
    def on_filled(self, *_: object) -> None: ...


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    rig.crossing.close()  # its place is the port's
    yield rig
    rig.close()


@pytest.fixture
def port(rig: Rig) -> CrossingPort:
    port = port_of(ChannelWire(rig.near), cast(PortOwner, Owner()))
    assert isinstance(port, CrossingPort)
    return port


def test_what_came_moved_when_it_came(rig: Rig, port: CrossingPort) -> None:
    before_ns = time.monotonic_ns()
    rig.reply(1, b"")
    assert port.turn() == 1
    after_ns = time.monotonic_ns()
    assert port.turn() == 0
    assert before_ns <= port.moved_ns <= after_ns


def test_so_did_what_had_waited_for_room(rig: Rig, port: CrossingPort) -> None:
    port.post(Ticket(), bytes(2 * RING_BYTES), records.REQUEST, FLOW, 1, 2, 3, 0, 4, 5, 6)
    for _ in range(3):
        assert port.crossing.is_blocked
        before_ns = time.monotonic_ns()
        rig.taken()
        assert port.turn() > 0
        assert before_ns <= port.moved_ns
        if not port.outbox:
            break
    assert not port.outbox

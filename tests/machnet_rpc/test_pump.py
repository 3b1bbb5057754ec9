"""The pump sleeps when there is nothing to do, and wakes for each reason that there can be."""

import asyncio
import time
from collections import deque

import pytest

from machnet_rpc import MemoryNetwork
from machnet_rpc._aio.openings import FlowRefused
from machnet_rpc._aio.port import Port
from machnet_rpc._aio.pump import Pump
from machnet_rpc._protocol.calls import IncomingCall, OutgoingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.events import Cause, Event, Failed, Requested
from machnet_rpc._protocol.records import REQUEST, pack
from machnet_rpc._transports.ladder import SPIN
from machnet_rpc._transports.memory import MemoryLink
from tests.machnet_rpc.waiting import until
from transport_engine.errors import TransportError

SECOND_NS = 1_000_000_000


class Owner:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.accepted: list[Connection] = []
        self.lost: list[TransportError] = []

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def on_request(self, call: IncomingCall, payload: bytes) -> None:
        self.events.append(Requested(call, payload))

    def on_accepted(self, connection: Connection) -> None:
        self.accepted.append(connection)

    def on_link_lost(self, error: TransportError) -> None:
        self.lost.append(error)


class Rig:
    """A pump, and a bare link at the other end that does only what a test makes it do."""

    def __init__(self, network: MemoryNetwork, spin: float = SPIN) -> None:
        self.owner = Owner()
        self.peer = network.attach("127.0.0.1")
        self.link = network.attach("127.0.0.1")
        self.pump = Pump(self.link, self.owner, spin)

    async def open(self) -> Connection:
        await self.peer.listen(7)
        return await self.pump.open("127.0.0.1:7")

    async def asleep(self) -> None:
        await until(lambda: not self.pump._scheduled.is_due)

    async def close(self) -> None:
        await self.peer.close()
        await self.pump.close()


def call(timeout_ns: int = 60 * SECOND_NS) -> OutgoingCall:
    return OutgoingCall(1, time.monotonic_ns() + timeout_ns, None)


async def test_it_sleeps_and_wakes_for_what_arrives(network: MemoryNetwork) -> None:
    rig = Rig(network)
    await rig.open()
    await rig.asleep()
    (flow,) = rig.peer.flows
    rig.peer.send(pack(REQUEST, flow, 1, b"wake up"))
    await until(lambda: rig.owner.events)
    await rig.asleep()
    await rig.close()


async def test_what_wakes_it_is_served_before_anything_else(
    network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(network)
    await rig.open()
    await rig.asleep()
    served: list[int] = []
    awake = rig.link.awake

    def counted() -> None:
        served.append(len(rig.owner.events))
        awake()

    monkeypatch.setattr(rig.link, "awake", counted)
    (flow,) = rig.peer.flows
    rig.peer.send(pack(REQUEST, flow, 1, b"now"))
    await until(lambda: served)
    assert served == [1]
    await rig.close()


async def test_one_turn_waits_for_the_loop_however_it_was_woken(
    network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that follow each other for ever, each would take the other for other work."""
    rig = Rig(network, spin=10)
    await rig.open()
    turns: list[int] = []
    turn = rig.pump._turn

    def counted() -> None:
        turns.append(1)
        turn()

    monkeypatch.setattr(rig.pump._scheduled, "_step", counted)
    for _ in range(3):
        rig.pump._on_readable(rig.pump.port)
        rig.pump.recover()
    await asyncio.sleep(0)
    for _ in range(2):
        turns.clear()
        await asyncio.sleep(0)
        assert len(turns) == 1
    await rig.close()


async def test_it_wakes_when_a_full_ring_has_room(network: MemoryNetwork) -> None:
    rig = Rig(network)
    connection = await rig.open()
    for _ in range(60):
        connection.call(call(), bytes(60_000), time.monotonic_ns())
    await rig.asleep()
    assert rig.pump.port.outbox
    arrived = 0
    while rig.pump.port.outbox:
        arrived += len(rig.peer.receive())
        await asyncio.sleep(0.001)
        await rig.asleep()
    arrived += len(rig.peer.receive())
    assert arrived == 61  # and the notice of the flow
    await rig.close()


async def test_it_wakes_for_a_deadline(network: MemoryNetwork) -> None:
    rig = Rig(network)
    connection = await rig.open()
    late, later = call(SECOND_NS // 50), call(SECOND_NS // 25)
    for each in (later, late):
        connection.call(each, b"", time.monotonic_ns())
    await rig.asleep()
    await until(lambda: len(rig.owner.events) == 2)
    ended = [each.call for each in rig.owner.events if isinstance(each, Failed)]
    assert ended == [late, later]
    assert time.monotonic_ns() >= later.deadline_ns
    for event in rig.owner.events:
        assert isinstance(event, Failed)
        assert event.cause is Cause.DEADLINE
    await rig.close()


async def test_it_waits_for_room_only_while_it_is_full(network: MemoryNetwork) -> None:
    rig = Rig(network)
    connection = await rig.open()
    await rig.pump.room(connection)
    calls = [call() for _ in range(200)]
    for each in calls:
        connection.call(each, bytes(60_000), time.monotonic_ns())
    assert rig.pump.port.outbox.full
    waiting = asyncio.ensure_future(rig.pump.room(connection))
    await rig.asleep()
    assert not waiting.done()
    for each in calls[100:]:
        connection.cancel(each)
    second = asyncio.ensure_future(rig.pump.room(connection))
    done, _ = await asyncio.wait([waiting, second], timeout=1)
    assert len(done) == 2
    await rig.close()


class Queue(deque["asyncio.Future[None]"]):
    """Counts who enters."""

    entered = 0

    def append(self, waiter: "asyncio.Future[None]") -> None:
        self.entered += 1
        super().append(waiter)

    def appendleft(self, waiter: "asyncio.Future[None]") -> None:
        self.entered += 1
        super().appendleft(waiter)


async def test_room_is_given_to_one_after_another_in_their_order(network: MemoryNetwork) -> None:
    """And to the rest as well where one that was woken sends nothing, or is gone."""
    rig = Rig(network)
    connection = await rig.open()
    first = [call() for _ in range(200)]
    for each in first:
        connection.call(each, bytes(60_000), time.monotonic_ns())
    order: list[int] = []
    queue = rig.pump.port._waiting_for_room = Queue()

    async def wait_and_send(number: int) -> None:
        await rig.pump.room(connection)
        order.append(number)
        if number % 3:
            connection.call(call(), bytes(500_000), time.monotonic_ns())

    waiting = [asyncio.ensure_future(wait_and_send(number)) for number in range(60)]
    await rig.asleep()
    waiting[7].cancel()
    while not all(each.done() for each in waiting):
        for each in (*connection.awaited.values(),):
            connection.cancel(each)  # of which nothing has left: there is room again
        rig.pump.port.sweep()
        await asyncio.sleep(0)
    assert order == [number for number in range(60) if number != 7]
    assert queue.entered < len(waiting) + 10  # all at once would find it full again but for a few
    await rig.close()


async def test_a_refused_flow(network: MemoryNetwork) -> None:
    rig = Rig(network)
    with pytest.raises(FlowRefused):
        await rig.pump.open("127.0.0.1:8")
    await rig.close()


async def test_the_death_of_the_link_ends_everything(network: MemoryNetwork) -> None:
    rig = Rig(network)
    connection = await rig.open()
    await rig.asleep()
    pending = call()
    connection.call(pending, b"", time.monotonic_ns())
    rig.link.die()
    await until(lambda: rig.owner.lost)
    (failed,) = rig.owner.events
    assert isinstance(failed, Failed)
    assert (failed.call, failed.executed) == (pending, "no")
    assert rig.pump.is_dead
    assert connection.is_closed
    with pytest.raises(TransportError):
        await rig.pump.open("127.0.0.1:7")
    await rig.close()


async def test_records_for_no_flow_are_nobodys(network: MemoryNetwork) -> None:
    rig = Rig(network)
    await rig.open()
    head = (1, 0, 0, 999, 0, 0, 0, REQUEST, 3, 0, 0, 0, 0, 0)
    assert isinstance(rig.link, MemoryLink)
    rig.link.put(head)
    await rig.asleep()
    assert rig.owner.events == []
    await rig.close()


async def test_a_port_that_is_added_lives_and_dies_by_itself(network: MemoryNetwork) -> None:
    rig = Rig(network)
    connection = await rig.open()
    wire, lost = network.attach("127.0.0.1"), list[TransportError]()
    port = rig.pump.add(wire, lost.append)
    await wire.listen(9)
    await rig.peer.connect("127.0.0.1:9", 1)
    await until(lambda: rig.owner.accepted)
    await until(lambda: not (port.is_awake or rig.pump.port.is_awake))
    _, flow = rig.peer.flows
    rig.peer.send(pack(REQUEST, flow, 1, b"through the other port"))
    await until(lambda: rig.owner.events)
    (accepted,) = rig.owner.accepted
    assert list(port.connections.values()) == [accepted]
    await until(lambda: not port.is_awake)
    wire.die()
    await until(lambda: lost)
    assert (accepted.is_closed, connection.is_closed, rig.pump.is_dead) == (True, False, False)
    rig.pump.remove(port)
    assert list(rig.pump.connections) == [connection]
    await wire.close()
    await rig.close()


async def test_sleeping_ports_take_no_turns(network: MemoryNetwork) -> None:
    rig = Rig(network)
    wires = [network.attach("127.0.0.1") for _ in range(100)]
    ports = [rig.pump.add(wire) for wire in wires]
    await rig.asleep()
    assert not any(port.is_awake for port in ports)
    rig.pump._rouse(ports[7])
    assert rig.pump._awake == [ports[7]]
    for port, wire in zip(ports, wires, strict=True):
        rig.pump.remove(port)
        await wire.close()
    await rig.close()


async def test_it_spins_only_while_the_loop_has_nothing_else(
    network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    spins: list[int] = []

    def turn(port: Port, spin_ns: int = 0, ready: object = None, waits_fd: int = -1) -> int:
        spins.append(spin_ns)
        return 0

    monkeypatch.setattr(Port, "turn", turn)
    rig = Rig(network, spin=3600.0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert set(spins) == {0}  # this test itself was always ready
    await asyncio.sleep(0.001)
    assert max(spins) > 0
    monkeypatch.undo()
    await rig.close()


async def test_it_spins_from_the_end_of_a_long_turn_on(
    network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_ns: list[int] = []

    def turn(port: Port, spin_ns: int = 0, ready: object = None, waits_fd: int = -1) -> int:
        if ends_ns:
            return 0
        time.sleep(0.002)
        ends_ns.append(time.monotonic_ns())
        return 1

    rig = Rig(network, spin=3600.0)
    monkeypatch.setattr(Port, "turn", turn)
    rig.pump._turn()
    assert not rig.pump.port.patience.is_over(ends_ns[0] + 3600 * 10**9 - 1, False)
    monkeypatch.undo()
    await rig.close()


async def test_without_spin_it_sleeps_at_once(network: MemoryNetwork) -> None:
    rig = Rig(network, spin=0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not rig.pump.port.is_awake
    await rig.open()
    await rig.asleep()
    await rig.close()


async def test_what_a_turn_took_survives_an_owner_that_ends_the_process(
    network: MemoryNetwork,
) -> None:
    rig = Rig(network)
    await rig.open()
    requests: list[bytes] = []

    def exits(call: IncomingCall, payload: bytes) -> None:
        requests.append(payload)
        if len(requests) == 1:
            raise SystemExit(3)

    rig.pump.on_request = exits
    (flow,) = rig.peer.flows
    rig.peer.send(pack(REQUEST, flow, 1, b"first") + pack(REQUEST, flow, 2, b"second"))
    with pytest.raises(SystemExit):
        rig.pump._turn()
    await until(lambda: requests == [b"first", b"second"])
    await rig.close()


async def test_what_nobody_foresaw_ends_one_port(
    network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(network)
    connection = await rig.open()
    wire, lost = network.attach("127.0.0.1"), list[TransportError]()
    port = rig.pump.add(wire, lost.append)
    await rig.asleep()
    monkeypatch.setattr(wire, "receive", lambda: 1 / 0)
    rig.pump._rouse(port)
    await until(lambda: lost)
    assert "ZeroDivisionError" in str(lost[0])
    assert port.is_closed
    assert not connection.is_closed
    await wire.close()
    await rig.close()

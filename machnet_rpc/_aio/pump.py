"""Drives the ports of one client or server from the event loop: the engine's, and any others.

A turn receives a burst from every port that is awake, sends what was queued, and ends what is
overdue. While there is traffic, or may soon be, it does so again, for a bounded time, which ends
early if the loop has other work, and later if it has none; the next turn follows by `call_soon`
while a port is awake. A port without traffic falls asleep after some time: then its descriptors
wake it, and it costs the turns of others nothing. Knows nothing of services and codecs.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from contextvars import copy_context
from functools import partial
from typing import Final

from machnet_rpc import _clock
from machnet_rpc._aio.crossing_port import port_of, spin
from machnet_rpc._aio.directs import Directs
from machnet_rpc._aio.expiry import expire
from machnet_rpc._aio.loop_work import LoopWork
from machnet_rpc._aio.openings import Openings
from machnet_rpc._aio.owner import Owner
from machnet_rpc._aio.patience import is_contended
from machnet_rpc._aio.port import Port
from machnet_rpc._aio.readers import Readers
from machnet_rpc._aio.rest import take_answers, take_rest
from machnet_rpc._aio.steady import Steady
from machnet_rpc._aio.wake_timer import WakeTimer
from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import IncomingCall, OutgoingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.deadlines import Deadlines
from machnet_rpc._protocol.events import Event
from machnet_rpc._protocol.records import CALL_ID, FLOW, KIND, STATUS, Head
from machnet_rpc._transports.base import FOREVER_NS, Direct, FlowEnds, Link, Transport, Wire
from machnet_rpc._transports.ladder import SPIN
from transport_engine._native import lib
from transport_engine.errors import ChannelCorruptError, TransportError

CLOSE_SECONDS_MAX: Final = 2.0  # for the last replies to leave and the flows to end
ENGINE_STOPPED: Final[int] = lib.TE_R_ENGINE_STOPPED
PEER_CLOSED: Final[int] = lib.TE_R_PEER_CLOSED
PROTOCOL: Final[int] = lib.TE_R_PROTOCOL

log = logging.getLogger("machnet_rpc")


class Pump:
    """Drives one link, and whatever ports are added, for one owner. Thread: the event loop's."""

    def __init__(
        self, link: Link, owner: Owner, spin: float = SPIN, lent: AbstractSet[int] | None = None
    ) -> None:
        """`spin`: how many seconds a port without traffic stays awake; `lent`: see `PortOwner`."""
        self.link = link
        self.deadlines: Deadlines[OutgoingCall | IncomingCall] = Deadlines()
        self.error: TransportError | None = None
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._openings = Openings()
        self._flows_ended: asyncio.Future[None] | None = None
        self._ports: list[Port] = []
        self._directs = Directs(self, self._rouse, self._loop)
        self._awake: list[Port] = []
        self._readers = Readers(self._loop, self._on_readable)
        self._scheduled = Steady(self._turn, self.recover)
        self._is_closed = False
        self._is_lost = False  # the link, and its owner is not told yet
        self._work = LoopWork(self._loop)
        self._loop_ready = self._work.ready
        self._spin_ns = 0 if _clock.is_virtual() else int(spin * 1e9)
        self._context = copy_context()
        self._timer = WakeTimer(self._loop, self._on_timer, self.recover)
        self.on_event: Callable[[Event], None] = owner.on_event
        self.on_request: Callable[[IncomingCall, bytes], None] = owner.on_request
        self.lent: AbstractSet[int] = frozenset() if lent is None else lent
        link.on_direct = self._on_direct
        self.port: Port = port_of(link, self, None, self._spin_ns)
        try:
            self._drive(self.port)
        except BaseException:  # of a signal's handler
            self._stop(TransportError("it never began"))
            raise

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "running" if self._scheduled.is_due else "asleep"
        ports, flows = len(self._ports), sum(1 for _ in self.connections)
        return f"<Pump {self.link.transport.rung} {state} ports={ports} flows={flows}>"

    @property
    def is_dead(self) -> bool:
        return self._is_closed

    @property
    def connections(self) -> Iterable[Connection]:
        """Those of all ports."""
        return (each for port in self._ports for each in port.connections.values())

    def add(self, wire: Wire, on_lost: Callable[[TransportError], None] | None = None) -> Port:
        """Drives one more channel, until `remove`, or until it dies and `on_lost` is told.

        The connections of a channel that dies end with TE_R_PEER_CLOSED. Owner: the wire stays the
        caller's. The death of the link is that of the pump, and is told to the pump's owner.
        """
        return self._drive(port_of(wire, self, on_lost, self._spin_ns))

    def _drive(self, port: Port) -> Port:
        self._ports.append(port)
        self._readers.add(port)
        self._rouse(port)
        return port

    def remove(self, port: Port, reason: int = PEER_CLOSED) -> None:
        """Drives a channel no more, and ends its connections; again, goes on with that."""
        if port in self._ports:
            self._quiet(port)
            port.close(reason)
            self._directs.forget(port)
            self._ports.remove(port)
            self._check_flows_ended()

    def _quiet(self, port: Port) -> None:
        """Nothing wakes the port any more."""
        self._readers.remove(port)
        if port.is_awake:
            port.set_awake(False)
            self._awake.remove(port)

    def transport_of(self, connection: Connection | None) -> Transport:
        """How its calls travel; for None, how they would by the engine."""
        direct = None if connection is None else self._directs.transport_of(connection)
        return self.link.transport if direct is None else direct

    async def open(self, address: str) -> Connection:
        """Opens a flow to "host:port", or a channel straight to whoever listens there.

        Errors: FlowRefused, TransportError.
        """
        direct = await self.link.straight(address, again=False)
        if direct is not None:
            return self._join(direct)
        rouse = partial(self._rouse, self.port)
        connection = await self._openings.open(self.link, address, rouse)
        direct = await self.link.straight(address, again=True)
        if direct is None:
            return connection
        connection.close()
        return self._join(direct)

    def cut(self, connection: Connection) -> None:
        """Ends a flow at once: nothing is taken from it any more."""
        for port in tuple(self._ports):
            if port.connections.get(connection.flow) is connection:
                connection.close()
                port.end(connection, PEER_CLOSED)

    async def room(self, connection: Connection) -> None:
        """Returns when there is room to send again, or the connection's port is closed."""
        for port in self._ports:
            if port.connections.get(connection.flow) is connection:
                await port.room()
                return

    async def close(self) -> None:
        """Closes the flows once all that was queued has left, then the link.

        At once when it is cancelled. A second call waits for the same flows.
        """
        try:
            if not self._is_closed:
                await self._close_flows()
        finally:
            self._stop(TransportError("the link was closed"))
            await self.link.close()

    async def _close_flows(self) -> None:
        self.recover()  # a turn may have been lost where asyncio was interrupted itself
        for port in self._ports:
            port.close_flows()
        if self._flows_ended is None:
            self._flows_ended = self._loop.create_future()
        self._check_flows_ended()
        await asyncio.wait([self._flows_ended], timeout=CLOSE_SECONDS_MAX)

    # -- channels straight to a peer --

    def _on_direct(self, direct: Direct) -> None:
        if self._is_closed:
            direct.close()
        else:
            self._owner.on_accepted(self._join(direct))

    def _join(self, direct: Direct) -> Connection:
        if self._is_closed:
            direct.close()
            raise self.error or TransportError("the link was closed")
        return self._directs.join(direct)

    # -- for ports --

    def on_filled(self, port: Port) -> None:
        self._rouse(port)

    def on_flow(self, port: Port, head: Head, payload: bytes) -> None:
        kind, flow = head[KIND], head[FLOW]
        if kind == records.FLOW_CLOSED:
            if self._openings.refused(head[CALL_ID], head[STATUS]):
                return
            connection = port.connections.get(flow)
            if connection is not None:
                port.end(connection, head[STATUS])
            return
        ends = FlowEnds.read(payload)
        connection = port.open(flow, ends.remote, ends.message_bytes_max, ends.number)
        if kind == records.FLOW_ACCEPTED:
            self._owner.on_accepted(connection)
        else:
            self._openings.opened(head[CALL_ID], connection, ends.narrow_mtu_bytes)

    # -- turns --

    def _schedule(self) -> None:
        if not (self._scheduled.is_due or self._is_closed):
            self._next = self._loop.call_soon(self._scheduled.callback, context=self._context)
            self._scheduled.is_due = True  # unless a loop in debug mode refused another thread

    def recover(self) -> None:
        """A signal may have met any step: takes turns for all ports again, or goes on to end."""
        self._scheduled.is_due = False
        self._next.cancel()
        self._timer.cancel()
        if self.error is not None:
            self._end(self.error)
            return
        self._directs.recover()
        self._awake.clear()
        for connection in self.connections:
            connection.start_timers()
        for port in self._ports:
            port.set_awake(False)
            self._rouse(port)

    def _rouse(self, port: Port) -> None:
        """Takes turns for the port from the next iteration of the loop on.

        Thread: the loop's, or who is inside of a blocking client, where no other sleeps meanwhile.
        """
        self._schedule()
        self._wake(port)
        port.patience.moved(_clock.monotonic_ns())

    def _wake(self, port: Port) -> None:
        if not (port.is_awake or port.is_closed):
            port.set_awake(True)
            self._awake.append(port)

    def _turn(self) -> None:
        if self._is_closed:
            return
        now_ns = _clock.monotonic_ns()
        ends_ns = now_ns + self._work.turn_ns
        while now_ns < ends_ns and self._moved(now_ns, ends_ns):
            now_ns = _clock.monotonic_ns()
        if self._awake:
            self._schedule()
        if self._directs.leaving:
            self._directs.finish()
        self._check_flows_ended()
        if not (self._awake or self._is_closed):
            self._timer.set(self.deadlines.next_ns())

    def _moved(self, now_ns: int, ends_ns: int) -> bool:
        """Lets every port that is awake do its work; whether there was any, and may be more.

        Looks for it for a while, where nothing else wants this thread.
        """
        expired = self.deadlines.expire(now_ns)
        if expired:
            self._expire(expired)
        awake, ready, waits_fd = self._awake, self._loop_ready, self._work.fileno
        spin_ns = 0 if ready else min(self._spin_ns, ends_ns - now_ns)
        is_busy = False
        for port in awake if len(awake) == 1 else tuple(awake):
            if port.is_closed:
                continue  # by what happened in this turn
            try:
                if port.turn(spin_ns, ready, waits_fd) if len(awake) == 1 else port.turn():
                    port.patience.moved(port.moved_ns)
                    is_busy = True
                if self._is_idle(port):
                    self._lay_down(port)
            except Exception as error:  # noqa: BLE001 (which ends this port alone)
                self._lose(port, error)
        return not ready if is_busy else len(awake) > 1 and spin_ns > 0 and spin(awake, spin_ns)

    def _expire(self, expired: list[OutgoingCall | IncomingCall]) -> None:
        expire(expired, self.on_event)
        for port in self._ports:
            if port.is_wanted:
                port.sweep()

    # -- sleep --

    def _is_idle(self, port: Port) -> bool:
        # a loop's timers are coarser than those of an engine that is polled
        is_awaited = port.polls or bool(self.deadlines)
        return port.patience.is_over(_clock.monotonic_ns(), is_awaited) or is_contended()

    def _lay_down(self, port: Port) -> None:
        """Lets the port sleep, until its descriptors or the timer wake it."""
        self._readers.resume(port)
        sleep_ns = port.arm()
        if sleep_ns == 0:
            return
        port.set_awake(False)
        port.patience.slept()
        self._awake.remove(port)
        if sleep_ns < FOREVER_NS:
            self._timer.set(_clock.monotonic_ns() + sleep_ns)

    def _on_timer(self) -> None:
        self._look(self.port)  # only an engine in this process sleeps by the clock

    def _on_readable(self, port: Port) -> None:
        try:
            self._receive_first(port)
        except BaseException:  # of a signal's handler
            self.recover()
            raise

    def _receive_first(self, port: Port) -> None:
        if port.polls and port.is_awake and self._spin_ns:
            self._readers.pause(port)
            return
        try:
            if not port.is_awake and port.take_first():
                port.patience.moved(_clock.monotonic_ns())
            if not port.is_closed:  # by what came
                port.wire.awake()
        except Exception as error:  # noqa: BLE001 (which ends this port alone)
            self._lose(port, error)
        else:
            self._look(port)

    def _look(self, port: Port) -> None:
        """Takes a turn now, without a trip through the loop."""
        self._wake(port)  # it sleeps again at once if it was nothing
        self._turn()

    # -- end --

    def _lose(self, port: Port, error: Exception) -> None:
        if not isinstance(error, TransportError):
            log.error("%r cannot go on", port, exc_info=error)  # our own bug
            error = TransportError(f"{type(error).__name__}: {error}")
        if port.is_closed:
            return
        if port is self.port:
            self._quiet(port)
            self._directs.await_peers(partial(self._lose_link, error))
            return
        if isinstance(error, ChannelCorruptError):
            log.warning("%r is closed: %s", port, error)
            self.remove(port, PROTOCOL)
        else:
            take_rest(port)
            self.remove(port)
        if port.on_lost is not None:
            port.on_lost(error)

    def _lose_link(self, error: TransportError) -> None:
        if not self._is_closed:
            take_answers(self._ports)
            self._is_lost = True
            self._end(error)

    def _end(self, error: TransportError) -> None:
        self._stop(error)
        if self._is_lost:
            self._owner.on_link_lost(error)
            self._is_lost = False

    def _stop(self, error: TransportError) -> None:
        """A second call goes on with what was cut short."""
        if not self._is_closed:
            self.error, self._is_closed = error, True
        self._timer.cancel()
        self._openings.fail(error)
        for port in tuple(self._ports):
            self.remove(port, ENGINE_STOPPED)

    def _check_flows_ended(self) -> None:
        ended = self._flows_ended
        if ended is None or ended.done():
            return
        if not any(port.connections or port.outbox for port in self._ports):
            ended.set_result(None)

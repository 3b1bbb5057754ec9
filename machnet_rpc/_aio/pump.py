"""Moves records between a link and the connections on it, from the event loop.

One turn flushes what was queued since the last, receives a burst, and ends what is overdue. Turns
follow each other by `call_soon` while there is traffic and for a bounded number of turns after it;
then the pump sleeps on the link's descriptors and one timer. Knows nothing of services and codecs.
"""

import asyncio
import itertools
import logging
import time
from collections import deque
from typing import Final, Protocol

from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import IncomingCall, OutgoingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.deadlines import Deadlines
from machnet_rpc._protocol.events import Event
from machnet_rpc._protocol.outbox import Outbox
from machnet_rpc._protocol.records import CALL_ID, FLOW, KIND, STATUS, Head, Joiner
from machnet_rpc._transports.base import FOREVER_NS, READABLE, WRITABLE, FlowEnds, Link
from transport_engine._native import lib
from transport_engine.errors import TransportError

TURNS_IDLE_MAX: Final = 64  # loop iterations without traffic before the pump sleeps
CLOSE_SECONDS_MAX: Final = 2.0  # for the last replies to leave and the flows to end
ENGINE_STOPPED: Final[int] = lib.TE_R_ENGINE_STOPPED

log = logging.getLogger("machnet_rpc")


class FlowRefused(Exception):
    """A flow could not be opened. `reason` is an enum te_reason."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


class Owner(Protocol):
    """Whoever has the pump: a client or a server."""

    def on_event(self, event: Event, /) -> None: ...

    def on_accepted(self, connection: Connection) -> None: ...

    def on_link_lost(self, error: TransportError) -> None: ...


class Pump:
    """Drives one link for one owner. Thread: the event loop's."""

    def __init__(self, link: Link, owner: Owner) -> None:
        self.link = link
        self.outbox = Outbox()
        self.deadlines: Deadlines[OutgoingCall | IncomingCall] = Deadlines()
        self.connections: dict[int, Connection] = {}
        self.error: TransportError | None = None
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._joiner = Joiner()
        self._opening: dict[int, asyncio.Future[Connection]] = {}
        self._tokens = itertools.count(1)
        self._waiting_for_room: deque[asyncio.Future[None]] = deque()
        self._flows_ended: asyncio.Future[None] | None = None
        self._is_scheduled = False
        self._is_closed = False
        self._turns_idle = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        for fileno in link.filenos():
            self._loop.add_reader(fileno, self._on_readable)
        self.schedule()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "running" if self._is_scheduled else "asleep"
        return f"<Pump {self.link.transport.rung} {state} flows={len(self.connections)}>"

    @property
    def is_dead(self) -> bool:
        return self._is_closed

    def schedule(self) -> None:
        """Asks for a turn in the next iteration of the loop; whatever was queued leaves then."""
        if not (self._is_scheduled or self._is_closed):
            self._is_scheduled = True
            self._loop.call_soon(self._turn)

    async def open(self, address: str) -> Connection:
        """Opens a flow to "host:port".

        Errors: FlowRefused, TransportError.
        """
        token = next(self._tokens)
        answer: asyncio.Future[Connection] = self._loop.create_future()
        self._opening[token] = answer
        try:
            await self.link.connect(address, token)
            self.schedule()
            return await answer
        finally:
            self._opening.pop(token, None)

    async def room(self) -> None:
        """Returns when the outbox is not full any more, or the pump is closed."""
        self.outbox.sweep()
        self._give_room()
        while self.outbox.full and not self._is_closed:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiting_for_room.append(waiter)
            await waiter

    async def close(self) -> None:
        """Closes the flows once all that was queued has left, then the link."""
        if not self._is_closed:
            await self._close_flows()
        self._stop(TransportError("the link was closed"))
        await self.link.close()

    async def _close_flows(self) -> None:
        for connection in self.connections.values():
            connection.close()
        self.schedule()
        self._flows_ended = self._loop.create_future()
        if self.connections or self.outbox:
            await asyncio.wait([self._flows_ended], timeout=CLOSE_SECONDS_MAX)

    # -- one turn --

    def _turn(self) -> None:
        self._is_scheduled = False
        if self._is_closed:
            return
        try:
            moved = self._flush() + self.link.work() + self._receive()
            self._expire()
            if moved:
                self._turns_idle = 0
            else:
                self._turns_idle += 1
            if self._turns_idle >= TURNS_IDLE_MAX and self._sleep():
                return
        except TransportError as error:
            self._lose(error)
            return
        self.schedule()

    def _flush(self) -> int:
        outbox = self.outbox
        total = 0
        while outbox:
            burst = outbox.burst()
            if not burst:
                break
            taken = self.link.send(burst)
            outbox.took(taken)
            total += taken
            if taken < len(burst):
                break
        if total:
            self.link.ring()
        if self._waiting_for_room and not outbox.full:
            self._give_room()
        if self._flows_ended is not None and not (self.connections or outbox):
            self._tell_flows_ended()
        return total

    def _receive(self) -> int:
        arrived = self.link.receive()
        if not arrived:
            return 0
        now_ns = time.monotonic_ns()
        connections, join, on_event = self.connections, self._joiner.join, self._owner.on_event
        for head, payload in arrived:
            whole = join(head, payload)
            if whole is None:
                continue
            if head[KIND] > records.APP_KIND_LAST:
                self._on_flow(head, whole)
                continue
            connection = connections.get(head[FLOW])
            if connection is not None:
                event = connection.receive(head, whole, now_ns)
                if event is not None:
                    on_event(event)
        self.link.ring()
        return len(arrived)

    def _expire(self) -> None:
        expired = self.deadlines.expire(time.monotonic_ns())
        for call in expired:
            connection: Connection = call.connection
            self._owner.on_event(connection.expire(call))
        if expired and self._waiting_for_room:
            self.outbox.sweep()

    def _on_flow(self, head: Head, payload: bytes) -> None:
        kind, flow = head[KIND], head[FLOW]
        if kind == records.FLOW_CLOSED:
            opening = self._opening.pop(head[CALL_ID], None)
            if opening is not None:
                if not opening.done():
                    opening.set_exception(FlowRefused(head[STATUS]))
                return
            connection = self.connections.pop(flow, None)
            if connection is not None:
                self._end(connection, head[STATUS])
            return
        ends = FlowEnds.read(payload)
        connection = Connection(
            flow, ends.remote, self.outbox, self.deadlines, ends.message_bytes_max
        )
        self.connections[flow] = connection
        if kind == records.FLOW_ACCEPTED:
            self._owner.on_accepted(connection)
            return
        opening = self._opening.pop(head[CALL_ID], None)
        if opening is None or opening.done():
            connection.close()  # whoever asked has given up
        else:
            opening.set_result(connection)

    def _end(self, connection: Connection, reason: int) -> None:
        for event in connection.closed(reason):
            self._owner.on_event(event)

    # -- sleep --

    def _sleep(self) -> bool:
        """Arms everything that wakes the pump; False if there is work already."""
        sleep_ns = self.link.arm(READABLE | (WRITABLE if self.outbox else 0))
        if sleep_ns == 0:
            return False
        deadline_ns = self.deadlines.next_ns()
        now_ns = time.monotonic_ns()
        if deadline_ns is not None:
            sleep_ns = min(sleep_ns, max(deadline_ns - now_ns, 0))
        if sleep_ns < FOREVER_NS:
            self._set_timer(now_ns + sleep_ns, sleep_ns)
        return True

    def _set_timer(self, wake_ns: int, sleep_ns: int) -> None:
        if self._timer is not None:
            if self._timer_ns <= wake_ns:
                return  # it fires earlier; the pump then looks again
            self._timer.cancel()
        self._timer = self._loop.call_later(sleep_ns / 1e9, self._on_timer)
        self._timer_ns = wake_ns

    def _on_timer(self) -> None:
        self._timer = None
        self._wake()

    def _on_readable(self) -> None:
        try:
            self.link.awake()
        except TransportError as error:
            self._lose(error)
            return
        self._wake()

    def _wake(self) -> None:
        """Takes a turn now, without a trip through the loop."""
        if not (self._is_scheduled or self._is_closed):
            self._turns_idle = TURNS_IDLE_MAX - 1 if not self.outbox else 0
            self._turn()

    # -- end --

    def _lose(self, error: TransportError) -> None:
        if not self._is_closed:
            self._stop(error)
            self._owner.on_link_lost(error)

    def _stop(self, error: TransportError) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self.error = error
        for fileno in self.link.filenos():
            self._loop.remove_reader(fileno)
        if self._timer is not None:
            self._timer.cancel()
        for opening in self._opening.values():
            if not opening.done():
                opening.set_exception(error)
        connections, self.connections = self.connections, {}
        for connection in connections.values():
            self._end(connection, ENGINE_STOPPED)
        self._give_room()
        self._tell_flows_ended()

    def _give_room(self) -> None:
        while self._waiting_for_room and (self._is_closed or not self.outbox.full):
            waiter = self._waiting_for_room.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def _tell_flows_ended(self) -> None:
        if self._flows_ended is not None and not self._flows_ended.done():
            self._flows_ended.set_result(None)

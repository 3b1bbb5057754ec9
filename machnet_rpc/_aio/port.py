"""One channel in use: what is queued for it, what arrives on it, and the connections of its flows.

Moves records when it is told to. Does not know the event loop's turns, nor how flows come about.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sized
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, Protocol

from machnet_rpc import _clock
from machnet_rpc._aio.exchange import Exchanger
from machnet_rpc._aio.patience import Patience
from machnet_rpc._metadata import take_off, take_off_reply
from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import IncomingCall, OutgoingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.deadlines import Deadlines
from machnet_rpc._protocol.events import Event, Failed, Refused, Replied
from machnet_rpc._protocol.outbox import Outbox, Post
from machnet_rpc._protocol.records import FLAGS, FLOW, KIND, METADATA, REPLY, REQUEST, Head, Joiner
from machnet_rpc._transports.base import READABLE, WRITABLE, Wire
from transport_engine.errors import TransportError


class PortOwner(Protocol):
    """Whoever drives ports: a pump."""

    @property
    def deadlines(self) -> Deadlines[OutgoingCall | IncomingCall]: ...

    @property
    def lent(self) -> AbstractSet[int]:
        """The methods whose large messages may come as views."""
        ...

    def on_event(self, event: Event, /) -> None:
        """A call of one of the port's connections ended, or must stop."""
        ...

    @property
    def on_request(self) -> Callable[[IncomingCall, bytes], None]:
        """Told of a call that came; a desk in C takes it from the ring."""
        ...

    def on_flow(self, port: "Port", head: Head, payload: bytes, /) -> None:
        """The other end says that a flow opened or closed."""
        ...

    def on_filled(self, port: "Port", /) -> None:
        """There is something to send."""
        ...


class Port:
    """The near end of one channel. Thread: the event loop's.

    Owner: the wire stays that of whoever made the port; `on_lost` is told when it died.
    """

    __slots__ = (
        "_joiner",
        "_left",
        "_owner",
        "_waiting_for_room",
        "connections",
        "crossing",
        "is_awake",
        "is_closed",
        "on_lost",
        "outbox",
        "patience",
        "polls",
        "post",
        "wire",
    )

    def __init__(
        self,
        wire: Wire,
        owner: PortOwner,
        on_lost: Callable[[TransportError], None] | None = None,
        spin_ns: int = 0,
    ) -> None:
        self.wire: Wire = wire
        self.on_lost: Callable[[TransportError], None] | None = on_lost
        self.connections: dict[int, Connection] = {}
        self.outbox: Outbox = Outbox(self._on_filled)
        self.post: Post = self.outbox.post
        self.is_closed: bool = False
        self.is_awake: bool = False  # whether its owner takes turns for it
        self.patience: Patience = Patience(spin_ns)
        native = wire.native()
        self.polls: bool = native is not None and native[1] is not None  # an engine, in its turns
        self.crossing: Any = None
        self._owner = owner
        self._joiner = Joiner()
        self._left: list[tuple[Head, bytes]] = []  # taken, and not handled yet
        self._waiting_for_room: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "awake" if self.is_awake else "asleep"
        return f"<Port {self.wire!r} {state} flows={len(self.connections)}>"

    def open(self, flow: int, peer: str, message_bytes_max: int, number: int = 0) -> Connection:
        """The connection of a flow that is open; `number` is what both its ends know it by."""
        connection = Connection(
            flow,
            peer,
            self.outbox,
            self._owner.deadlines,
            message_bytes_max,
            post=self.post,
        )
        connection.number = number
        connection.has_acked = partial(self.wire.has_acked, flow)
        connection.exchanger = Exchanger(self, connection)
        self.connections[flow] = connection
        return connection

    def set_awake(self, is_awake: bool) -> None:
        """Says whether its owner takes turns for it."""
        self.is_awake = is_awake

    def turn(self, spin_ns: int = 0, ready: Sized | None = None, waits_fd: int = -1) -> int:
        """Sends what is queued and takes a burst; returns what moved. Errors: TransportError.

        Where it can, it looks for something to take for `spin_ns`. Given the callbacks that wait
        for this thread, it goes on after that, until there are some or the time is over; with a
        descriptor that is readable when others wait, some 75 us longer, unless it was mostly in
        vain to stay.
        """
        return self._flush() + self.wire.work() + self.receive(spin_ns)

    @property
    def moved_ns(self) -> int:
        """When something moved last, of a turn in which something did."""
        return _clock.monotonic_ns()  # which is as good, where turns do not wait

    def take_first(self) -> int:
        """As `receive`, of a port that sleeps, before its owner does anything else."""
        return self.receive()

    def receive(self, spin_ns: int = 0) -> int:
        """Takes a burst of what arrived; returns its records. Errors: TransportError."""
        self._handle_left()
        arrived = self.wire.receive()
        if arrived:
            join = self._joiner.join
            wholes = [(head, join(head, payload)) for head, payload in arrived]
            self.wire.ring()
            self._handle((head, whole) for head, whole in wholes if whole is not None)
        return len(arrived)

    def _handle_left(self) -> None:
        if self._left:
            left, self._left = self._left, []
            self._handle(left)

    def _handle(self, messages: Iterable[tuple[Head, bytes]]) -> None:
        now_ns = _clock.monotonic_ns()
        owner, connections = self._owner, self.connections
        on_event, on_request = owner.on_event, owner.on_request
        arrived, event = iter(messages), None
        try:
            for head, payload in arrived:
                connection = connections.get(head[FLOW])
                kind = head[KIND]
                if kind > records.APP_KIND_LAST:
                    owner.on_flow(self, head, payload)
                elif connection is None:
                    continue
                elif kind == REQUEST:
                    call = connection.requested(head, now_ns)
                    if call is not None and not head[FLAGS] & METADATA:
                        on_request(call, payload)
                    elif call is not None:
                        take_off(call, payload, on_request)
                else:
                    if head[FLAGS] & METADATA and kind == REPLY:
                        head, payload = take_off_reply(connection, head, payload)
                    event = connection.receive(head, payload, now_ns)
                    if event is not None:
                        on_event(event)
        except BaseException:
            self._left.extend(arrived)  # for the next turn, if the process goes on
            if isinstance(event, Replied | Refused | Failed):
                event.call.connection.restore(event.call)
            raise

    def arm(self) -> int:
        """Prepares to sleep; returns for how many nanoseconds, 0: there is work already."""
        return self.wire.arm(READABLE | (WRITABLE if self.outbox else 0))

    async def room(self) -> None:
        """Returns when the outbox is not full any more, or the port is closed."""
        self.sweep()
        enqueue = self._waiting_for_room.append
        while self.outbox.full and not self.is_closed:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            enqueue(waiter)
            await waiter
            enqueue = self._waiting_for_room.appendleft  # it was the first already

    def sweep(self) -> None:
        """Frees what withdrawn messages hold, for whoever waits for room."""
        self.outbox.sweep()
        self._give_room()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for room."""
        return bool(self._waiting_for_room)

    def end(self, connection: Connection, reason: int) -> None:
        """One flow is no more. `reason` is an enum te_reason."""
        if connection.on_ended is not None:
            connection.on_ended(connection, self._started(connection.flow))
        if connection.outgoing and not self.is_closed:
            connection.untaken(self.wire.untaken(is_over=False))
        for event in connection.closed(reason):
            self._owner.on_event(event)
        self.connections.pop(connection.flow, None)

    def close_flows(self) -> None:
        """Ends its flows once all that was sent is delivered. Nothing is to be started any more."""
        for connection in self.connections.values():
            connection.close(self._started(connection.flow))

    def close(self, reason: int) -> None:
        """The channel is no more, and with it its flows. A second call goes on with that."""
        self.is_closed = True
        if any(each.outgoing for each in self.connections.values()):
            untaken = self.wire.untaken(is_over=True)
            for connection in self.connections.values():
                connection.untaken(untaken)
                last_word = self.wire.last_word(connection.flow)
                if last_word:
                    connection.receive_last_word(last_word)
        for connection in reversed(tuple(self.connections.values())):
            self.end(connection, reason)
        self._give_room()

    def _started(self, flow: int) -> bytes:
        """What was noted of a flow's requests (`Starts`); nothing, where nobody notes it."""
        del flow
        return b""

    def _flush(self) -> int:
        total = self._send()
        if self._waiting_for_room and not self.outbox.full:
            self._give_room()
        return total

    def _send(self) -> int:
        outbox = self.outbox
        total = 0
        while outbox:
            burst = outbox.burst()
            if not burst:
                break
            taken = self.wire.send(burst)
            outbox.took(taken)
            total += taken
            if taken < len(burst):
                break
        if total:
            self.wire.ring()
        return total

    def _on_filled(self) -> None:
        self._owner.on_filled(self)

    def _give_room(self) -> None:
        """Wakes the first that waits, and the next one once that has sent.

        All at once would find it full again but for a few.
        """
        waiting = self._waiting_for_room
        while waiting and (self.is_closed or not self.outbox.full):
            waiter = waiting.popleft()
            if waiter.done():
                continue
            waiter.set_result(None)
            if not self.is_closed:
                waiter.get_loop().call_soon(self._give_room)
                return

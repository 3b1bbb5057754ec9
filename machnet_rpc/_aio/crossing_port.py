"""A port whose messages cross in C (machnet_rpc/csrc), and which sort of port is for which wire.

Its outbox holds only what the ring has no room for, and replies end their calls before they are
seen in Python.
"""

from collections.abc import Callable, Iterable, Sized
from functools import partial
from typing import cast

from machnet_rpc import _clock
from machnet_rpc._aio.port import Port, PortOwner
from machnet_rpc._native import crossing
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._transports.base import Wire
from transport_engine.channel import Channel
from transport_engine.engine import Engine
from transport_engine.errors import TransportError


class CrossingPort(Port):
    """The near end of a channel, whose rings C reads and writes."""

    __slots__ = ("_channel", "_sent_ns")

    def __init__(
        self,
        wire: Wire,
        owner: PortOwner,
        on_lost: Callable[[TransportError], None] | None,
        native: tuple[Channel, Engine | None],
        spin_ns: int,
    ) -> None:
        super().__init__(wire, owner, on_lost, spin_ns)
        channel, engine = native
        self._channel = channel
        self._sent_ns = 0  # when something was sent last that had waited for room
        addresses = (
            channel.lend(self._lent_no_more),
            engine.lend(self._lent_no_more) if engine else 0,
        )
        self.crossing = crossing.Crossing(*addresses, self.outbox.post, self._on_filled)
        self.crossing.lent = owner.lent
        self.post = self.crossing.post

    def open(self, flow: int, peer: str, message_bytes_max: int, number: int = 0) -> Connection:
        connection = super().open(flow, peer, message_bytes_max, number)
        self.crossing.watch(flow, connection.awaited)
        deadlines = self._owner.deadlines
        flow_in_c = crossing.Flow(self.crossing, flow, connection, connection.awaited, deadlines)
        connection.request = flow_in_c.request
        connection.next_call_id = flow_in_c.next_call_id
        connection.exchanger = flow_in_c
        flow_in_c.message_bytes_max = message_bytes_max
        if isinstance(self._owner.on_request, crossing.Desk):
            self._channel.begin_starts(flow, number)
            connection.on_begun = partial(self._channel.note_started, flow)
            connection.served_by(flow_in_c, self._owner.on_request)
        return connection

    def end(self, connection: Connection, reason: int) -> None:
        self.crossing.forget(connection.flow)
        super().end(connection, reason)

    def _started(self, flow: int) -> bytes:
        return self._channel.starts(flow, is_own=True)

    def close(self, reason: int) -> None:
        super().close(reason)
        self.crossing.close()

    def set_awake(self, is_awake: bool) -> None:
        self.is_awake = self.crossing.is_watched = is_awake

    @property
    def moved_ns(self) -> int:
        return max(cast(int, self.crossing.moved_ns), self._sent_ns)

    def take_first(self) -> int:
        self.crossing.is_watched = True
        return self.receive()

    def turn(self, spin_ns: int = 0, ready: Sized | None = None, waits_fd: int = -1) -> int:
        if self.crossing.is_blocked:
            sent = self._flush()
            if sent:
                self._sent_ns = _clock.monotonic_ns()
            return sent + self.receive()
        if self._left:
            return self.receive()
        stays_fd = -1 if self.patience.is_short else waits_fd
        # as `receive`, without a step in between
        others = self.crossing.receive(spin_ns, ready, stays_fd)
        if others is None:
            return 0
        if others:
            self._handle(others)
        return 1

    def receive(self, spin_ns: int = 0) -> int:
        if self._left:
            self._handle_left()
        others = self.crossing.receive(spin_ns)
        if others is None:
            return 0
        if others:
            self._handle(others)
        return 1

    def _send(self) -> int:
        sent = self.outbox.drain(self.crossing.put)
        self.crossing.is_blocked = bool(self.outbox)
        return sent

    def _lent_no_more(self) -> None:
        if self.crossing is not None:  # or a signal's handler met its making
            self.crossing.close()


def spin(ports: Iterable[Port], spin_ns: int) -> bool:
    """Looks at their rings for so long, without the GIL; whether there was something."""
    crossings = [port.crossing for port in ports]
    return None not in crossings and bool(crossing.spin(crossings, spin_ns))


def port_of(
    wire: Wire,
    owner: PortOwner,
    on_lost: Callable[[TransportError], None] | None = None,
    spin_ns: int = 0,
) -> Port:
    """A port for the wire: in C where both can. It stays awake for `spin_ns` at most."""
    in_c = crossing is not None and not _clock.is_virtual()  # C reads the system's clock
    native = wire.native() if in_c else None
    if native is None:
        return Port(wire, owner, on_lost, spin_ns)
    return CrossingPort(wire, owner, on_lost, native, spin_ns)

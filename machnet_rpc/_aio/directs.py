"""The channels of a pump that lead straight to a peer: which they are, and how they are left.

Each has a port and one connection of its own. Does not know how the peer was found.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from machnet_rpc._aio.port import Port
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._transports.base import Direct, Transport, Wire
from transport_engine._native import lib

CLOSED: Final[int] = lib.TE_R_CLOSED
FLOW: Final = 0  # of the one connection
LEAVE_SECONDS_MAX: Final = 0.03  # for all peers together


class Driver(Protocol):
    """Who drives the ports: a pump."""

    def add(self, wire: Wire, /) -> Port: ...

    def remove(self, port: Port, reason: int, /) -> None: ...


class Directs:
    """All of one pump. Thread: the event loop's.

    Owner: of the channels; `forget` closes them.
    """

    def __init__(
        self, driver: Driver, rouse: Callable[[Port], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._loop = loop
        self._driver = driver
        self._rouse = rouse
        self._channels: dict[Port, Direct] = {}
        self._then: Callable[[], None] | None = None
        self._late: asyncio.TimerHandle | None = None
        self.leaving: set[Port] = set()

    def __repr__(self) -> str:
        return f"<Directs: {len(self._channels)}, of which {len(self.leaving)} are being left>"

    def join(self, direct: Direct) -> Connection:
        """Has a channel driven; its connection is open."""
        port = self._driver.add(direct)
        self._channels[port] = direct
        connection = port.open(FLOW, direct.peer, direct.message_bytes_max)
        connection.on_close = partial(self._leave, port)
        return connection

    def transport_of(self, connection: Connection) -> Transport | None:
        """How its calls travel, if it is one of these."""
        for port, direct in self._channels.items():
            if port.connections.get(FLOW) is connection:
                return direct.transport
        return None

    def finish(self) -> None:
        """Closes those that are to be left and have nothing more to send."""
        for port in tuple(self.leaving):
            if not port.outbox:
                self._driver.remove(port, CLOSED)

    def await_peers(self, then: Callable[[], None]) -> None:
        """Calls back when peers have left, who learn of the engine's end as this side does.

        At once where no calls are under way, and after a moment in any case. What peers that have
        left have not taken they never will.
        """
        if self._then is not None:
            return
        if not self._are_awaited():
            then()
            return
        self._then = then
        self._go_on_in(LEAVE_SECONDS_MAX)

    def recover(self) -> None:
        """What was to call back may be lost."""
        if self._then is not None:
            self._go_on_in(LEAVE_SECONDS_MAX)

    def forget(self, port: Port) -> None:
        """A port is driven no more."""
        self.leaving.discard(port)
        if port in self._channels:
            self._channels[port].close()
            del self._channels[port]
        if self._late is not None and not self._are_awaited():
            self._go_on_in(0.0)

    def _are_awaited(self) -> bool:
        return any(
            connection.outgoing
            for port in self._channels
            for connection in port.connections.values()
        )

    def _go_on_in(self, seconds: float) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._late = None
        if self._then is not None:
            self._then()

    def _leave(self, port: Port) -> None:
        self.leaving.add(port)
        self._rouse(port)

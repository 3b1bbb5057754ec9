"""Whoever has a pump, and is told what it takes: a client or a server."""

from collections.abc import Callable
from typing import Protocol

from machnet_rpc._protocol.calls import IncomingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.events import Event
from transport_engine.errors import TransportError


class Owner(Protocol):
    """Thread: the event loop's."""

    def on_event(self, event: Event, /) -> None:
        """A call ended, or must stop."""
        ...

    @property
    def on_request(self) -> Callable[[IncomingCall, bytes], None]:
        """Told of a call that came."""
        ...

    def on_accepted(self, connection: Connection) -> None:
        """A peer opened a flow."""
        ...

    def on_link_lost(self, error: TransportError) -> None:
        """The pump is dead. Called again if a signal's handler raised in there."""
        ...

"""An application attached to an engine in its own process, which it polls itself."""

from typing import Any

from transport_engine.channel import Channel
from transport_engine.config import EngineConfig
from transport_engine.endpoint import Endpoint
from transport_engine.engine import RING_BYTES, Engine
from transport_engine.errors import TransportError


class InlineAttachment:
    """A channel and the engine behind it. Thread: one, which also polls `engine`."""

    def __init__(self, engine: Engine, channel_index: int, channel: Channel) -> None:
        self.engine = engine
        self.channel = channel
        self.driver: str = engine.config.driver
        self._channel_index = channel_index

    def __repr__(self) -> str:
        return f"<InlineAttachment {self.engine!r} {self.channel!r}>"

    @property
    def local(self) -> Endpoint:
        """Address of listeners, and port of calls."""
        return self.engine.local

    async def listen(self, port: int) -> int:
        """Accepts flows to a port, 0: a free one; returns it.

        Errors: PortInUseError, NoRoomError.
        """
        return self.engine.listen(self._channel_index, port)

    async def unlisten(self, port: int) -> None:
        """Accepts no more flows to a port."""
        self.engine.unlisten(self._channel_index, port)

    async def connect(self, remote: Endpoint, token: int) -> None:
        """Starts to open a flow; the answer is a record that carries the token.

        Errors: NoRoomError, EngineGoneError.
        """
        self.engine.connect(self._channel_index, remote, token)

    async def stats(self) -> dict[str, int]:
        """The engine's counters."""
        return self.engine.stats()

    async def close(self) -> None:
        """Closes the channel, then the engine, which tells the peers."""
        self.channel.close()
        self.engine.close()


def open_inline(
    config: EngineConfig, ring_bytes: int = RING_BYTES, clock: Any = None
) -> InlineAttachment:
    """Opens an engine for this process alone; `clock` is that of Engine.

    Errors: as Engine.
    """
    engine = Engine(config, clock=clock)
    try:
        channel_index, channel = engine.attach(ring_bytes)
    except TransportError:
        engine.close()
        raise
    return InlineAttachment(engine, channel_index, channel)

"""A channel to an engine and what is asked of that engine, wherever it runs."""

from collections.abc import Callable
from typing import Any

from machnet_rpc._transports.channel_wire import ChannelWire
from machnet_rpc._transports.remains import Remains
from transport_engine.attach import Attachment
from transport_engine.endpoint import Endpoint


class EngineLink(ChannelWire):
    """What links have in common whose engine is one; they differ in how it is driven and left."""

    def __init__(self, attachment: Attachment, *, beside: bool) -> None:
        """`beside`: the engine runs in a process of its own."""
        super().__init__(attachment.channel)
        self.address = str(attachment.local.address)
        self.on_direct: Callable[[Any], None] | None = None
        self._attachment = attachment
        self._remains = Remains(attachment.channel, beside=beside)

    async def listen(self, port: int) -> int:
        bound = await self._attachment.listen(port)
        self._remains.begin(Endpoint(self._attachment.local.address, bound))
        return bound

    async def unlisten(self, port: int) -> None:
        await self._attachment.unlisten(port)

    def left_word(self, flow: int) -> bytes:
        return self._remains.left_word(flow)

    async def connect(self, address: str, token: int) -> None:
        await self._attachment.connect(Endpoint.parse(address), token)

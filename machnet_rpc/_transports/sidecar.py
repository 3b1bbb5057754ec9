"""A channel to the engine process of this machine (`mrpc engine`)."""

from collections.abc import Sequence
from pathlib import Path

from machnet_rpc._protocol.records import Head
from machnet_rpc._transports.base import FOREVER_NS, Transport
from transport_engine.attach import SidecarAttachment, attach
from transport_engine.channel import Channel
from transport_engine.endpoint import Endpoint


class SidecarLink:
    """A link whose engine runs on a core of its own."""

    def __init__(self, attachment: SidecarAttachment) -> None:
        self._attachment = attachment
        self._channel = attachment.channel
        driver = attachment.driver
        self.transport = Transport(f"sidecar+{driver}", driver, bypass=driver == "dpdk")
        self.address = str(attachment.local.address)
        self.engine = attachment.engine

    @classmethod
    async def attach(cls, path: Path | None) -> "SidecarLink":
        """Attaches to the sidecar behind this socket, or the default one.

        Errors: NoEngineError where none answers.
        """
        return cls(await attach(path))

    def filenos(self) -> Sequence[int]:
        return (self._channel.fileno(),)

    def native(self) -> tuple[Channel, None]:
        return self._channel, None

    def work(self) -> int:
        return 0

    def send(self, burst: bytes) -> int:
        return self._channel.send(burst)

    def receive(self) -> Sequence[tuple[Head, bytes]]:
        return self._channel.receive()

    def ring(self) -> None:
        self._channel.ring()

    def arm(self, wake: int) -> int:
        return 0 if self._channel.arm(wake) else FOREVER_NS

    def awake(self) -> None:
        self._channel.awake()

    async def listen(self, port: int) -> int:
        return await self._attachment.listen(port)

    async def connect(self, address: str, token: int) -> None:
        await self._attachment.connect(Endpoint.parse(address), token)

    async def close(self) -> None:
        await self._attachment.close()

"""An engine in this process, driven from the event loop: no second core, no hop, no privilege."""

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from machnet_rpc._protocol.records import Head
from machnet_rpc._transports.base import Transport
from transport_engine.config import EngineConfig
from transport_engine.endpoint import Endpoint
from transport_engine.engine import Engine

POLL_NS: Final = 200_000  # between polls of a netif that cannot wake a sleeper
_ROUTE_PORT: Final = 9  # any port does: nothing is sent to it


class InlineLink:
    """A link that owns its engine; the pump's turns are the engine's polls."""

    def __init__(self, config: EngineConfig, skipped: tuple[tuple[str, str], ...] = ()) -> None:
        self._engine = Engine(config)
        try:
            self._channel_index, self._channel = self._engine.attach()
        except BaseException:
            self._engine.close()
            raise
        driver = config.driver
        self.transport = Transport(f"inline+{driver}", driver, driver == "dpdk", skipped)
        self.address = str(self._engine.local.address)

    @classmethod
    def towards(
        cls, host: str, *, is_local: bool, skipped: tuple[tuple[str, str], ...]
    ) -> "InlineLink":
        """An engine over UDP, bound to `host`, or to the address from which `host` is reached.

        Errors: TransportError.
        """
        local = host if is_local else source_towards(host)
        return cls(EngineConfig(driver="udp", local=Endpoint(ip_address(local), 0)), skipped)

    def filenos(self) -> Sequence[int]:
        return (self._engine.fileno(),)

    def work(self) -> int:
        return self._engine.poll()

    def send(self, burst: bytes) -> int:
        return self._channel.send(burst)

    def receive(self) -> Sequence[tuple[Head, bytes]]:
        return self._channel.receive()

    def ring(self) -> None:
        """The engine does not sleep while the pump turns."""

    def arm(self, wake: int) -> int:  # noqa: ARG002 (room in the ring comes by polling)
        sleep_ns = self._engine.arm()
        return sleep_ns if self._engine.wakes else min(sleep_ns, POLL_NS)

    def awake(self) -> None:
        """Polling quiets the engine's descriptor."""

    async def listen(self, port: int) -> int:
        return self._engine.listen(self._channel_index, port)

    async def connect(self, address: str, token: int) -> None:
        self._engine.connect(self._channel_index, Endpoint.parse(address), token)

    async def close(self) -> None:
        self._channel.close()
        self._engine.close()


def source_towards(host: str) -> str:
    """The local address from which the kernel would send to `host`; sends nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((host, _ROUTE_PORT))
        source: str = probe.getsockname()[0]
    return source

"""An engine in this process, driven from the event loop: no second core, no hop, no privilege."""

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from machnet_rpc import _clock
from machnet_rpc._protocol.records import Head
from machnet_rpc._transports.base import Transport
from machnet_rpc._transports.engine_link import EngineLink
from transport_engine.channel import Channel
from transport_engine.config import EngineConfig
from transport_engine.engine import Engine
from transport_engine.errors import ConfigError, NoEngineError
from transport_engine.inline import open_inline

POLL_NS: Final = 200_000  # between polls of a netif that cannot wake a sleeper
_ANY_PORT: Final = 9  # nothing is sent to it


class InlineLink(EngineLink):
    """A link that owns its engine; the pump's turns are the engine's polls."""

    def __init__(self, config: EngineConfig, skipped: tuple[tuple[str, str], ...] = ()) -> None:
        attachment = open_inline(config, clock=_clock.engine_clock)
        super().__init__(attachment, beside=False)
        self._engine = attachment.engine
        driver = config.driver
        self.transport = Transport(f"inline+{driver}", driver, driver == "dpdk", skipped)

    def filenos(self) -> Sequence[int]:
        return (self._engine.fileno(),)

    def native(self) -> tuple[Channel, Engine]:
        return self._channel, self._engine

    def work(self) -> int:
        return self._engine.poll()

    def untaken(self, *, is_over: bool) -> Sequence[Head]:
        return self._channel.untaken()  # nobody but this process has its engine poll

    def ring(self) -> None:
        """The engine does not sleep while the pump turns."""

    def arm(self, wake: int) -> int:
        sleep_ns = self._engine.arm()
        return sleep_ns if self._engine.wakes else min(sleep_ns, POLL_NS)

    def awake(self) -> None:
        """Polling quiets the engine's descriptor."""

    async def straight(self, address: str, *, again: bool) -> None:
        """Its engine is nobody else's."""

    async def close(self) -> None:
        await self._attachment.close()
        self._remains.end(is_lost=False)


def udp_towards(host: str, *, is_local: bool) -> EngineConfig:
    """An engine over UDP, bound to `host` itself or to the address from which it is reached.

    Errors: ConfigError for an address that other machines reach, because nothing is encrypted yet.
    """
    local = host if is_local else source_towards(host)
    try:
        return EngineConfig(driver="udp", address=ip_address(local))
    except ConfigError:
        raise ConfigError(
            f"{local} can be reached by other machines, and calls are not encrypted yet: accept "
            f'that with via=EngineConfig(address="{local}", security="none"), or run '
            f'`mrpc engine --config FILE` with address = "{local}" and security = "none" under '
            "[engine] in it"
        ) from None


def source_towards(host: str) -> str:
    """The local address from which the kernel would send to `host`; sends nothing.

    Errors: NoEngineError where there is no route.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((host, _ANY_PORT))
            source: str = probe.getsockname()[0]
    except OSError as error:
        raise NoEngineError(
            f"no way leads from this machine to {host}: {error.strerror} (`ip route get {host}`)"
        ) from error
    return source

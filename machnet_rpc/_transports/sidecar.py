"""A channel to the engine process of this machine (`mrpc engine`)."""

from dataclasses import replace
from pathlib import Path

from machnet_rpc._transports.base import Transport
from machnet_rpc._transports.direct import DirectWire
from machnet_rpc._transports.engine_link import EngineLink
from transport_engine.attach import SidecarAttachment, attach
from transport_engine.endpoint import Endpoint
from transport_engine.errors import EngineGoneError, PeerSilentError, TransportError
from transport_engine.pair_end import PairEnd


class SidecarLink(EngineLink):
    """A link whose engine runs on a core of its own."""

    def __init__(self, attachment: SidecarAttachment) -> None:
        super().__init__(attachment, beside=True)
        self._pair = attachment.pair
        driver = attachment.driver
        self.transport = Transport(f"sidecar+{driver}", driver, bypass=driver == "dpdk")
        self.engine = attachment.engine
        self._is_peer_silent = False
        attachment.pairs.on_pair = self._on_pair

    @classmethod
    async def attach(cls, path: Path | None) -> "SidecarLink":
        """Attaches to the sidecar behind this socket, or the default one.

        Errors: NoEngineError where none answers.
        """
        return cls(await attach(path, direct=True))

    async def straight(self, address: str, *, again: bool) -> DirectWire | None:
        if again and self._is_peer_silent:
            return None
        try:
            return DirectWire(await self._pair(Endpoint.parse(address)))
        except EngineGoneError:
            raise
        except TransportError as error:
            self._is_peer_silent = isinstance(error, PeerSilentError)
            self.transport = replace(self.transport, skipped=(("direct", str(error)),))
            return None

    async def close(self) -> None:
        is_lost = self._channel.is_left()
        await self._attachment.close()
        self._remains.end(is_lost=is_lost)

    def _on_pair(self, end: PairEnd) -> None:
        if self.on_direct is None:
            end.close()
        else:
            self.on_direct(DirectWire(end))

"""Chooses the way to the network, from the best that is there, and says why no better one is.

Rungs: a sidecar where its socket answers, else an engine in this process over UDP. Nothing falls
back in silence: `Transport` names the rung and what the higher ones lack.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast

from machnet_rpc._options import checked_spin
from machnet_rpc._transports.base import Link, Transport
from machnet_rpc._transports.inline import InlineLink, udp_towards
from machnet_rpc._transports.memory import MemoryNetwork
from machnet_rpc._transports.sidecar import SidecarLink
from machnet_rpc.errors import InvalidArgument
from transport_engine.config import EngineConfig
from transport_engine.errors import NoEngineError

Via: TypeAlias = MemoryNetwork | EngineConfig | str | Path | None
"""A memory network, the configuration of an engine in this process, the socket of a sidecar; None
tries what is there."""
Require: TypeAlias = Literal["bypass"] | None


SPIN: Final = 200e-6


@dataclass(frozen=True, slots=True)
class Reach:
    """What the user said about the way to the network. Errors: InvalidArgument.

    `spin` is for how long after a message the next one is looked for without sleep, in seconds, at
    most.
    `is_sidecar_only` is for whoever was attached to a sidecar: it waits for the next one, and does
    not go on by a lower rung, whose ports and address are others.
    """

    via: Via = None
    require: Require = None
    spin: float = SPIN
    is_sidecar_only: bool = False

    def __post_init__(self) -> None:
        checked_spin(self.spin)
        via, require = cast(object, self.via), cast(object, self.require)
        if require not in (None, "bypass"):
            raise InvalidArgument(f'require={require!r} is not known: it is "bypass", or nothing')
        if not isinstance(via, MemoryNetwork | EngineConfig | str | os.PathLike | None):
            raise InvalidArgument(
                f"via={via!r} is no way to the network: name the socket of a sidecar, or give an "
                "EngineConfig or a MemoryNetwork"
            )

    def again(self, transport: Transport) -> "Reach":
        """The way back for whoever had this transport and lost it."""
        return replace(self, is_sidecar_only=transport.rung.startswith("sidecar"))


async def link_to(host: str, reach: Reach, *, is_local: bool) -> Link:
    """A link for an application that listens on `host` (`is_local`), or calls it.

    Errors: TransportError; NoEngineError where `require` cannot be had.
    """
    link = await _link(host, reach, is_local=is_local)
    if reach.require == "bypass" and not link.transport.bypass:
        transport = link.transport
        await link.close()
        raise NoEngineError(
            f"require='bypass', but the way to {host} is {transport}. Run `mrpc engine` with a "
            "dpdk driver; `mrpc doctor` says what this machine lacks for it"
        )
    return link


async def _link(host: str, reach: Reach, *, is_local: bool) -> Link:
    via = reach.via
    if isinstance(via, MemoryNetwork):
        return via.attach(host if is_local else "127.0.0.1")
    if isinstance(via, EngineConfig):
        return InlineLink(via)
    if via is not None:
        return await SidecarLink.attach(Path(via))
    try:
        return await SidecarLink.attach(None)
    except NoEngineError as error:
        if reach.is_sidecar_only:
            raise
        skipped = (("sidecar", str(error)),)
    return InlineLink(udp_towards(host, is_local=is_local), skipped)

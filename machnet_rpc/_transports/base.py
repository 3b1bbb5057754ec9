"""What a pump drives: one channel to an engine, wherever that engine runs.

Knows records as bytes. Does not know calls, services or what a pump does with them.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final, Protocol

from machnet_rpc._protocol.records import Head
from transport_engine._native import ffi, lib

READABLE: Final[int] = lib.TE_WAKE_READABLE
WRITABLE: Final[int] = lib.TE_WAKE_WRITABLE
FOREVER_NS: Final = 1 << 62

_PORT_AT: Final[int] = ffi.offsetof("struct te_endpoint", "port")
_REMOTE_AT: Final[int] = ffi.offsetof("struct te_flow_ends", "remote")


@dataclass(frozen=True, slots=True)
class Transport:
    """Which rung of the ladder carries the calls, and why no higher one does.

    `skipped` holds (rung, reason) of the rungs above; `bypass` says that packets pass the kernel.
    """

    rung: str
    driver: str
    bypass: bool = False
    skipped: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        reasons = "; ".join(f"not {rung}: {reason}" for rung, reason in self.skipped)
        return f"{self.rung} ({reasons})" if reasons else self.rung


class Link(Protocol):
    """One channel. Thread: that of the pump.

    Errors: each may raise transport_engine.errors.TransportError; then the link is dead.
    """

    @property
    def transport(self) -> Transport: ...

    @property
    def address(self) -> str:
        """The host on which `listen` listens."""
        ...

    def filenos(self) -> Sequence[int]:
        """Descriptors that become readable after `arm` when there is something to do."""
        ...

    def work(self) -> int:
        """Drives an engine that lives in this process; returns what it moved."""
        ...

    def send(self, burst: bytes) -> int:
        """Offers packed whole records; returns the bytes taken."""
        ...

    def receive(self) -> Sequence[tuple[Head, bytes]]:
        """The records that arrived, at most a burst of them."""
        ...

    def ring(self) -> None:
        """Wakes the engine after a burst of sends or receives."""
        ...

    def arm(self, wake: int) -> int:
        """Prepares to sleep; returns for how many nanoseconds at most, 0: there is work now."""
        ...

    def awake(self) -> None:
        """Quiets the descriptors after one became readable."""
        ...

    async def listen(self, port: int) -> int:
        """Accepts flows to this port; returns it (0 asks for a free one).

        Errors: PortInUseError.
        """
        ...

    async def connect(self, address: str, token: int) -> None:
        """Starts to open a flow; the answer is a record, which carries the token."""
        ...

    async def close(self) -> None: ...


def remote_of(ends: bytes) -> str:
    """The remote "host:port" in a `struct te_flow_ends`."""
    address = IPv6Address(ends[_REMOTE_AT : _REMOTE_AT + lib.TE_ADDRESS_BYTES])
    at = _REMOTE_AT + _PORT_AT
    port = int.from_bytes(ends[at : at + 2], sys.byteorder)
    return f"{address.ipv4_mapped}:{port}" if address.ipv4_mapped else f"[{address}]:{port}"

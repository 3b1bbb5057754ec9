"""What a pump drives: channels, and among them the one to an engine, wherever that engine runs.

Knows records as bytes. Does not know calls, services or what a pump does with them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from machnet_rpc._protocol.records import Head
from transport_engine._native import ffi
from transport_engine.channel import READABLE, WRITABLE, Channel
from transport_engine.endpoint import Endpoint
from transport_engine.engine import Engine

__all__ = [
    "FOREVER_NS",
    "READABLE",
    "WRITABLE",
    "Direct",
    "FlowEnds",
    "Link",
    "Transport",
    "Wire",
]

FOREVER_NS: Final = 1 << 62


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


class Wire(Protocol):
    """One channel: records go in and come out. Thread: that of the pump.

    Errors: each may raise transport_engine.errors.TransportError; then the channel is dead.
    """

    def filenos(self) -> Sequence[int]:
        """Descriptors that become readable after `arm` when there is something to do."""
        ...

    def native(self) -> tuple[Channel, Engine | None] | None:
        """Its channel, and the engine that `work` polls; None: its records are in no channel."""
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

    def untaken(self, *, is_over: bool) -> Sequence[Head]:
        """Requests that the other end has not taken from the ring.

        If the channel `is_over`: only where nobody will take them any more.
        """
        ...

    def last_word(self, flow: int) -> bytes:
        """What the other end had started of a flow (`Starts`), if it left that, and is gone."""
        ...

    def has_acked(self, flow: int, call_id: int) -> bool:
        """Whether the peer's engine is known to have acknowledged all of a request."""
        ...

    def ring(self) -> None:
        """Wakes the other end after a burst of sends or receives."""
        ...

    def arm(self, wake: int) -> int:
        """Prepares to sleep; returns for how many nanoseconds at most, 0: there is work now."""
        ...

    def awake(self) -> None:
        """Quiets the descriptors after one became readable."""
        ...


class Direct(Wire, Protocol):
    """A channel straight to a peer: one connection, which is open."""

    @property
    def transport(self) -> Transport: ...

    @property
    def peer(self) -> str: ...

    @property
    def message_bytes_max(self) -> int: ...

    def close(self) -> None:
        """Lets the peer know that nothing more comes."""
        ...


class Link(Wire, Protocol):
    """The channel to an engine, and what else an application asks of that engine."""

    @property
    def transport(self) -> Transport: ...

    on_direct: Callable[[Any], None] | None
    """Gets the `Direct` of whoever connects straight to here."""

    @property
    def address(self) -> str:
        """The host on which `listen` listens."""
        ...

    async def listen(self, port: int) -> int:
        """Accepts flows to this port; returns it (0 asks for a free one).

        Errors: PortInUseError.
        """
        ...

    async def unlisten(self, port: int) -> None:
        """Accepts no more flows to this port; those that are open stay."""
        ...

    def left_word(self, flow: int) -> bytes:
        """What a server that listened there before, and is dead, had started of a flow (`Starts`).

        `flow` is the number that both ends of it know. Nothing where it is not known.
        """
        ...

    async def connect(self, address: str, token: int) -> None:
        """Starts to open a flow; the answer is a record, which carries the token."""
        ...

    async def straight(self, address: str, *, again: bool) -> Direct | None:
        """A channel straight to whoever listens there; None: `transport` then says why not.

        `again` is for the time after a flow was opened all the same: what was in the way may have
        passed.
        """
        ...

    async def close(self) -> None: ...


class FlowEnds(NamedTuple):
    """What the engine says about a flow when it opens."""

    remote: str  # "host:port"
    message_bytes_max: int
    number: int  # of the flow, which both ends know
    narrow_mtu_bytes: int  # of the longest IP packet, where the way lost longer ones; else 0

    @classmethod
    def read(cls, payload: bytes) -> "FlowEnds":
        """Reads a `struct te_flow_ends`."""
        ends = ffi.from_buffer("struct te_flow_ends *", payload)
        return cls(
            str(Endpoint.from_c(ends.remote)),
            ends.message_bytes_max,
            ends.number,
            ends.narrow_mtu_bytes,
        )

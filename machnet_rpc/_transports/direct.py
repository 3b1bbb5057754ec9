"""A channel straight to another application of this machine, which the sidecar's engine set up."""

from collections.abc import Sequence
from typing import Final

from machnet_rpc._protocol.records import Head
from machnet_rpc._transports.base import FOREVER_NS, Transport
from transport_engine.channel import Channel
from transport_engine.pair_end import PairEnd

DIRECT: Final = Transport("direct", "shm", bypass=True)


class DirectWire:
    """One end of a pair, which carries the calls of one connection.

    Owner: whoever has it closes it; the link that it came by closes what is left.
    """

    def __init__(self, end: PairEnd) -> None:
        self.transport = DIRECT
        self.peer = end.remote
        self.message_bytes_max = end.message_bytes_max
        self._end = end
        self._channel = end.channel

    def __repr__(self) -> str:
        return f"<DirectWire {self._end!r}>"

    def filenos(self) -> Sequence[int]:
        return () if self._channel.closed else (self._channel.fileno(),)

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

    def close(self) -> None:
        """Lets the other side know that nothing more comes. A second call does nothing."""
        self._end.close()

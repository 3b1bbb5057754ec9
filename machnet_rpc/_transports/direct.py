"""A channel straight to another application of this machine, which the sidecar's engine set up."""

from typing import Final

from machnet_rpc._transports.base import Transport
from machnet_rpc._transports.channel_wire import ChannelWire
from transport_engine.pair_end import PairEnd

DIRECT: Final = Transport("direct", "shm", bypass=True)


class DirectWire(ChannelWire):
    """One end of a pair, which carries the calls of one connection.

    Owner: whoever has it closes it; the link that it came by closes what is left.
    """

    def __init__(self, end: PairEnd) -> None:
        super().__init__(end.channel)
        self.transport = DIRECT
        self.peer = end.remote
        self.message_bytes_max = end.message_bytes_max
        self._end = end

    def __repr__(self) -> str:
        return f"<DirectWire {self._end!r}>"

    def last_word(self, flow: int) -> bytes:
        return self._channel.starts(flow, is_own=False) if self._channel.is_left() else b""

    def has_acked(self, flow: int, call_id: int) -> bool:
        return False  # there is no engine between, and the memory is the other side's, too

    def close(self) -> None:
        """Lets the other side know that nothing more comes. A second call does nothing."""
        self._end.close()

"""A channel straight to another application of this machine, which the sidecar's engine set up."""

import select
import time
from collections.abc import Sequence
from typing import Final

from machnet_rpc._protocol.records import Head
from machnet_rpc._transports.base import Transport
from machnet_rpc._transports.channel_wire import ChannelWire
from transport_engine.pair_end import PairEnd

LEAVE_SECONDS_MAX: Final = 0.03
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

    def untaken(self, *, is_over: bool) -> Sequence[Head]:
        if is_over:
            self._await_peer()
        return super().untaken(is_over=is_over)

    def last_word(self, flow: int) -> bytes:
        return self._channel.starts(flow, is_own=False) if self._channel.is_left() else b""

    def close(self) -> None:
        """Lets the other side know that nothing more comes. A second call does nothing."""
        self._end.close()

    def _await_peer(self) -> None:
        """Waits a moment for the peer to leave, who learns of the engine's end as this side does.

        From then on it takes nothing. Calls are under way here, and end now: this is not a call's
        usual way.
        """
        late = time.monotonic() + LEAVE_SECONDS_MAX
        poll = select.poll()
        poll.register(self._channel, 0)  # which is for its end
        while not self._channel.is_left() and (left := late - time.monotonic()) > 0:
            poll.poll(left * 1e3)

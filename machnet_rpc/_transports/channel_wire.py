"""What a pump drives of a channel in shared memory, whoever is at its other end."""

from collections.abc import Sequence

from machnet_rpc._protocol.records import Head
from machnet_rpc._transports.base import FOREVER_NS
from transport_engine.channel import Channel
from transport_engine.engine import Engine


class ChannelWire:
    """One end of a channel. Owner: the channel stays that of whoever attached or paired."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def filenos(self) -> Sequence[int]:
        return () if self._channel.closed else (self._channel.fileno(),)

    def native(self) -> tuple[Channel, Engine | None]:
        return self._channel, None

    def work(self) -> int:
        return 0

    def send(self, burst: bytes) -> int:
        return self._channel.send(burst)

    def receive(self) -> Sequence[tuple[Head, bytes]]:
        return self._channel.receive()

    def untaken(self, *, is_over: bool) -> Sequence[Head]:
        if is_over and not self._channel.is_left():
            return ()
        return self._channel.untaken()

    def last_word(self, flow: int) -> bytes:
        return b""  # at its other end is an engine

    def has_acked(self, flow: int, call_id: int) -> bool:
        return self._channel.has_acked(flow, call_id)

    def ring(self) -> None:
        self._channel.ring()

    def arm(self, wake: int) -> int:
        return 0 if self._channel.arm(wake) else FOREVER_NS

    def awake(self) -> None:
        self._channel.awake()

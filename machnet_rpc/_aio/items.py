"""Items of a stream, awaited: until there is one to take, and until there is credit to send one.

Knows payloads. Does not know codecs, clients and servers.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.stream_table import StreamEnd

Room: TypeAlias = Callable[[Connection], Awaitable[None]]
"""Returns when the connection is not full any more, as `Pump.room` does."""


class CallOver(Exception):
    """The call has ended, so nobody takes items any more."""


class TooLarge(Exception):
    """The peer takes no item of this size; the sentence says so."""


class Signal:
    """Wakes the one who waits for a change; calling it says that there was one."""

    __slots__ = ("_loop", "_waiter")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None

    def __call__(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Errors: RuntimeError if somebody waits already."""
        if self._waiter is not None:
            raise RuntimeError("the stream is used by another task already")
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class ItemReader:
    """Takes what one end of a stream receives."""

    __slots__ = ("_signal", "_stream", "take")

    def __init__(self, stream: StreamEnd) -> None:
        assert stream.receiving is not None
        self.take: Callable[[], bytes | None] = stream.take
        """The next item, if it is there; else `read` waits for it."""
        self._stream = stream
        self._signal = Signal()
        stream.receiving.on_change = self._signal

    async def read(self) -> bytes | None:
        """The next item; None after the last. Errors: CallOver if the call ended before that."""
        stream = self._stream
        receiving = stream.receiving
        assert receiving is not None
        while True:
            payload = self.take()
            if payload is not None:
                return payload
            if receiving.is_done:
                return None
            if stream.is_over:
                raise CallOver
            await self._signal.wait()


class ItemWriter:
    """Sends items as far as credit and room go, and waits for more."""

    __slots__ = ("_connection", "_room", "_signal", "_stream")

    def __init__(self, stream: StreamEnd, room: Room) -> None:
        assert stream.sending is not None
        self._stream = stream
        self._connection = stream.connection
        self._room = room
        self._signal = Signal()
        stream.sending.on_change = self._signal

    async def write(self, payload: bytes | memoryview) -> None:
        """Returns when the item is on its way. Errors: CallOver, TooLarge."""
        stream = self._stream
        sending, connection = stream.sending, self._connection
        assert sending is not None
        if len(payload) > connection.message_bytes_max:
            raise TooLarge(
                f"an item is {len(payload)} bytes, and the peer takes at most "
                f"{connection.message_bytes_max} in a message"
            )
        while True:
            if stream.is_over:
                raise CallOver
            if not sending.may_send:
                await self._signal.wait()
            elif connection.outbox.full:
                await self._room(connection)
            else:
                break
        stream.send(payload)


async def closed(iterator: Any) -> None:
    """Closes what can be closed: generators, and whatever has `aclose`."""
    close = getattr(iterator, "aclose", None)
    if close is not None:
        with contextlib.suppress(StopAsyncIteration):
            await close()


async def all_closed(iterators: list[Any]) -> None:
    """Closes the last of them first, and each, whatever another raises; the list is empty then."""
    try:
        while iterators:
            await closed(iterators.pop())
    finally:
        if iterators:
            await all_closed(iterators)

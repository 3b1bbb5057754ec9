"""A call with streams, as its caller drives it: a task feeds it, and whoever reads it waits.

A call ends once: with the server's reply, or because it was cancelled, left, late, or could not be
fed. Its feed ends with it, and closes what it was fed from.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterable, Callable, Coroutine
from typing import Any, Final, Protocol

from idl import CodecError
from machnet_rpc._aio.items import CallOver, ItemReader, ItemWriter, Room, TooLarge, closed
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.events import Failed, Refused, Replied, apart
from machnet_rpc._protocol.stream_table import OutgoingStream
from machnet_rpc.errors import InvalidArgument, ResourceExhausted, RpcError

Encode = Callable[[object], bytes | memoryview]

TOO_LARGE: Final = "Send less in one item, or raise message_bytes_max in the engines' limits."

log: Final = logging.getLogger("machnet_rpc")
_feeds: Final[set[asyncio.Task[None]]] = set()  # the event loop itself does not hold its tasks


class Opener(Protocol):
    """What a client does for its calls with streams."""

    @property
    def room(self) -> Room: ...

    def open_stream(self) -> Coroutine[Any, Any, OutgoingStream]:
        """Sends the request; from there on it is the stream's."""
        ...

    async def failure(self, answer: Refused | Failed) -> Exception: ...

    def undecoded(self, error: CodecError, stream: OutgoingStream) -> Exception: ...

    def unfed(self, error: RpcError, call: OutgoingCall) -> RpcError:
        """The error of a call that is under way, and that an item cannot be sent for."""
        ...


class StreamCall:
    """One call. `source` is what it sends, if it sends items; `decode` makes what it gives."""

    __slots__ = (
        "_decode",
        "_encode",
        "_error",
        "_feed",
        "_is_closed",
        "_loop",
        "_opener",
        "_reader",
        "_source",
        "_stream",
        "name",
    )

    def __init__(
        self,
        opener: Opener,
        name: str,
        decode: Callable[[bytes], Any],
        source: AsyncIterable[Any] | None = None,
        encode: Encode | None = None,
    ) -> None:
        self.name = name
        self._opener = opener
        self._decode = decode
        self._source = source
        self._encode = encode
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stream: OutgoingStream | None = None
        self._reader: ItemReader | None = None
        self._feed: asyncio.Task[None] | None = None
        self._error: BaseException | None = None  # why it could not be fed
        self._is_closed = False

    async def start(self) -> None:
        """Sends the request, if it was not sent. Errors: RpcError."""
        if self._is_begun:
            return
        try:
            stream = self._stream = await self._opener.open_stream()
        except BaseException:
            self._is_closed = True
            await closed(self._source)
            raise
        if self._is_closed:  # meanwhile, by another task
            self.cancel()
            await closed(self._source)
            return
        if stream.receiving is not None:
            self._reader = ItemReader(stream)
        self._loop = asyncio.get_running_loop()
        if self._source is not None:
            self._feed = self._loop.create_task(self._feeding(stream, self._source))
            _feeds.add(self._feed)
            self._feed.add_done_callback(_feeds.discard)  # apart: nothing comes between in C
            self._feed.add_done_callback(_fed)

    @property
    def _is_begun(self) -> bool:
        """Whether there is nothing to start any more."""
        return self._stream is not None or self._is_closed

    async def next(self) -> Any:
        """The next item. Errors: StopAsyncIteration, RpcError, what the contract declares."""
        if self._stream is None:
            await self.start()
        stream, reader = self._stream, self._reader
        if self._is_closed or stream is None or reader is None:
            raise StopAsyncIteration
        payload = reader.take()
        if payload is None:
            with contextlib.suppress(CallOver):
                payload = await reader.read()
        if payload is None:
            await self._fed()
            await self._raise_failure(stream)
            self._is_closed = True
            raise StopAsyncIteration
        try:
            return self._decode(payload)
        except CodecError as error:
            failure = self._opener.undecoded(error, stream)
            await self.aclose()
            raise failure from None

    async def result(self) -> Any:
        """What a call without items of the server returns."""
        await self.start()
        stream = self._stream
        assert stream is not None
        try:
            await stream.call
        except asyncio.CancelledError:
            self.cancel()
            raise
        except GeneratorExit:
            self.abandon()
            raise
        await self._fed()
        await self._raise_failure(stream)
        assert isinstance(stream.ended, Replied)
        try:
            return self._decode(stream.ended.payload)
        except CodecError as error:
            raise self._opener.undecoded(error, stream) from None

    def cancel(self) -> None:
        """Ends the call, on both sides, if it has not ended."""
        self._is_closed = True
        stream = self._stream
        if stream is not None:
            _cancel(stream)
            if stream.receiving is not None:
                stream.receiving.drop()

    async def aclose(self) -> None:
        """The same; returns when what it was fed from is closed."""
        if self._stream is None and not self._is_closed:
            await closed(self._source)
        self.cancel()
        await self._fed()

    def abandon(self) -> None:
        """The same, from wherever the garbage collector runs."""
        if self._is_closed or self._stream is None or self._stream.is_over:
            return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.cancel)  # not in the midst of anything

    async def _fed(self) -> None:
        """Returns when what it is fed from is closed."""
        if self._feed is not None:
            await asyncio.wait([self._feed])

    async def _raise_failure(self, stream: OutgoingStream) -> None:
        """Raises it once, if there is one; who is cancelled meanwhile gets it the next time."""
        error, self._error = self._error, None  # they would hold each other
        try:
            if error is None and isinstance(stream.ended, Refused | Failed):
                error = await self._opener.failure(stream.ended)
            if error is not None:
                self._is_closed = True
                raise error
        finally:
            del error

    async def _feeding(self, stream: OutgoingStream, source: AsyncIterable[Any]) -> None:
        """Sends all items, then their end. What the source raises ends the call."""
        sending = stream.sending
        assert sending is not None
        assert self._encode is not None
        writer = ItemWriter(stream, self._opener.room)
        changed = sending.on_change
        feed = asyncio.current_task()
        assert feed is not None

        def on_change() -> None:
            if stream.is_over:
                sending.on_change = _nobody
                feed.cancel("the call has ended")
            else:
                changed()

        iterator: AsyncIterable[Any] = source
        try:
            if stream.is_over:
                return
            sending.on_change = on_change
            iterator = aiter(source)
            async for item in iterator:
                await writer.write(self._encode(item))
            stream.finish()
        except CallOver:
            pass
        except CodecError as error:
            wrong = InvalidArgument(f"an item to send: {error}")
            self._error = self._opener.unfed(wrong, stream.call)
        except TooLarge as error:
            large = ResourceExhausted(str(error), next_step=TOO_LARGE)
            self._error = self._opener.unfed(large, stream.call)
        except asyncio.CancelledError:
            if not stream.is_over or feed.uncancel():
                raise  # else it is by `on_change`, and would hold the task, and the call
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            if self._is_closed:  # nobody reads the call any more: the log has it
                raise
            self._error = error
        finally:
            sending.on_change = _nobody
            if not sending.is_ended:
                _cancel(stream)
            await closed(iterator)


def _cancel(stream: OutgoingStream) -> None:
    failed = stream.connection.streams.cancel(stream)
    if failed is not None:
        stream.call.complete(apart(failed))


def _fed(feed: asyncio.Task[None]) -> None:
    error = None if feed.cancelled() else feed.exception()
    if error is not None:
        log.warning("what a call was fed from raised as it was closed", exc_info=error)


def _nobody() -> None:
    """The feed has ended."""

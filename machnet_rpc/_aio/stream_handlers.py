"""What handlers of calls with streams, and of calls without an answer, are driven by.

Each becomes a coroutine for the dispatcher. A handler that answers with a stream is drained as far
as the caller's credit goes, and closed on every way out.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Self, TypeVar, cast

from idl import CodecError
from idl.raised import is_of
from machnet_rpc._aio.items import CallOver, ItemReader, ItemWriter, Room, closed
from machnet_rpc._aio.results import encoded
from machnet_rpc._binding import MethodBinding
from machnet_rpc._protocol.calls import IncomingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.stream_table import IncomingStream
from machnet_rpc._protocol.streams import Window
from machnet_rpc._requests_argument import RequestsArgument
from machnet_rpc.errors import Cancelled, InvalidArgument, ResourceExhausted

T = TypeVar("T")


class RequestItems(Generic[T]):
    """The stream that a handler is given: an async iterator."""

    def __init__(self, stream: IncomingStream, requests: RequestsArgument, bytes_max: int) -> None:
        self._reader = ItemReader(stream)
        self._requests = requests
        self._bytes_max = bytes_max
        self._count = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """The next item. Errors: InvalidArgument, ResourceExhausted, Cancelled."""
        payload = self._reader.take()
        if payload is None:
            try:
                payload = await self._reader.read()
            except CallOver:
                raise Cancelled("the call has ended", executed="maybe") from None
            if payload is None:
                raise StopAsyncIteration
        self._count += 1
        if len(payload) > self._bytes_max:
            raise ResourceExhausted(
                f"{self._name} is {len(payload)} bytes, and the server takes {self._bytes_max}",
                next_step="Send less in one item, or raise Limits.request_bytes.",
            )
        try:
            item: T = self._requests.codec.decode(payload)
        except CodecError as error:
            raise InvalidArgument(f"{self._name}: {error}") from error
        return item

    @property
    def _name(self) -> str:
        """That of the item which was taken last."""
        return f"{self._requests.name}[{self._count - 1}]"


class StreamHandlers:
    """Begins the calls of one server that are not unary."""

    def __init__(self, window: Window, request_bytes: int, reply_bytes: int, room: Room) -> None:
        self._window = window
        self._request_bytes_max = request_bytes
        self._reply_bytes_max = reply_bytes
        self._room = room

    def begin(
        self,
        call: IncomingCall,
        handler: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Coroutine[Any, Any, Any]:
        """The coroutine that answers the call. Errors: whatever the handler raises at once."""
        binding: MethodBinding = call.binding
        connection: Connection = call.connection
        if binding.kind == "oneway":
            connection.accept_oneway(call)
            waiting: Coroutine[Any, Any, Any] = handler(*args, **kwargs)
            return waiting
        requests = binding.requests
        window = None if requests is None else self._window
        stream = connection.streams.accept(call, window, gives=binding.gives_items)
        if requests is not None:
            if args:
                (lone,) = binding.schema.parameters
                kwargs = {lone.name: args[0]}
            items = RequestItems[Any](stream, requests, self._request_bytes_max)
            kwargs = kwargs | {requests.name: items}
            args = ()
        given = handler(*args, **kwargs)
        if binding.gives_items:
            return self._drained(given, stream, binding)
        return self._returned(given, stream, binding)

    async def _returned(
        self, result: Coroutine[Any, Any, Any], stream: IncomingStream, binding: MethodBinding
    ) -> bytes | memoryview:
        return encoded(await result, "result", binding, self._size_max(stream))

    async def _drained(self, items: Any, stream: IncomingStream, binding: MethodBinding) -> bytes:
        writer, size_max = ItemWriter(stream, self._room), self._size_max(stream)
        try:
            async for item in items:
                await writer.write(encoded(item, "item", binding, size_max))
        except CallOver:
            raise Cancelled("nobody takes the items any more") from None
        finally:
            await closed(items)
        return b""

    def _size_max(self, stream: IncomingStream) -> int:
        return min(self._reply_bytes_max, stream.connection.message_bytes_max)


def is_but_cancelled(error: BaseException) -> bool:
    """Whether it says only that its call has ended, by itself or as a task group does."""
    if type(error) in {ExceptionGroup, BaseExceptionGroup}:
        group = cast(BaseExceptionGroup[BaseException], error)
        return all(is_but_cancelled(each) for each in group.exceptions)
    return is_of(error, asyncio.CancelledError) or is_of(error, Cancelled)

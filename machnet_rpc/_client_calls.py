"""The calls of a client that are not unary: with streams, or without an answer.

Knows how a request is made and how an answer becomes a value. Does not know how calls travel.
"""

from collections.abc import AsyncIterable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from idl import CodecError, MethodKind
from machnet_rpc import _clock
from machnet_rpc._aio.belonging import running_loop
from machnet_rpc._aio.flows import FlowKeeper
from machnet_rpc._aio.giving_up import answer_of
from machnet_rpc._aio.items import Room
from machnet_rpc._aio.stream_call import Encode, StreamCall
from machnet_rpc._binding import MethodBinding
from machnet_rpc._calling import Target
from machnet_rpc._metadata import with_metadata
from machnet_rpc._options import CallOptions
from machnet_rpc._outcomes import failure_of, too_large, undecoded, unsent
from machnet_rpc._protocol.calls import HANDLER_STARTED, OutgoingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.events import Failed, Refused
from machnet_rpc._protocol.records import METADATA
from machnet_rpc._protocol.stream_table import OutgoingStream
from machnet_rpc._retries import Retries
from machnet_rpc.errors import InvalidArgument, RpcError
from machnet_rpc.streams import Stream


class Ways(NamedTuple):
    """What a client does for all its calls."""

    keeper: FlowKeeper
    deadline: Callable[[Target | MethodBinding, CallOptions, int], int]
    ready: Callable[[Target | MethodBinding, int, CallOptions], Coroutine[Any, Any, Connection]]
    sent: Callable[..., OutgoingCall | None]
    explained: Callable[
        [Target | MethodBinding, RpcError, OutgoingCall, CallOptions], Coroutine[Any, Any, RpcError]
    ]
    retries: Retries | None


@dataclass(frozen=True, slots=True)
class Again:
    """How a unary call is made once more; `begin_later` and `result_of` are the client's."""

    begin_later: Callable[..., Coroutine[Any, Any, OutgoingCall]]
    result_of: Callable[..., Any]
    binding: MethodBinding
    payload: bytes | memoryview
    options: CallOptions

    async def begin(self, deadline_ns: int, since_ns: int | None) -> OutgoingCall:
        """Errors: RpcError."""
        left = self.options.within((deadline_ns - _clock.monotonic_ns()) / 1e9)
        return await self.begin_later(self.binding, self.payload, left)

    async def end(self, call: OutgoingCall) -> Any:
        """Errors: RpcError, and what the contract declares."""
        return self.result_of(await answer_of(call), self.binding)


@dataclass(slots=True)
class Request:
    """One call to be made."""

    ways: Ways
    target: Target | MethodBinding
    kind: MethodKind
    payload: bytes | memoryview
    options: CallOptions
    errors: dict[str, type[Exception]]
    flags: int = 0

    @property
    def room(self) -> Room:
        pump = self.ways.keeper.pump
        assert pump is not None
        return pump.room

    async def open_stream(self) -> OutgoingStream:
        """Errors: RpcError."""
        call, connection = await self.prepared()
        stream = OutgoingStream(
            call,
            gives=self.kind in ("client_stream", "bidirectional"),
            takes=self.kind in ("server_stream", "bidirectional"),
        )
        stream.reply_metadata = self.options.reply_metadata
        lane = self.target.options.lane
        connection.open_stream(stream, self.payload, _clock.monotonic_ns(), lane, self.flags)
        return stream

    async def notify(self) -> None:
        """Sends a call without an answer. Errors: RpcError."""
        call, connection = await self.prepared()
        lane = self.target.options.lane
        connection.notify(call, self.payload, _clock.monotonic_ns(), lane, self.flags)

    async def failure(self, answer: Refused | Failed) -> Exception:
        address = self.ways.keeper.address
        failure = failure_of(answer, self.target.full_name, self.errors, address)
        if isinstance(failure, RpcError):
            await self.ways.explained(self.target, failure, answer.call, self.options)
        return failure

    def undecoded(self, error: CodecError, stream: OutgoingStream) -> Exception:
        failure = undecoded(error, self.target.full_name, self.ways.keeper.address)
        if stream.reply is None:  # it is an item, and its handler goes on
            failure.stage = HANDLER_STARTED
        return failure

    def unfed(self, error: RpcError, call: OutgoingCall) -> RpcError:
        stage = call.connection.stage_of(call)
        unsent(error, self.target.full_name, self.ways.keeper.address, stage)
        error.executed = call.executed  # its request was sent before its items
        return error

    async def prepared(self) -> tuple[OutgoingCall, Connection]:
        """A call that is to be sent, and where there is room for it. Errors: RpcError."""
        ways, target = self.ways, self.target
        deadline_ns = ways.deadline(target, self.options, _clock.monotonic_ns())
        connection = ways.keeper.connection
        if connection is None or not connection.is_usable or connection.outbox.full:
            connection = await ways.ready(target, deadline_ns, self.options)
        if len(self.payload) > connection.message_bytes_max:
            raise unsent(
                too_large(len(self.payload), connection.message_bytes_max),
                target.full_name,
                ways.keeper.address,
            )
        loop = running_loop()
        if loop is not ways.keeper.loop:
            ways.keeper.check_here()
        call = OutgoingCall(target.method_id, deadline_ns, loop)
        if self.options.priority is not None:
            call.priority = self.options.priority
        return call, connection


def carrying(
    address: str,
    target: Target | MethodBinding,
    metadata: Mapping[str, str | bytes],
    payload: bytes | memoryview,
) -> bytes:
    """A request's payload behind its metadata. Errors: InvalidArgument."""
    try:
        return with_metadata(metadata, payload)
    except CodecError as error:
        raise unsent(InvalidArgument(str(error)), target.full_name, address) from None


def begin(
    ways: Ways,
    binding: MethodBinding,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: CallOptions,
) -> Any:
    """What calling a stub's method gives: a Stream, or a coroutine. Errors: TypeError."""
    source, encode = None, None
    if binding.requests is not None:
        source, args, kwargs = binding.requests.split(args, kwargs)
        encode = binding.requests.codec.encode
        if not hasattr(source, "__aiter__"):
            raise TypeError(
                f"{binding.full_name}: {binding.requests.name} must be an async iterable, "
                f"not {type(source).__name__}"
            )
    address = ways.keeper.address
    try:
        payload = binding.arguments.encode(args, kwargs)
    except CodecError as error:
        raise unsent(InvalidArgument(str(error)), binding.full_name, address) from None
    flags = 0
    if options.metadata:
        payload, flags = carrying(address, binding, options.metadata, payload), METADATA
    request = Request(ways, binding, binding.kind, payload, options, binding.errors, flags)
    return started(request, binding.result.decode, source, encode)


def started(
    request: Request,
    decode: Callable[[bytes], Any],
    source: AsyncIterable[Any] | None,
    encode: Encode | None,
) -> Any:
    """A Stream, or a coroutine, for a call that is to be made."""
    if request.kind == "oneway":
        return request.notify()
    call = StreamCall(request, request.target.full_name, decode, source, encode)
    return call.result() if request.kind == "client_stream" else Stream[Any](call)

"""A client's unary calls that pass middleware, prepared once for each method.

What is not usual (a key, no flow, no room, another deadline than was given, an answer that
fails) goes on as a CarryingCall. Does not know what middleware does.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from machnet_rpc import _clock
from machnet_rpc._aio.flows import FlowKeeper
from machnet_rpc._aio.giving_up import answer_of
from machnet_rpc._binding import MethodBinding
from machnet_rpc._by_name import changed
from machnet_rpc._calling import Target
from machnet_rpc._carrying_calls import CarryingCall
from machnet_rpc._client_calls import Ways, carrying
from machnet_rpc._metadata import fresh_key
from machnet_rpc._options import CallOptions, checked
from machnet_rpc._outcomes import FAILURES, unsent
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.events import Failed, Refused
from machnet_rpc._protocol.records import METADATA
from machnet_rpc.errors import InvalidArgument
from machnet_rpc.middleware import CallInfo, Middleware, Request, chained, in_time, named


class Passing(NamedTuple):
    """What is asked of a client."""

    keeper: FlowKeeper
    middleware: Sequence[Middleware]
    deadline: Callable[[Target | MethodBinding, CallOptions, int], int]
    encoded: Callable[[MethodBinding, tuple[Any, ...], dict[str, Any]], bytes | memoryview]
    sent: Callable[..., OutgoingCall | None]
    result: Callable[[bytes | Refused | Failed, MethodBinding], Any]
    ways: Callable[[], Ways]


class Passage:
    """One method of a client with middleware."""

    __slots__ = ("binding", "client", "is_keyed")

    def __init__(self, client: Passing, binding: MethodBinding) -> None:
        self.client = client
        self.binding = binding
        self.is_keyed: bool = binding.is_keyed

    def __repr__(self) -> str:
        return f"<Passage of {self.binding.full_name}>"

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: CallOptions) -> Any:
        """What is to be awaited for a call. Errors: InvalidArgument, DeadlineExceeded."""
        client, binding = self.client, self.binding
        name, address = binding.full_name, client.keeper.address
        try:
            request = named(binding, args, kwargs)
        except InvalidArgument as error:
            raise unsent(error, name, address) from None
        deadline_ns = client.deadline(binding, options, _clock.monotonic_ns())
        sent = dict(options.metadata) if options.metadata else {}
        back = {} if options.reply_metadata is None else options.reply_metadata
        call = CallInfo("client", name, "unary", address, deadline_ns, sent, back, address)
        if self.is_keyed and options.key is None:  # the same, if `next` is called again
            options = options._replace(key=fresh_key())
        last = PassingCall(self, call, options)
        return in_time(call, last, chained(client.middleware, call, last), request)


class PassingCall:
    """One call: what the innermost middleware is given as `next`."""

    __slots__ = ("_call", "_deadline_ns", "_options", "_passage", "sent")

    def __init__(self, passage: Passage, call: CallInfo, options: CallOptions) -> None:
        self._passage = passage
        self._call = call
        self._options = options
        self._deadline_ns = call.deadline_ns
        self.sent: OutgoingCall | None = None  # ends in time by itself

    async def __call__(self, request: Request) -> Any:
        """Errors: RpcError, and what the contract declares."""
        client, binding = self._passage.client, self._passage.binding
        args, kwargs = _arguments(binding, request)
        payload = client.encoded(binding, args, kwargs)
        sent = self._sent(payload)
        if sent is None:
            carrying = self._carrying(payload)
            self.sent = await carrying.start()
            return await carrying.outcome(self.sent)
        self.sent = sent
        answer = await answer_of(sent)
        if isinstance(answer, FAILURES):
            return await self._carrying(payload).outcome(sent)
        if binding.gives_bytes and type(answer) is bytes:
            return answer
        return client.result(answer, binding)

    def _sent(self, payload: bytes | memoryview) -> OutgoingCall | None:
        """The call on its way; None where there is more to it. Errors: RpcError."""
        call, passage, deadline_ns = self._call, self._passage, self._deadline_ns
        now_ns = _clock.monotonic_ns()
        if passage.is_keyed or not now_ns < deadline_ns == call.deadline_ns:
            return None
        client, binding, flags = passage.client, passage.binding, 0
        if call.metadata:
            given = checked(call.metadata)
            payload, flags = carrying(client.keeper.address, binding, given, payload), METADATA
        priority = self._options.priority
        sent = client.sent(binding, payload, deadline_ns, now_ns, priority, flags)
        if sent is not None:
            sent.connection.reply_metadata[sent.call_id] = call.reply_metadata
        return sent

    def _carrying(self, payload: bytes | memoryview) -> CarryingCall:
        client, binding = self._passage.client, self._passage.binding
        options = changed(self._options, self._call)
        return CarryingCall(client.ways(), binding, payload, options, client.result)


def _arguments(binding: MethodBinding, request: Request) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A request as arguments: by their places where it has them all, in their order."""
    if tuple(request) == binding.names:
        return tuple(request.values()), {}
    return (), request

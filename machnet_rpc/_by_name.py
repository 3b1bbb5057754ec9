"""Calls by name, "service/method" with plain values, and what they share with those by contract.

Does not know contracts.
"""

from collections.abc import AsyncIterable, Sequence
from functools import partial
from typing import Any, Final

from idl import CodecError, MethodKind, unpack
from machnet_rpc import _clock
from machnet_rpc._aio.flows import FlowKeeper
from machnet_rpc._aio.giving_up import answer_of
from machnet_rpc._binding import MethodBinding
from machnet_rpc._calling import NO_REQUEST, Target, plain_payload, split_name
from machnet_rpc._carrying_calls import CarryingCall
from machnet_rpc._client_calls import Request, Ways, carrying, started
from machnet_rpc._method_id import method_id
from machnet_rpc._options import TIMEOUT, CallOptions, MethodOptions, checked
from machnet_rpc._outcomes import FAILURES, failure_of, undecoded, unsent
from machnet_rpc._protocol.events import Failed, Refused
from machnet_rpc._protocol.records import METADATA
from machnet_rpc._retries import Retries
from machnet_rpc._sending import Sending
from machnet_rpc.errors import InvalidArgument, RpcError
from machnet_rpc.middleware import CallInfo, Middleware, called


class NamedCalls(Sending):
    """Calls to one address, with the options and the middleware of a client."""

    def __init__(
        self,
        keeper: FlowKeeper,
        options: CallOptions,
        retries: Retries | None,
        middleware: Sequence[Middleware],
    ) -> None:
        super().__init__(keeper)
        self._options = options
        self._retries = retries
        self._middleware: tuple[Middleware, ...] = tuple(middleware)

    def begin_by_name(
        self, name: str, kind: MethodKind, payload: bytes, items: AsyncIterable[bytes] | None = None
    ) -> Any:
        """Calls "service/method" of a kind that is not unary; all values are encoded already.

        Gives a Stream of the kinds that answer with one, of others what is to be awaited.
        Errors: ContractError.
        """
        target = Target(name, method_id(*split_name(name), kind), _BY_NAME)
        if not self._middleware:
            return self._started(target, kind, payload, items, self._options)

        def inner(given: dict[str, Any], call: CallInfo) -> Any:
            options = changed(self._options, call)
            return self._started(target, kind, given["request"], given.get("items"), options)

        arguments = {"request": payload} | ({} if items is None else {"items": items})
        info = partial(self._info, target, self._options, kind)
        return called(self._middleware, (name, kind), info, arguments, inner)

    def _started(
        self,
        target: Target,
        kind: MethodKind,
        payload: bytes,
        items: AsyncIterable[bytes] | None,
        options: CallOptions,
    ) -> Any:
        ways, flags = self._ways(), 0
        if options.metadata:
            payload, flags = carrying(self.address, target, options.metadata, payload), METADATA
        request = Request(ways, target, kind, payload, options, {}, flags)
        return started(request, _as_it_is, items, _as_it_is)

    def call_by_name(self, name: str, request: object = NO_REQUEST) -> Any:
        """What `Client.call` does for a name."""
        if not self._middleware:
            return self._call(name, request, self._options)

        async def inner(arguments: dict[str, Any], call: CallInfo) -> Any:
            given = arguments.get("request", NO_REQUEST)
            return await self._call(name, given, changed(self._options, call))

        target = Target(name, method_id(*split_name(name)), _BY_NAME)
        arguments = {} if request is NO_REQUEST else {"request": request}
        info = partial(self._info, target, self._options)
        return called(self._middleware, (name, "unary"), info, arguments, inner)

    async def _call(self, name: str, request: object, options: CallOptions) -> Any:
        service, method = split_name(name)
        is_raw = isinstance(request, bytes | bytearray | memoryview)
        try:
            payload = plain_payload(request)
        except CodecError as error:
            raise unsent(InvalidArgument(str(error)), name, self.address) from None
        is_keyed = options.key is not None
        target = Target(name, method_id(service, method), _KEYED if is_keyed else _BY_NAME)
        if options.carries:
            given = CarryingCall(self._ways(), target, payload, options, self._raw_result)
            answer = await given.run()
        else:
            sent = self._begun(target, payload, options)
            call = sent or await self._begun_later(target, payload, options)
            ended = await answer_of(call)
            try:
                answer = self._raw_result(ended, target)
            except RpcError as failure:
                raise await self._ways().explained(target, failure, call, options) from None
        if is_raw:
            return bytes(answer)
        try:
            return unpack(answer) if answer else None
        except CodecError as error:
            raise undecoded(error, name, self.address) from None

    def _raw_result(self, answer: bytes | Refused | Failed, target: Target) -> bytes:
        if isinstance(answer, FAILURES):
            raise failure_of(answer, target.full_name, {}, self.address)
        return answer

    def _ways(self) -> Ways:
        raise NotImplementedError

    def _info(
        self, target: Target | MethodBinding, options: CallOptions, kind: MethodKind = "unary"
    ) -> CallInfo:
        """What middleware is told. Errors: DeadlineExceeded."""
        deadline_ns = self._deadline(target, options, _clock.monotonic_ns())
        sent, back = dict(options.metadata or {}), options.reply_metadata
        sent_back = {} if back is None else back
        is_by_name = isinstance(target, Target)
        at, name = self.address, target.full_name
        return CallInfo(
            "client", name, kind, at, deadline_ns, sent, sent_back, server=at, is_by_name=is_by_name
        )


_BY_NAME: Final = MethodOptions(TIMEOUT)
_KEYED: Final = MethodOptions(TIMEOUT, idempotent="keyed")  # as who gives a key says


def one_request(
    name: str, args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[object, ...]:
    """What a call by name was given: a value, or nothing. Errors: TypeError."""
    if len(args) > 1 or kwargs:
        names = ", ".join(f'"{each}": ...' for each in kwargs or ("key", "value"))
        raise TypeError(
            f'{name} is called by name, which takes one value, as in call("{name}", {{{names}}})'
        )
    return args


def changed(options: CallOptions, call: CallInfo) -> CallOptions:
    """The options of a call once its middleware has seen it. Errors: InvalidArgument."""
    sent = checked(call.metadata) or None
    left, back = call.remaining, call.reply_metadata
    return CallOptions(left, options.wait, options.key, sent, back, options.priority)


def _as_it_is(payload: Any) -> Any:
    return payload

"""Clients: calls over one flow, which is opened again when it dies.

A call waits within its deadline for a flow, for room to send and for its answer, and then ends:
with a result, or with an error that says whether its handler ran.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, ParamSpec, Self, TypeAlias, TypeVar, cast, overload

from idl import CodecError
from machnet_rpc._aio.flows import FlowKeeper, keeper_of
from machnet_rpc._aio.giving_up import give_up
from machnet_rpc._binding import MethodBinding
from machnet_rpc._by_name import NamedCalls, changed, one_request
from machnet_rpc._calling import Target
from machnet_rpc._carrying_calls import CarryingCall, carrying_steps
from machnet_rpc._client_calls import Again, Ways, begin
from machnet_rpc._explaining import Explaining
from machnet_rpc._many import Many, Payload, Steps, tasks_of
from machnet_rpc._options import AS_DECLARED, CallOptions, Metadata, check_keyed
from machnet_rpc._outcomes import unsent
from machnet_rpc._passing_calls import Passage, Passing
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.events import Failed, Refused
from machnet_rpc._protocol.outbox import lasting
from machnet_rpc._retries import RETRIES, Retries, RetryPolicy, may_pass
from machnet_rpc._sending import UsualCalls
from machnet_rpc._stubs import Bindings
from machnet_rpc._transports.base import Transport
from machnet_rpc._transports.ladder import SPIN, Reach, Require, Via
from machnet_rpc.errors import ContractError, InvalidArgument, RpcError
from machnet_rpc.middleware import CallInfo, Middleware, called, checked, named, when_awaited
from machnet_rpc.service import Method
from machnet_rpc.streams import Stream

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = dict[str, Any]

IN_FLIGHT_MAX: Final = 256  # of the calls that `call_many` makes
NOT_OPEN: Final = "the client is not open: `async with connect(...)`, or `with sync.connect(...)`"


class Client(NamedCalls):
    """Calls to the services at one address. Thread: that of its event loop."""

    def __init__(
        self,
        keeper: FlowKeeper,
        options: CallOptions,
        known: Bindings | None = None,
        retries: Retries | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        super().__init__(keeper, options, retries, middleware)
        self._known = known or Bindings(keeper.lent)
        self._explaining = Explaining()
        self._passages: dict[object, Passage] = {}  # by method
        usual = {} if options.carries or middleware else self._known.unary
        self._usual = UsualCalls(keeper, usual, options)
        self._changed = UsualCalls(keeper, usual, None)

    def __repr__(self) -> str:
        return f"<Client of {self._keeper.address} by {self._keeper.connection!r}>"

    @property
    def transport(self) -> Transport:
        """How calls travel, and why not in a better way. Errors: RuntimeError before it is open."""
        if self._keeper.pump is None:
            raise RuntimeError(NOT_OPEN)
        return self._keeper.pump.transport_of(self._keeper.connection)

    def using(
        self,
        *,
        timeout: float | None = None,
        wait: bool | None = None,
        key: str | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
        reply_metadata: Metadata | None = None,
        priority: int | None = None,
    ) -> "Client":
        """The same client with other options for its calls.

        `timeout` in seconds; `wait=False` fails at once where there is no server, rather than
        waiting for one within the timeout; `key` is for one call of a keyed method. `metadata` goes
        with every request; what comes with replies is put into `reply_metadata`. `priority`, from
        0 to 7, says what goes first where messages wait to be sent, in both directions: 0 before
        all others, 4 where nothing is said.
        Errors: InvalidArgument for a timeout, key, priority or metadata that cannot be sent.
        """
        options = self._options.using(timeout, wait, key, metadata, reply_metadata, priority)
        return self._with(options)

    def _with(self, options: CallOptions) -> "Client":
        client = Client(self._keeper, options, self._known, self._retries, self._middleware)
        client._explaining = self._explaining
        return client

    def stub(self, contract: type[T]) -> T:
        """An instance of the contract whose methods call the server.

        Errors: ContractError.
        """
        return cast(T, self._known.stub_of(contract)(self))

    @overload
    async def call(
        self, method: Method[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R: ...
    @overload
    async def call(self, method: str, request: object = ..., /) -> Any: ...
    def call(self, method: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Calls `Contract.method`, or "service/method" with one plain value.

        By name, bytes travel as they are and give bytes; anything else is msgpack both ways.
        Errors: RpcError, and what the contract declares.
        """
        if isinstance(method, str):
            return self.call_by_name(method, *one_request(method, args, kwargs))
        return self.invoke(method, args, kwargs, AS_DECLARED)

    async def invoke(
        self, method: Method[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> Any:
        """What `call` and stubs do: encode, exchange, decode."""
        if options is AS_DECLARED:
            options, usual = self._options, self._usual[method]
        else:
            options = options.over(self._options)
            usual = None if options.carries else self._changed[method]
        if usual is None:
            return await self._unusual(method, args, kwargs, options)
        begin, takes_bytes, gives_bytes, binding = usual
        payload: bytes | memoryview
        if takes_bytes and len(args) == 1 and type(args[0]) is bytes and not kwargs:
            payload = args[0]
        else:
            payload = self._encoded(binding, args, kwargs)
        call = begin(payload) or self._begun(binding, payload, options)
        if call is None:
            call = await self._begun_later(binding, bytes(payload), options)
        try:
            answer: bytes | Refused | Failed = await call
        except (asyncio.CancelledError, GeneratorExit) as reason:
            give_up(call, reason)
            raise
        if isinstance(answer, bytes):
            if gives_bytes:
                return answer
            try:
                return binding.result.decode(answer)
            except CodecError:
                pass  # `outcome` says it in the caller's words
        return await self.outcome(call, binding, payload, options)

    def _unusual(
        self, method: Method[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> Any:
        if method in self._passages:
            return self._passages[method].begin(args, kwargs, options)
        binding = self._known.of(method)
        binding.check_call()
        check_keyed(binding.full_name, options.key, is_keyed=binding.is_keyed)
        if self._middleware:
            return self.begin(method, args, kwargs, options)
        if options.carries or not binding.is_plain:
            return self._begin(binding, args, kwargs, options)
        return self.invoke(method, args, kwargs, options)  # it is bound now

    async def outcome(
        self,
        call: OutgoingCall,
        binding: MethodBinding,
        payload: bytes | memoryview,
        options: CallOptions,
    ) -> Any:
        """What a call that is on its way gives, or has given, or gives when it is made again."""
        try:
            return self._result(await call, binding)
        except RpcError as failure:
            if self._retries is None or not binding.options.idempotent or not may_pass(failure):
                raise await self._explained(binding, failure, call, options) from None
            again = Again(self._begun_later, self._result, binding, payload, options)
            timeout_ns = int((options.timeout or binding.options.timeout) * 1e9)
            try:
                return await self._retries.go_on(failure, call, timeout_ns, again)
            except RpcError as last:
                raise await self._explained(binding, last, call, options) from None

    def send(
        self, binding: MethodBinding, payload: Payload, options: CallOptions
    ) -> Coroutine[Any, Any, Any]:
        """A call whose arguments are encoded. Errors: RpcError, and what is declared."""
        return CarryingCall(self._ways(), binding, payload, options, self._result).run()

    @overload
    async def call_many(
        self,
        method: Method[[T], Coroutine[Any, Any, R]],
        items: Iterable[T],
        *,
        return_exceptions: Literal[False] = False,
        in_flight_max: int = ...,
    ) -> list[R]: ...
    @overload
    async def call_many(
        self,
        method: Method[[T], Coroutine[Any, Any, R]],
        items: Iterable[T],
        *,
        return_exceptions: bool,
        in_flight_max: int = ...,
    ) -> list[R | Exception]: ...
    async def call_many(
        self,
        method: Method[[T], Coroutine[Any, Any, Any]],
        items: Iterable[T],
        *,
        return_exceptions: bool = False,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> list[Any]:
        """Calls a method of one argument for each item; gives the results in the items' order.

        The first exception ends it, cancels what is under way and is raised; with
        `return_exceptions` it stands in its item's place instead. Each call has its own deadline;
        where nobody takes calls, as many as may be in flight wait together.
        Errors: as `call`.
        """
        binding = self._known.of(method)
        if binding.kind != "unary":
            raise ContractError(f"{binding.full_name} is {binding.kind}: call it for each item")
        if self._options.key is not None:
            raise ContractError("a key names one call, and call_many makes many, each with its own")
        if self._middleware:
            calls = (partial(self.invoke, method, (item,), {}, AS_DECLARED) for item in items)
            return await tasks_of(calls, in_flight_max, return_exceptions=return_exceptions)
        is_usual = not (binding.is_keyed or self._options.carries)
        steps = self._steps if is_usual else self._carrying_steps
        many = Many[T](steps(binding), return_exceptions=return_exceptions)
        return await many.run(
            items, lambda item: self._encoded(binding, (item,), {}), in_flight_max
        )

    def stream(
        self, method: Method[P, Stream[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Stream[R]:
        """Calls `Contract.method` of which the answer is a stream, as a stub does."""
        binding = self._known.of(method)
        binding.check_stream()
        given: Stream[R] = self.begin(method, args, kwargs, AS_DECLARED)
        return given

    def begin(
        self, method: Method[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> Any:
        """What `stream` and stubs do for calls that carry something, or are not unary."""
        options = options.over(self._options)
        binding = self._known.of(method)
        check_keyed(binding.full_name, options.key, is_keyed=binding.is_keyed)
        if not self._middleware:
            return self._begin(binding, args, kwargs, options)
        if binding.kind == "unary":
            passage = self._passages.get(method)
            if passage is None:
                passage = self._passages[method] = Passage(self._passing(), binding)
            return when_awaited(passage.begin, args, kwargs, options)
        try:
            request = named(binding, args, kwargs)
        except InvalidArgument as error:
            raise unsent(error, binding.full_name, self.address) from None

        def inner(request: dict[str, Any], call: CallInfo) -> Any:
            return self._begin(binding, (), request, changed(options, call))

        info = partial(self._info, binding, options, binding.kind)
        return called(self._middleware, (binding.full_name, binding.kind), info, request, inner)

    def _passing(self) -> Passing:
        given = self._deadline, self._encoded, self._sent, self._result, self._ways
        return Passing(self._keeper, self._middleware, *given)

    def _ways(self) -> Ways:
        given = self._deadline, self._ready, self._sent, self._explained, self._retries
        return Ways(self._keeper, *given)

    async def _explained(
        self,
        target: Target | MethodBinding,
        failure: RpcError,
        call: OutgoingCall,
        options: CallOptions,
    ) -> RpcError:
        """The failure, saying what the server can be asked about it, which takes no key."""
        keyless = self._options._replace(key=None)
        asking = self if self._options.key is None else self._with(keyless)
        return await self._explaining.explained(asking, target, failure, call, options)

    async def open(self) -> None:
        """Attaches to an engine, within the client's timeout; does not open the flow yet.

        Errors: AddressError, TransportError.
        """
        await self._keeper.attach_within(self._options.timeout)

    async def close(self) -> None:
        """Ends the flow; calls under way fail."""
        await self._keeper.close()

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _begin(
        self, binding: MethodBinding, args: Args, kwargs: Kwargs, options: CallOptions
    ) -> Any:
        if binding.kind == "unary":
            return self._carried(binding, args, kwargs, options)
        return begin(self._ways(), binding, args, kwargs, options)

    async def _carried(
        self, binding: MethodBinding, args: Args, kwargs: Kwargs, options: CallOptions
    ) -> Any:
        return await self.send(binding, self._encoded(binding, args, kwargs), options)

    def _may_repeat(self, binding: MethodBinding) -> bool:
        return self._retries is not None and binding.options.idempotent is not False

    def _encoded(self, binding: MethodBinding, args: Args, kwargs: Kwargs) -> bytes | memoryview:
        """What is sent; and sent again, whatever becomes of the arguments meanwhile."""
        try:
            payload = binding.arguments.encode(args, kwargs)
        except CodecError as error:
            raise unsent(InvalidArgument(str(error)), binding.full_name, self.address) from None
        if type(payload) is not bytes and self._may_repeat(binding):
            return lasting(payload)
        return payload

    def _steps(self, binding: MethodBinding) -> Steps:
        begun, options, may_repeat = self._begun, self._options, self._may_repeat(binding)

        def begin_now(payload: Payload) -> tuple[OutgoingCall, Payload] | None:
            call = begun(binding, payload, options)
            return None if call is None else (call, payload if may_repeat else b"")

        async def begin(payload: Payload, waited_ns: int) -> tuple[OutgoingCall, Payload]:
            payload = bytes(payload)
            left = options.after(waited_ns, binding.options.timeout)
            return await self._begun_later(binding, payload, left), payload

        async def outcome(call: OutgoingCall, payload: Payload) -> Any:
            return await self.outcome(call, binding, payload, options)

        return Steps(begin_now, begin, lambda answer: self._result(answer, binding), outcome)

    def _carrying_steps(self, binding: MethodBinding) -> Steps:
        options = self._options._replace(reply_metadata=None)  # nobody could tell whose it is
        return carrying_steps(self._ways(), binding, options, self._result)


def connect(
    address: str,
    *,
    via: Via = None,
    require: Require = None,
    timeout: float | None = None,
    wait: bool = True,
    spin: float = SPIN,
    retries: RetryPolicy | None = RETRIES,
    middleware: Sequence[Middleware] = (),
) -> Client:
    """Makes a client of the services at "host:port", to be entered by `async with`.

    `via` chooses the way (a sidecar's socket, an EngineConfig for an engine in this process, a
    MemoryNetwork); by default the best that is there. `require="bypass"` fails unless packets pass
    the kernel. `timeout` (seconds) replaces that of methods; `wait=False` fails calls at once
    where there is no server. `spin` is what latency costs: for so many seconds after a message the
    client looks for the next one without sleep, less where that is mostly in vain; with 0 it sleeps
    at once. `retries` says how often calls of idempotent methods are made again that failed; None:
    not at all. `middleware` stands around every call, its first the outermost. Errors:
    AddressError, InvalidArgument, ContractError for middleware that is none.
    """
    keeper = keeper_of(address, Reach(via, require, spin))
    again = None if retries is None else Retries(retries)
    options = AS_DECLARED.using(timeout, wait, None, None, None, None)
    return Client(keeper, options, retries=again, middleware=checked(middleware))

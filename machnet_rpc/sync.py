"""The client for scripts, notebooks and hot loops: calls that return results, without `await`.

The thread that calls looks for the answer itself, for a while, and then sleeps until it comes.
Calls, errors, deadlines and reconnects are those of the asyncio client.
"""

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from time import monotonic
from types import TracebackType
from typing import Any, Final, Generic, ParamSpec, Self, TypeVar, overload

from idl import CodecError
from machnet_rpc import client as asynchronous
from machnet_rpc._aio.exchange import Exchange
from machnet_rpc._aio.flows import keeper_of
from machnet_rpc._blocking import Blocking, ClientClosed
from machnet_rpc._blocking_contract import BlockingContract, Items
from machnet_rpc._blocking_contract import BlockingStream as Stream
from machnet_rpc._blocking_streams import Sender, StreamMethod
from machnet_rpc._options import CallOptions, checked_priority
from machnet_rpc._outcomes import failure_of, unsent
from machnet_rpc._protocol.calls import LOCAL_RING, OutgoingCall
from machnet_rpc._protocol.events import Failed, Refused
from machnet_rpc._protocol.records import USUAL_PRIORITY
from machnet_rpc._retries import RETRIES, Retries, RetryPolicy
from machnet_rpc._stubs import Bindings
from machnet_rpc._transports.base import Transport
from machnet_rpc._transports.ladder import SPIN, Reach, Require, Via
from machnet_rpc.client import IN_FLIGHT_MAX
from machnet_rpc.errors import ContractError, DeadlineExceeded, InvalidArgument, Unavailable
from machnet_rpc.service import Method, MethodBinding, methods_of
from machnet_rpc.streams import Stream as AsyncStream

__all__ = [
    "BlockingContract",
    "BlockingMethod",
    "Client",
    "Items",
    "Sender",
    "Stream",
    "StreamMethod",
    "Stub",
    "connect",
]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
B = TypeVar("B", bound=BlockingContract)

_PLAIN_KINDS: Final = ("unary", "oneway")  # of methods without streams


class BlockingMethod(Generic[P, R_co]):
    """A method to call, by a stub or from `Client.method`: call it, or say how with `using`."""

    __slots__ = (
        "_binding",
        "_blocking",
        "_exchange",
        "_gives_bytes",
        "_how",
        "_is_plain",
        "_method",
        "_options",
        "_takes_bytes",
    )

    def __init__(
        self,
        blocking: Blocking,
        method: Method[P, Coroutine[Any, Any, R_co]],
        binding: MethodBinding,
        options: CallOptions,
    ) -> None:
        timeout = binding.options.timeout if options.timeout is None else options.timeout
        self._blocking = blocking
        self._method = method
        self._binding = binding
        self._options = options
        self._how = Exchange(
            binding.method_id,
            int(timeout * 1e9),
            binding.options.lane,
            USUAL_PRIORITY if options.priority is None else options.priority,
            blocking.loop,
            int(blocking.spin * 1e9),
        )
        self._takes_bytes = binding.takes_bytes
        self._gives_bytes = binding.gives_bytes
        self._is_plain = binding.is_plain and timeout > 0
        caller = blocking.caller(self._how) if self._is_plain else None
        self._exchange = _later if caller is None else caller.exchange

    def __repr__(self) -> str:
        return f"<{self._binding.full_name} at {self._blocking.client.address}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Errors: RpcError, and what the contract declares."""
        payload: bytes | memoryview
        if self._takes_bytes and len(args) == 1 and type(args[0]) is bytes and not kwargs:
            payload = args[0]
        else:
            payload = self._encoded(args, kwargs)
        answer: Any = self._exchange(payload)
        if answer.__class__ is not bytes:
            answer = self._not_at_once(answer, payload, args, kwargs)
        elif not self._gives_bytes:
            answer = self._decoded(answer, args, kwargs)
        result: R_co = answer
        return result

    @property
    def quick(self) -> "BlockingMethod[P, R_co]":
        """This method, past Python where that can be."""
        if not (self._is_plain and self._takes_bytes):
            return self
        kinds = True, self._gives_bytes
        quick: BlockingMethod[P, R_co] | None
        quick = self._blocking.caller(self._how, self, self._given, *kinds)
        return quick or self

    def using(
        self,
        *,
        timeout: float | None = None,
        wait: bool | None = None,
        key: str | None = None,
        priority: int | None = None,
    ) -> "BlockingMethod[P, R_co]":
        """The same method with other options; see BoundMethod.using.

        Errors: ContractError, InvalidArgument.
        """
        if key is not None and not self._binding.is_keyed:
            raise ContractError(f'{self._binding.full_name} is not idempotent="keyed": no key')
        options = CallOptions(timeout, wait, key, priority=checked_priority(priority))
        options = options.over(self._options)
        return BlockingMethod(self._blocking, self._method, self._binding, options).quick

    def _given(self, payload: bytes, answer: bytes | OutgoingCall | None) -> Any:
        """The result, where a call of bytes was not answered by bytes that are it."""
        if type(answer) is bytes:
            return self._decoded(answer, (payload,), {})
        return self._not_at_once(answer, payload, (payload,), {})

    def _encoded(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes | memoryview:
        try:
            return self._binding.arguments.encode(args, kwargs)
        except CodecError as error:
            problem = InvalidArgument(str(error))
            raise unsent(problem, self._binding.full_name, self._blocking.client.address) from None

    def _decoded(self, answer: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return self._binding.result.decode(answer)
        except CodecError:  # the asyncio client finds out why
            call = self._blocking.ended_call(answer, self._how)
            return self._outcome(call, args, kwargs)

    def _outcome(self, call: OutgoingCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        client, binding = self._blocking.client, self._binding
        sent = binding, self._encoded(args, kwargs), self._options
        try:
            return self._blocking.run(None, client.outcome, call, *sent)
        except ClientClosed:  # meanwhile, by another thread, which ended the call
            answer = call.result()
        if isinstance(answer, Refused | Failed):
            raise failure_of(answer, binding.full_name, binding.errors, client.address)
        return binding.result.decode(answer)

    def _not_at_once(
        self,
        answer: bytes | OutgoingCall | None,
        payload: bytes | memoryview,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """What another is inside for, failed, was long under way, or waits for a flow or room."""
        if answer is None and self._is_plain:
            answer = self._blocking.exchange(payload, self._how)
        if type(answer) is bytes:
            return answer if self._gives_bytes else self._decoded(answer, args, kwargs)
        if isinstance(answer, OutgoingCall):
            return self._outcome(answer, args, kwargs)
        client, name, seconds = (
            self._blocking.client,
            self._binding.full_name,
            self._how.timeout_ns / 1e9,
        )
        late = monotonic() + seconds

        async def invoke() -> Any:
            left = replace(self._options, timeout=late - monotonic())
            return await client.invoke(self._method, args, kwargs, left)

        return _run(self._blocking, name, seconds, invoke)


class Stub:
    """A contract's methods, called, without types; see `BlockingContract` for those."""

    def __getattr__(self, name: str) -> BlockingMethod[..., Any]:
        raise AttributeError(f"{self!r} has no method {name}")


class Client:
    """Calls to the services at one address.

    Thread: any; calls of several threads wait for each other, so give each its own client.
    """

    def __init__(
        self, blocking: Blocking, options: CallOptions, bindings: Bindings | None = None
    ) -> None:
        self._blocking = blocking
        self._options = options
        self._bindings = bindings or Bindings(blocking.lent)

    def __repr__(self) -> str:
        return f"<blocking {self._blocking.client!r}>"

    @property
    def address(self) -> str:
        """The "host:port" that it calls."""
        return self._blocking.client.address

    @property
    def transport(self) -> Transport:
        """How calls travel, and why not in a better way. Errors: RuntimeError before it is open."""
        return self._blocking.client.transport

    def using(
        self,
        *,
        timeout: float | None = None,
        wait: bool | None = None,
        priority: int | None = None,
    ) -> "Client":
        """The same client with other options for its calls; see machnet_rpc.Client.using.

        Errors: InvalidArgument.
        """
        options = CallOptions(timeout, wait, priority=checked_priority(priority))
        options = options.over(self._options)
        return Client(self._blocking, options, self._bindings)

    @overload
    def stub(self, contract: type[B]) -> B: ...  # type: ignore[overload-overlap]
    @overload
    def stub(self, contract: type[object]) -> Stub: ...
    def stub(self, contract: type[Any]) -> Any:
        """What has a contract's methods, and calls the server.

        Type checkers know its methods if the contract is mixed with BlockingContract. Errors:
        ContractError.
        """
        bases = contract if issubclass(contract, BlockingContract) else Stub
        namespace = {"__repr__": lambda _: f"<{contract.__name__} at {self.address}>"}
        stub = type(f"{contract.__name__}Stub", (bases,), namespace)()
        for name in methods_of(contract):
            setattr(stub, name, self.method(getattr(contract, name)))
        return stub

    @overload
    def method(self, method: Method[P, Coroutine[Any, Any, R]]) -> BlockingMethod[P, R]: ...
    @overload
    def method(self, method: Method[P, AsyncStream[R]]) -> StreamMethod[P, Stream[R]]: ...
    def method(self, method: Any) -> Any:
        """`Contract.method`, to be called many times. Errors: ContractError."""
        binding = self._bindings.of(method)
        if binding.kind in _PLAIN_KINDS:
            return BlockingMethod(self._blocking, method, binding, self._options).quick
        return StreamMethod(self._blocking, method, binding, self._options)

    def stream(
        self, method: Method[P, AsyncStream[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Stream[R]:
        """Calls `Contract.method` of which the answer is a stream, as a stub does."""
        return self.method(method)(*args, **kwargs)

    @overload
    def call(
        self, method: Method[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R: ...
    @overload
    def call(self, method: str, request: object = ..., /) -> Any: ...
    def call(self, method: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Calls `Contract.method`, or "service/method"; see machnet_rpc.Client.call.

        Errors: RpcError, and what the contract declares.
        """
        if not isinstance(method, str):
            return self.method(method)(*args, **kwargs)
        client = self._asynchronous()
        return _run(self._blocking, method, self._options.timeout, client.call, method, *args)

    def call_many(
        self,
        method: Method[[T], Coroutine[Any, Any, R]],
        items: Iterable[T],
        *,
        return_exceptions: bool = False,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> list[R | Exception]:
        """Calls a method of one argument for each item; see machnet_rpc.Client.call_many."""
        client = self._asynchronous()

        async def every() -> list[R | Exception]:
            return await client.call_many(
                method, items, return_exceptions=return_exceptions, in_flight_max=in_flight_max
            )

        results: list[R | Exception] = _run(self._blocking, method.full_name, None, every)
        return results

    def open(self) -> None:
        """Attaches to an engine, and does not wait for the flow.

        Errors: AddressError, TransportError.
        """
        self._blocking.open()

    def close(self) -> None:
        """Ends the flow. A second call does nothing."""
        self._blocking.close()

    def _asynchronous(self) -> asynchronous.Client:
        options, client = self._options, self._blocking.client
        return client.using(timeout=options.timeout, wait=options.wait, priority=options.priority)

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def connect(
    address: str,
    *,
    via: Via = None,
    require: Require = None,
    timeout: float | None = None,
    wait: bool = True,
    spin: float = SPIN,
    retries: RetryPolicy | None = RETRIES,
) -> Client:
    """Makes a client of the services at "host:port", to be entered by `with`.

    The arguments are those of machnet_rpc.connect; `spin` is for how many seconds a call looks for
    its answer without sleep. Errors: AddressError.
    """
    options = CallOptions(timeout, wait)
    keeper = keeper_of(address, Reach(via, require, spin))
    again = None if retries is None else Retries(retries)
    client = asynchronous.Client(keeper, options, retries=again)
    return Client(Blocking(keeper, client, spin), options)


def _later(payload: bytes | memoryview) -> None:
    """For calls that nothing makes past the loop."""


def _run(
    blocking: Blocking,
    name: str,
    seconds: float | None,
    function: Callable[..., Coroutine[Any, Any, T]],
    *args: Any,
) -> T:
    try:
        return blocking.run(seconds, function, *args)
    except ClientClosed:
        closed = Unavailable("the client is closed", next_step="Make calls before it closes.")
        raise unsent(closed, name, blocking.client.address, "connecting") from None
    except TimeoutError as busy:
        late = DeadlineExceeded(str(busy), next_step="Give each thread a client of its own.")
        raise unsent(late, name, blocking.client.address, LOCAL_RING) from None

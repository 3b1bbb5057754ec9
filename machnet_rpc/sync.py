"""The client for scripts, notebooks and hot loops: calls that return results, without `await`.

The thread that calls looks for the answer itself, for a while, and then sleeps until it comes.
Calls, errors, deadlines and reconnects are those of the asyncio client.
"""

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Final, Literal, ParamSpec, Self, TypeVar, overload

from machnet_rpc import client as asynchronous
from machnet_rpc._aio.flows import keeper_of
from machnet_rpc._blocking import Blocking
from machnet_rpc._blocking_calls import BlockingMethod, blocking_method, run
from machnet_rpc._blocking_contract import BlockingContract, Items
from machnet_rpc._blocking_contract import BlockingStream as Stream
from machnet_rpc._blocking_sending import Sender
from machnet_rpc._blocking_streams import StreamMethod
from machnet_rpc._by_name import one_request
from machnet_rpc._options import AS_DECLARED, TIMEOUT, CallOptions, Metadata
from machnet_rpc._retries import RETRIES, Retries, RetryPolicy
from machnet_rpc._stubs import Bindings
from machnet_rpc._transports.base import Transport
from machnet_rpc._transports.ladder import SPIN, Reach, Require, Via
from machnet_rpc.client import IN_FLIGHT_MAX
from machnet_rpc.middleware import Middleware, checked
from machnet_rpc.service import Method, contract_of, methods_of
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
T = TypeVar("T")
B = TypeVar("B", bound=BlockingContract)

_PLAIN_KINDS: Final = ("unary", "oneway")  # of methods without streams


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
        key: str | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
        reply_metadata: Metadata | None = None,
        priority: int | None = None,
    ) -> "Client":
        """The same client with other options for its calls; see machnet_rpc.Client.using.

        Errors: InvalidArgument.
        """
        options = self._options.using(timeout, wait, key, metadata, reply_metadata, priority)
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
        contract_of(contract)
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
            return blocking_method(self._blocking, method, binding, self._options)
        return StreamMethod(self._blocking, method, binding, self._options)

    def stream(
        self, method: Method[P, AsyncStream[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Stream[R]:
        """Calls `Contract.method` of which the answer is a stream, as a stub does."""
        self._bindings.of(method).check_stream()
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
            self._bindings.of(method).check_call()
            return self.method(method)(*args, **kwargs)
        request = one_request(method, args, kwargs)
        seconds = TIMEOUT if self._options.timeout is None else self._options.timeout
        late = monotonic() + seconds

        async def made() -> Any:
            client = self._asynchronous().using(timeout=late - monotonic())
            return await client.call(method, *request)

        return run(self._blocking, method, seconds, made)

    @overload
    def call_many(
        self,
        method: Method[[T], Coroutine[Any, Any, R]],
        items: Iterable[T],
        *,
        return_exceptions: Literal[False] = False,
        in_flight_max: int = ...,
    ) -> list[R]: ...
    @overload
    def call_many(
        self,
        method: Method[[T], Coroutine[Any, Any, R]],
        items: Iterable[T],
        *,
        return_exceptions: bool,
        in_flight_max: int = ...,
    ) -> list[R | Exception]: ...
    def call_many(
        self,
        method: Method[[T], Coroutine[Any, Any, Any]],
        items: Iterable[T],
        *,
        return_exceptions: bool = False,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> list[Any]:
        """Calls a method of one argument for each item; see machnet_rpc.Client.call_many."""
        client, timeout = self._asynchronous(), self._options.timeout
        declared = self._bindings.of(method).options.timeout
        seconds = declared if timeout is None else timeout

        async def every() -> list[Any]:
            return await client.call_many(
                method, items, return_exceptions=return_exceptions, in_flight_max=in_flight_max
            )

        return run(self._blocking, method.full_name, seconds, every)

    def open(self) -> None:
        """Attaches to an engine, and does not wait for the flow.

        Errors: AddressError, TransportError.
        """
        timeout = self._options.timeout
        self._blocking.open(TIMEOUT if timeout is None else timeout)

    def close(self) -> None:
        """Ends the flow. A second call does nothing."""
        self._blocking.close()

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _asynchronous(self) -> asynchronous.Client:
        """The asyncio client with the options of this one."""
        options = self._options
        return self._blocking.client.using(
            timeout=options.timeout,
            wait=options.wait,
            key=options.key,
            metadata=options.metadata,
            reply_metadata=options.reply_metadata,
            priority=options.priority,
        )


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
    """Makes a client of the services at "host:port", to be entered by `with`.

    The arguments are those of machnet_rpc.connect; `spin` is for how many seconds a call looks for
    its answer without sleep. Middleware is `async` here too: it runs within the calls, on a loop
    that they have for themselves. Errors: as machnet_rpc.connect.
    """
    options = AS_DECLARED.using(timeout, wait, None, None, None, None)
    middleware = checked(middleware)
    keeper = keeper_of(address, Reach(via, require, spin))
    again = None if retries is None else Retries(retries)
    client = asynchronous.Client(keeper, options, retries=again, middleware=middleware)
    return Client(Blocking(keeper, client, spin, has_middleware=bool(middleware)), options)

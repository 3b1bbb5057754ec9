"""Services made of functions: `kv = Service("kv")`, then `@kv.rpc` on each.

The functions are the contract and the implementation at once. `serve(kv, ...)` serves them,
`client.call(get, ...)` calls one by the name it has here, and `get(...)` is the function.
"""

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, Unpack, overload

from idl.schema import signature_of
from machnet_rpc._options import TIMEOUT, Idempotent, MethodOptions, checked_errors
from machnet_rpc.errors import ContractError
from machnet_rpc.service import Method, checked_function, service
from machnet_rpc.streams import Stream

if TYPE_CHECKING:
    from machnet_rpc.client import Client
    from machnet_rpc.testing import ClientOptions

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class FunctionMethod(Method[P, R_co]):
    """A function that is served. To call it is to call the function, here: nothing travels."""

    def __init__(self, function: Callable[..., Any], options: MethodOptions) -> None:
        super().__init__(_as_method(function), options)
        self._plain = function

    @overload
    def __call__(
        self: "FunctionMethod[P, Coroutine[Any, Any, R]]", *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(
        self: "FunctionMethod[P, Stream[R]]", *args: P.args, **kwargs: P.kwargs
    ) -> AsyncIterator[R]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._plain(*args, **kwargs)


class FunctionDecorator(Protocol):
    """What `kv.rpc(...)` gives: it makes a method of a function."""

    @overload
    def __call__(
        self, function: Callable[P, Awaitable[R]], /
    ) -> FunctionMethod[P, Coroutine[object, None, R]]: ...
    @overload
    def __call__(
        self, function: Callable[P, AsyncIterator[R]], /
    ) -> FunctionMethod[P, Stream[R]]: ...


class Service:
    """A service whose methods are functions. Serve it, or `client.call` what `rpc` made.

    Errors: ContractError for a name that cannot be one.
    """

    def __init__(
        self, name: str, *, version: int = 1, errors: Sequence[type[Exception]] = ()
    ) -> None:
        declare = service(name, version=version, errors=errors)
        self.name = name
        self.contract: type = declare(type(name, (), {}))
        self._desk: type = type(f"{name} of functions", (self.contract,), {})

    def __repr__(self) -> str:
        return f"<Service {self.name}>"

    @property
    def implementation(self) -> object:
        """What a server serves."""
        return self._desk()

    @overload
    def rpc(
        self, function: Callable[P, Awaitable[R]], /
    ) -> FunctionMethod[P, Coroutine[object, None, R]]: ...
    @overload
    def rpc(self, function: Callable[P, AsyncIterator[R]], /) -> FunctionMethod[P, Stream[R]]: ...
    @overload
    def rpc(
        self,
        /,
        *,
        timeout: float = TIMEOUT,
        idempotent: Idempotent = False,
        oneway: bool = False,
        lane: int = 0,
        errors: Sequence[type[Exception]] = (),
    ) -> FunctionDecorator: ...
    def rpc(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        timeout: float = TIMEOUT,
        idempotent: Idempotent = False,
        oneway: bool = False,
        lane: int = 0,
        errors: Sequence[type[Exception]] = (),
    ) -> Any:
        """Adds a function. Options are those of `machnet_rpc.rpc`.

        Errors: ContractError for a second function of one name, and for what is no function.
        """
        options = MethodOptions(timeout, idempotent, lane, checked_errors(errors), oneway)

        def add(function: Callable[..., Any]) -> FunctionMethod[..., Any]:
            name = checked_function(function).__name__
            return self._add(name, FunctionMethod(function, options))

        return add if function is None else add(function)

    def test_client(
        self, **options: "Unpack[ClientOptions]"
    ) -> "AbstractAsyncContextManager[Client]":
        """A client of this service in one process, with faults: `machnet_rpc.testing.test_client`.

        async with kv.test_client(drop=0.01, seed=7) as client: ...
        """
        from machnet_rpc import testing  # it needs servers, which need this

        return testing.test_client(self, **options)

    def _add(self, name: str, method: FunctionMethod[..., Any]) -> FunctionMethod[..., Any]:
        if hasattr(self.contract, name):
            raise ContractError(f"{self.name}/{name} is there already")
        for kind in (self.contract, self._desk):
            setattr(kind, name, method)
        method.__set_name__(self.contract, name)
        return method


def _as_method(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a first argument that it is not given."""

    async def awaited(_: object, /, *args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    def drained(_: object, /, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    is_awaited = inspect.iscoroutinefunction(function)
    method = functools.wraps(function)(awaited if is_awaited else drained)
    signature = signature_of(function)
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    parameters = [first, *signature.parameters.values()]
    setattr(  # noqa: B010 (functions have no such attribute for type checkers)
        method, "__signature__", signature.replace(parameters=parameters)
    )
    return method

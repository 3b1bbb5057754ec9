"""Contracts: plain classes whose decorated methods are what can be called remotely.

A contract's methods have no body of their own (`raise NotImplementedError`). An implementation
subclasses the contract and overrides them, with `@rpc` again, so that type checkers compare the
two signatures; a server compares them once more when it is built.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import (
    Any,
    Concatenate,
    Final,
    Generic,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    cast,
    get_args,
    overload,
)

from idl import ArgumentsCodec, MethodKind, ResultCodec, SchemaError, method_schema
from idl.generics import types_of
from machnet_rpc._binding import MethodBinding
from machnet_rpc._blocking_contract import BlockingCall, BlockingContract, BlockingStream
from machnet_rpc._method_id import method_id
from machnet_rpc._options import (
    AS_DECLARED,
    TIMEOUT,
    CallOptions,
    Idempotent,
    MethodOptions,
    check_keyed,
    checked_errors,
    is_whole,
)
from machnet_rpc._requests_argument import requests_of
from machnet_rpc.errors import ContractError
from machnet_rpc.streams import Stream

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
C = TypeVar("C")

KINDS: Final[tuple[MethodKind, ...]] = get_args(MethodKind)
NAME_CHARACTERS_MAX: Final = 200  # of a service
DECORATORS_MAX: Final = 100  # of a function

Begin: TypeAlias = Callable[["Method[..., Any]", tuple[Any, ...], dict[str, Any], CallOptions], Any]
"""Begins a call of a method: gives something to await, or a Stream."""


class StubLike(Protocol):
    """An instance of a contract that calls instead of doing."""

    __rpc_call__: Begin


class BoundMethod(Generic[P, R_co]):
    """`stub.method`: call it, or say how with `using` first.

    R is what a call gives: something to await, or a Stream.
    """

    __slots__ = ("_begin", "_method", "_options")

    def __init__(
        self, method: "Method[P, R_co]", begin: Begin, options: CallOptions = AS_DECLARED
    ) -> None:
        self._method = method
        self._begin = begin
        self._options = options

    def __repr__(self) -> str:
        return f"<{self._method.full_name} of {getattr(self._begin, '__self__', self._begin)!r}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        given: R_co = self._begin(self._method, args, kwargs, self._options)
        return given

    def using(
        self,
        *,
        timeout: float | None = None,
        wait: bool | None = None,
        key: str | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
        reply_metadata: dict[str, str | bytes] | None = None,
        priority: int | None = None,
    ) -> "BoundMethod[P, R_co]":
        """The same method with other options: seconds, and whether to wait for a server.

        `key` names one call of a keyed method. `metadata` goes with the request; what comes with
        the reply is put into `reply_metadata`. `priority` is from 0, which goes before all others,
        to 7; without it 4. Errors: ContractError for a key of a method that is not keyed;
        InvalidArgument for a timeout, key, priority or metadata that cannot be sent.
        """
        is_keyed = self._method.options.idempotent == "keyed"
        check_keyed(self._method.full_name, key, is_keyed=is_keyed)
        options = self._options.using(timeout, wait, key, metadata, reply_metadata, priority)
        return BoundMethod(self._method, self._begin, options)


class Method(Generic[P, R_co]):
    """A contract's method: `Contract.method` names it, `stub.method(...)` calls it."""

    def __init__(
        self, function: Callable[Concatenate[Any, P], R_co], options: MethodOptions
    ) -> None:
        self.function = function
        self.options = options
        self.name: str = function.__name__
        self.contract: type | None = None
        self._owner: type | None = None  # whose type variables the hints have
        self._bindings: dict[tuple[Declared, str], MethodBinding] = {}
        self.__doc__ = function.__doc__
        self.__name__: str = function.__name__
        self.__wrapped__ = function

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.contract = owner
        self._owner = self._owner or owner

    def __repr__(self) -> str:
        return f"<rpc {self.full_name}>"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(
        self: "Method[P, Coroutine[Any, Any, R]]", instance: BlockingContract, owner: type
    ) -> BlockingCall[P, R]: ...
    @overload
    def __get__(
        self: "Method[P, Stream[R]]", instance: BlockingContract, owner: type
    ) -> BlockingCall[P, BlockingStream[R]]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> BoundMethod[P, R_co]: ...
    def __get__(self, instance: object | None, owner: type) -> object:
        if instance is None:
            return self
        if hasattr(instance, "__rpc_call__"):
            bound = BoundMethod(self, cast(StubLike, instance).__rpc_call__)
            vars(instance)[self.name] = bound  # found there from now on, without coming by here
            return bound
        return self.function.__get__(instance, owner)

    def of(self, contract: type) -> "Method[P, R_co]":
        """The same as a method of that contract, which inherits it."""
        own = Method(self.function, self.options)
        own._owner = self._owner
        own.__set_name__(contract, self.name)
        return own

    def bound(self, declared: "Declared", name: str) -> "MethodBinding":
        """It as a method of that service: compiled once for all servers and clients.

        Errors: ContractError.
        """
        key = (declared, name)
        if key not in self._bindings:
            self._bindings[key] = _bind(declared, name, self)
        return self._bindings[key]

    @property
    def types(self) -> dict[Any, Any]:
        """What the type variables of a generic contract stand for."""
        return types_of(self.contract, self._owner) if self.contract and self._owner else {}

    @property
    def full_name(self) -> str:
        """How people write it: service/method."""
        declared = getattr(self.contract, "__dict__", {}).get("__rpc_service__")
        owner = declared.name if declared else getattr(self.contract, "__name__", "?")
        return f"{owner}/{self.name}"


@dataclass(frozen=True, slots=True)
class Declared:
    """What `@service` noted about a contract."""

    name: str
    version: int
    errors: tuple[type[Exception], ...]


def service(
    name: str, *, version: int = 1, errors: Sequence[type[Exception]] = ()
) -> Callable[[type[C]], type[C]]:
    """Declares a class to be the contract of the service `name`.

    `errors` are exceptions that any of its methods may raise; they arrive as what they are. One
    that is derived from them is another, to be declared as well.
    """
    is_text = isinstance(cast(object, name), str) and name.isprintable() and "/" not in name
    if not is_text or not 1 <= len(name) <= NAME_CHARACTERS_MAX:
        raise ContractError(
            f'{name!r} cannot name a service, as in @service("Name"): it must be text of 1 to '
            f"{NAME_CHARACTERS_MAX} characters without '/'"
        )

    if not is_whole(version):
        raise ContractError(f"version={version!r} of {name} must be a whole number")

    def declare(contract: type[C]) -> type[C]:
        given: Any = contract
        if not isinstance(given, type):
            raise ContractError(f"@service stands on a class, and {given!r} is none")
        declared = Declared(name, version, checked_errors(errors))
        setattr(contract, "__rpc_service__", declared)  # noqa: B010 (a type has no such attribute)
        for method in _methods_in(contract.__mro__).values():
            if method.name not in vars(contract):  # another contract may inherit it, too
                setattr(contract, method.name, method.of(contract))
        return contract

    return declare


class Decorator(Protocol):
    """What `rpc(...)` gives: it makes a Method of a function that is awaited, or of a stream."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Awaitable[R]], /
    ) -> Method[P, Coroutine[object, None, R]]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], AsyncIterator[R]], /
    ) -> Method[P, Stream[R]]: ...


@overload
def rpc(
    function: Callable[Concatenate[Any, P], Awaitable[R]], /
) -> Method[P, Coroutine[object, None, R]]: ...
@overload
def rpc(function: Callable[Concatenate[Any, P], AsyncIterator[R]], /) -> Method[P, Stream[R]]: ...
@overload
def rpc(
    *,
    timeout: float = TIMEOUT,
    idempotent: Idempotent = False,
    oneway: bool = False,
    lane: int = 0,
    errors: Sequence[type[Exception]] = (),
) -> Decorator: ...
def rpc(
    function: Callable[..., Any] | None = None,
    /,
    *,
    timeout: float = TIMEOUT,
    idempotent: Idempotent = False,
    oneway: bool = False,
    lane: int = 0,
    errors: Sequence[type[Exception]] = (),
) -> Any:
    """Makes a method callable remotely; also marks the method that implements it.

    `timeout` (seconds) is for callers that set none. `idempotent` says that a call may be executed
    again, "keyed" that it may be sent again and is executed once for its key. A call that is
    `oneway` has no answer: it is done when it was sent, and what its handler raises is in the
    server's log. Calls of a `lane` other than 0 are delivered in the order in which they were made.
    `errors` are exceptions of this method, beside those of its service.
    """
    options = MethodOptions(timeout, idempotent, lane, checked_errors(errors), oneway)
    if function is not None:
        return Method(checked_function(function), options)

    def mark(function: Callable[..., Any]) -> Method[..., Any]:
        return Method(checked_function(function), options)

    return mark


def checked_function(given: Any) -> Callable[..., Any]:
    """What a method is made of. Errors: ContractError."""
    if isinstance(given, Method):
        raise ContractError(f"{given!r} is a method already: decorate a function, and once")
    if not (inspect.isroutine(given) and hasattr(given, "__name__")):
        raise ContractError(  # a partial is a routine since Python 3.14, and has no name
            f"{given!r} is no function: write `async def` around it; and options by their names, "
            "as in rpc(timeout=1.0)"
        )
    function: Callable[..., Any] = given
    return function


@dataclass(frozen=True, slots=True)
class Contract:
    """A service with its methods resolved, by name."""

    name: str
    version: int
    methods: dict[str, MethodBinding]
    declaring: type


def contract_of(declaring: type) -> type:
    """The class that `@service` stands on: the given one, or the one that it implements.

    Errors: ContractError.
    """
    given: Any = declaring
    if not isinstance(given, type):
        raise ContractError(f"{given!r} is no class: name the contract, as in client.stub(Shop)")
    for base in declaring.__mro__:
        if "__rpc_service__" in vars(base):
            return base
    raise ContractError(
        f"{declaring.__name__} is no service: decorate its contract with @service(name), and let "
        "the implementation subclass the contract"
    )


def resolve(declaring: type) -> Contract:
    """Reads a contract's hints and compiles its codecs, unless that was done.

    Errors: ContractError.
    """
    contract = contract_of(declaring)
    declared: Declared = vars(contract)["__rpc_service__"]
    methods = {name: each.bound(declared, name) for name, each in methods_of(contract).items()}
    return Contract(declared.name, declared.version, methods, contract)


def methods_of(contract: type) -> dict[str, Method[..., Any]]:
    """The methods of a contract and of its bases, by name. Errors: ContractError."""
    methods = _methods_in(contract.__mro__)
    if not methods:
        raise ContractError(f"{contract.__name__} has no method: decorate them with @rpc")
    return methods


def _methods_in(classes: Sequence[type]) -> dict[str, Method[..., Any]]:
    methods: dict[str, Method[..., Any]] = {}
    for each in reversed(classes):
        for name, method in vars(each).items():
            if isinstance(method, Method):
                methods[name] = cast(Method[..., Any], method)
            elif wraps_method(method):
                raise ContractError(
                    f"{each.__name__}.{name} has a decorator above @rpc: put @rpc on top"
                )
    return methods


def wraps_method(function: object) -> bool:
    """Whether a decorator made this of a method."""
    wrapped: object = function if callable(function) else None
    for _ in range(DECORATORS_MAX):
        wrapped = getattr(wrapped, "__wrapped__", None)
        if wrapped is None or isinstance(wrapped, Method):
            break
    return isinstance(wrapped, Method)


def _bind(declared: Declared, name: str, method: Method[..., Any]) -> MethodBinding:
    full_name = f"{declared.name}/{name}"
    errors = (*declared.errors, *method.options.errors)
    by_name = {error.__name__: error for error in errors}
    if len(by_name) != len(set(errors)):
        raise ContractError(f"{full_name}: two of its errors have the same name")
    try:
        schema = method_schema(method.function, full_name, method.types)
        arguments, result = ArgumentsCodec(schema), ResultCodec(schema)
        taken = [each.annotation for each in schema.parameters]
        requests = requests_of(schema, method.function)
    except SchemaError as error:
        raise ContractError(str(error)) from error
    kind: MethodKind = schema.kind
    if method.options.oneway:
        if kind != "unary" or schema.result not in (None, type(None)):
            raise ContractError(f"{full_name} is oneway, so it must return None, and no stream")
        kind = "oneway"
    if method.options.idempotent == "keyed" and kind != "unary":
        raise ContractError(f"{full_name} is keyed, so it must be unary, not {kind}")
    return MethodBinding(
        full_name,
        method_id(declared.name, name, kind),
        schema,
        method.options,
        arguments,
        result,
        taken == [bytes],
        schema.result is bytes,
        kind == "unary" and taken == [memoryview],
        kind == "unary" and schema.result is memoryview,
        by_name,
        kind,
        requests,
        method.contract,
    )

"""Middleware: what stands around calls, of one shape for clients, servers and all kinds of calls.

A middleware is `async def each(call, request, next)`: it returns `await next(request)`, or
something else, or raises. `request` are the arguments by their names, a stream among them as an
async iterator; what `next` gives is the result, or an async iterator where the answer is a stream.
The first of several is the outermost. Around a keyed method a server's runs once for each
execution: what repeats a key is answered without. Where there is none, calls pass none of this.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import CoroutineType, coroutine
from typing import Any, Final, Literal, Protocol, TypeAlias

from idl import MethodKind
from machnet_rpc import _clock
from machnet_rpc._aio.items import all_closed
from machnet_rpc._aio.sources import Sources
from machnet_rpc._binding import MethodBinding
from machnet_rpc._options import Metadata
from machnet_rpc._protocol.connection import NO_DEADLINE_NS
from machnet_rpc.errors import ContractError, DeadlineExceeded, Internal, InvalidArgument
from machnet_rpc.streams import Stream

Request: TypeAlias = dict[str, Any]
"""A call's arguments, by their names."""

Next: TypeAlias = Callable[[Request], Awaitable[Any]]
"""The rest of the way: the other middleware, then the call itself."""

GIVE_ITEMS: Final = ("server_stream", "bidirectional")
TAKE_ITEMS: Final = ("client_stream", "bidirectional")
CALL_SECONDS: Final = 0.02  # for the call itself to end at its deadline: it knows how far it came


@dataclass(slots=True)
class CallInfo:
    """The call that a middleware stands around.

    `metadata` is what the request carries: a client's middleware may add to it. `reply_metadata` is
    what the reply carries: a server's middleware may add to it, a client's finds it there after
    `next`, and after the last item of a stream.
    """

    side: Literal["client", "server"]
    method: str
    kind: MethodKind
    peer: str
    deadline_ns: int  # on time.monotonic_ns
    metadata: Metadata = field(default_factory=dict[str, str | bytes])
    reply_metadata: Metadata = field(default_factory=dict[str, str | bytes])
    server: str = ""  # its "host:port": at a client the one that is called, at a server its own
    is_by_name: bool = False  # a client calls "service/method", of which no contract says anything

    @property
    def remaining(self) -> float | None:
        """Seconds until the call's deadline, not below 0; None if it has none."""
        if self.deadline_ns == NO_DEADLINE_NS:
            return None
        return _clock.seconds_until(self.deadline_ns)


Middleware: TypeAlias = Callable[[CallInfo, Request, Next], Awaitable[Any]]


def checked(middleware: Sequence[Middleware]) -> Sequence[Middleware]:
    """What an application gives as middleware. Errors: ContractError."""
    given: Any = middleware
    for each in given if isinstance(given, list | tuple) else [given]:
        if given is each or not callable(each) or isinstance(each, type):
            raise ContractError(
                f"middleware={each!r} is none: give a list of what takes (call, request, following)"
            )
    return tuple(middleware)


def named(binding: MethodBinding, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
    """The arguments by their names. Errors: InvalidArgument."""
    if not args:
        return kwargs
    names = binding.names
    if len(args) > len(names):
        raise InvalidArgument(f"{len(args)} arguments are given, and there are {len(names)}")
    request = dict(zip(names, args, strict=False))
    if not kwargs:
        return request
    twice = request.keys() & kwargs.keys()
    if twice:
        raise InvalidArgument(f"{', '.join(sorted(twice))} is given twice")
    return request | kwargs


def called(
    middleware: Sequence[Middleware],
    target: tuple[str, MethodKind],
    info: Callable[[], CallInfo],
    request: Request,
    begin: Callable[..., Any],
) -> Any:
    """What calling a method of a kind gives on a client's side: a Stream, or a coroutine.

    `info` is asked when the call begins, from when its time counts. `begin(request, call)` gives
    either for the call itself.
    """
    name, kind = target
    sources = Sources(request if kind in TAKE_ITEMS else {})
    if kind in GIVE_ITEMS:
        return Stream[Any](_Reading(middleware, name, info, request, begin, sources))

    async def passed() -> Any:
        try:
            call = info()

            async def last(changed: Request) -> Any:
                return await sources.begun(begin, changed, call)

            return await in_time(call, None, chained(middleware, call, last), request)
        finally:
            await sources.left()

    return passed()


class _Reading:
    """A call of a client that gives items, through its middleware."""

    def __init__(
        self,
        middleware: Sequence[Middleware],
        name: str,
        info: Callable[[], CallInfo],
        request: Request,
        begin: Callable[..., Any],
        sources: Sources,
    ) -> None:
        self.name = name
        self._middleware = middleware
        self._info = info
        self._request = request
        self._begin = begin
        self._sources = sources
        self._opened: list[Any] = []  # the call's stream, and what middleware made of it
        self._items: Any = None
        self._is_closed = False

    async def start(self) -> None:
        if self._is_begun:
            return
        try:
            call = self._info()
            way = chained(self._middleware, call, partial(self._last, call), self._opened)
            items = aiter(await in_time(call, None, way, self._request))
        except StopAsyncIteration as error:  # which would look like an answer without items
            await self.aclose()
            raise RuntimeError(f"middleware of {self.name} raised {error!r}") from error
        except BaseException:
            await self.aclose()
            raise
        self._items = items
        if self._is_closed:  # meanwhile, by another task
            await self.aclose()

    @property
    def _is_begun(self) -> bool:
        """Whether there is nothing to start any more."""
        return self._is_closed or self._items is not None

    async def next(self) -> Any:
        await self.start()
        if self._items is None:
            raise StopAsyncIteration
        try:
            return await anext(self._items)
        except Exception:  # the last item's end among them
            await self.aclose()
            raise

    async def aclose(self) -> None:
        self._is_closed = True
        self._opened.append(self._items)
        self._items = None
        try:
            await all_closed(self._opened)
        finally:
            await self._sources.left()

    def abandon(self) -> None:
        """Nothing to do: the streams below are abandoned with this."""

    async def _last(self, call: CallInfo, request: Request) -> Any:
        stream: Stream[Any] = self._sources.begun(self._begin, request, call)
        self._opened.append(stream)
        return await stream.__aenter__()


class Own(Protocol):
    """Who makes the call that middleware stands around."""

    @property
    def sent(self) -> object:
        """The call itself once it is on its way, which ends in time without anybody's help."""
        ...


def chained(
    middleware: Sequence[Middleware], call: CallInfo, last: Next, opened: list[Any] | None = None
) -> Next:
    """All of the way, the first middleware being the outermost; `opened` is told what gives items.

    Whoever leaves a generator leaves those that it reads to the garbage collector, which closes
    them in a task and a context of its own; so they are noted, the innermost first.
    """
    step = last
    if call.kind in GIVE_ITEMS:
        for each in reversed(middleware):
            step = partial(_items_of, each, call, step, opened)
        return step
    for each in reversed(middleware):
        step = _step(each, call, step)
    return step


def _step(each: Middleware, call: CallInfo, following: Next) -> Next:
    return lambda request: each(call, request, following)


@coroutine
def in_time(
    call: CallInfo, own: Own | None, way: Next, request: Request
) -> Generator[Any, Any, Any]:
    """What the way gives for the request, within the call's time.

    A clock is set once it waits for something else than its own call. Nothing is begun before it is
    awaited, which who is cancelled may never do.
    Errors: DeadlineExceeded; Internal for what was not awaited.
    """
    given = way(request)
    begun = given if type(given) is CoroutineType else awaited(given)
    try:
        waited = begun.send(None)
        while own is not None and waited is own.sent and waited is not None:
            try:
                yield waited
            except BaseException as error:  # noqa: BLE001 (it is the coroutine's)
                waited = begun.throw(error)
            else:
                waited = begun.send(None)
    except StopIteration as end:
        return _given_back(call, end.value)
    rest = yield from _limited(call, _rest(waited, begun)).__await__()
    return _given_back(call, rest)


def _given_back(call: CallInfo, value: Any) -> Any:
    """What middleware gives as a result. Errors: Internal where that was not awaited."""
    if type(value) is CoroutineType:
        value.close()
        raise Internal(
            f"{call.method}: its middleware gave a coroutine, and no result",
            next_step="Await it: `return await following(request)`.",
        )
    return value


@coroutine
def _rest(waited: object, begun: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """What is left of a coroutine that waits for something."""
    try:
        while True:
            try:
                yield waited
            except BaseException as error:  # noqa: BLE001 (it is the coroutine's)
                waited = begun.throw(error)
            else:
                waited = begun.send(None)
    except StopIteration as end:
        return end.value


async def when_awaited(begin: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """A coroutine that begins when it is awaited."""
    return await begin(*args)


async def awaited(given: Awaitable[Any]) -> Any:
    """A coroutine of its own, of which a task can be made."""
    return await given


async def _items_of(
    each: Middleware, call: CallInfo, following: Next, opened: list[Any] | None, request: Request
) -> Any:
    """Errors: Internal where items are missing, and whatever the middleware raises."""
    given = _given_back(call, await each(call, request, following))
    if not hasattr(given, "__aiter__"):
        name = getattr(each, "__qualname__", repr(each))
        raise Internal(
            f"{call.method}: the middleware {name} gave {type(given).__name__}, and no items",
            next_step="Return what `following` gives, or an async iterator.",
        )
    if opened is not None and (not opened or opened[-1] is not given):
        opened.append(given)
    return given


async def _limited(call: CallInfo, given: Awaitable[Any]) -> Any:
    left = call.remaining
    if left is None:
        return await given
    loop, limit = asyncio.get_running_loop(), asyncio.timeout(None)
    late = loop.call_later(left, _on_late, limit, loop)
    try:
        async with limit:
            return await given
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded(
            "the call's time was over, within its middleware",
            method=call.method,
            peer=call.peer,
            next_step="Give it a longer timeout, or find out what holds the middleware up.",
        ) from None
    finally:
        late.cancel()
        del limit  # what was raised has this frame, and it has the task


def _on_late(limit: asyncio.Timeout, loop: asyncio.AbstractEventLoop) -> None:
    """Ends it from now on, so that a loop that was held up ends the call first."""
    limit.reschedule(loop.time() + CALL_SECONDS)

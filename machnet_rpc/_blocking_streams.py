"""Streams of the blocking client: items that are asked for one by one, and those that are sent.

The asyncio client's streams, of which each step runs on the private loop. What a call sends comes
from an iterator, which is asked between two steps, where no loop runs: so it may itself call.
Does not know codecs, and how calls travel.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping
from time import monotonic
from typing import Any, Final, Generic, ParamSpec, TypeVar

from machnet_rpc import streams
from machnet_rpc._blocking import LEAVE_SECONDS, Blocking, ClientClosed
from machnet_rpc._blocking_contract import BlockingStream
from machnet_rpc._options import CallOptions, Metadata
from machnet_rpc._outcomes import unsent
from machnet_rpc._protocol.calls import CONNECTING, SENT
from machnet_rpc.errors import Cancelled, ContractError, Unavailable
from machnet_rpc.service import Method, MethodBinding

P = ParamSpec("P")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)

BATCH_SECONDS: Final = 0.001  # that an iterator is asked for more before what it gave is sent
_MORE: Final = object()  # in the place of an item: what is to be sent has room


class _Pipe(streams.Sender[T]):
    """What a call takes its items from."""

    @property
    def is_over(self) -> bool:
        return self._is_closed or self._is_left

    @property
    def free(self) -> int:
        return self._room - len(self._items)

    async def change_for_room(self) -> None:
        """Returns when there is room, or nothing more is taken."""
        while not self.is_over and self.free <= 0:
            await self._change()


class Sender(Generic[T]):
    """A stream to send by hand: pass it to a call that answers with a stream, then `send` into it.

    Holds at most `room` items that the call has not taken. For type checkers it is what the
    contract's method takes.
    """

    def __init__(self, room: int = streams.ROOM) -> None:
        self.pipe: _Pipe[T] = _Pipe(room)
        self._blocking: Blocking | None = None

    def __repr__(self) -> str:
        return f"<blocking {self.pipe!r}>"

    def send(self, item: T) -> None:
        """Hands over one item; waits while `room` others wait.

        Errors: Cancelled once the call has ended, whose own result says why; RuntimeError after
        `close`, and where no call takes what is waiting.
        """
        if self._blocking is None:
            if self.pipe.free <= 0:
                raise RuntimeError("nobody takes these items: pass the sender to a call first")
            _driven(self.pipe.send(item))
        else:
            self._blocking.run(None, self._sent, item)

    def close(self) -> None:
        """Says that no more items follow; what the call gives goes on."""
        if self._blocking is None or self.pipe.is_over:
            self.pipe.close()
        else:
            self._blocking.run(None, self._closed)

    def join(self, blocking: Blocking) -> None:
        """For the call that takes the items. Errors: RuntimeError for a second one."""
        if self._blocking is not None:
            raise RuntimeError("another call takes these items already")
        self._blocking = blocking

    async def _sent(self, item: T) -> None:
        await self.pipe.send(item)
        await _passed_on()

    async def _closed(self) -> None:
        self.pipe.close()
        await _passed_on()

    # What type checkers see where a contract takes an async iterator.

    def __aiter__(self) -> "Sender[T]":
        return self

    async def __anext__(self) -> T:
        raise TypeError("a blocking Sender is for calls of a blocking client")


class _Feed:
    """Moves items from an iterator to a pipe, a few at a time."""

    def __init__(self, blocking: Blocking, source: Iterable[Any]) -> None:
        self.pipe = _Pipe[Any]()
        self._blocking = blocking
        self._source = iter(source)

    @property
    def is_over(self) -> bool:
        return self.pipe.is_over

    def give(self) -> None:
        """Asks for as many items as there is room for. Errors: what the iterator raises."""
        items: list[Any] = []
        late = monotonic() + BATCH_SECONDS
        end: Exception | None = None
        while len(items) < max(self.pipe.free, 1) and end is None and monotonic() < late:
            try:
                items.append(next(self._source))
            except Exception as error:  # noqa: BLE001 (what came before it goes first)
                end = error
        with contextlib.suppress(Cancelled):  # nobody takes them: the call's own end says why
            self._blocking.run(None, self._given, items, isinstance(end, StopIteration))
        if end is not None and not isinstance(end, StopIteration):
            raise end

    def close(self) -> None:
        """For the call: it takes no more items. Errors: what the iterator raises."""
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    async def _given(self, items: list[Any], is_last: bool) -> None:
        for item in items:
            await self.pipe.send(item)
        if is_last:
            self.pipe.close()
        await _passed_on()


class _Reading:
    """One call that gives a stream."""

    def __init__(
        self, blocking: Blocking, name: str, stream: streams.Stream[Any], feed: _Feed | None
    ) -> None:
        self.name = name
        self._blocking = blocking
        self._stream = stream
        self._feed = feed
        self._asked: asyncio.Task[tuple[bool, Any]] | None = None
        self._is_begun = False
        self._is_over = False

    def start(self) -> None:
        """Sends the request, if it was not sent. Errors: RpcError."""
        _run(self._blocking, self.name, self._stream.__aenter__)
        self._is_begun = True

    def next(self) -> Any:
        """The next item. Errors: StopIteration, RpcError, what the contract declares."""
        if self._is_over:
            raise StopIteration
        try:
            answer = self._asked_once()
            while answer is _MORE:
                self._give()
                answer = self._asked_once()
        except Exception:
            self._end()
            raise
        is_item, item = answer
        if is_item:
            return item
        self._end()
        raise StopIteration

    def close(self) -> None:
        """Ends the call, on both sides, if it has not ended."""
        if not self._is_over:
            with contextlib.suppress(ClientClosed):  # which ended it
                self._blocking.run(None, self._left)
            self._end()

    def abandon(self) -> None:
        """The same where that can be done now; else when the loop runs again."""
        if self._is_over:
            return
        self._is_over = True
        self._blocking.run_sometime(self._left)

    def _asked_once(self) -> Any:
        was_begun, self._is_begun = self._is_begun, True
        return _run(self._blocking, self.name, self._step, was_begun=was_begun)

    def _end(self) -> None:
        self._is_over = True
        if self._feed is not None:
            self._feed.close()

    def _give(self) -> None:
        assert self._feed is not None
        try:
            self._feed.give()
        except BaseException:
            self.close()
            raise

    async def _step(self) -> object:
        """The next item, asked for once; or _MORE."""
        asked = self._asked
        if asked is None:
            asked = self._asked = asyncio.get_running_loop().create_task(_next(self._stream))
            asked.add_done_callback(lambda task: task.cancelled() or task.exception())
        feed = self._feed
        if feed is None or feed.is_over:
            await asyncio.wait([asked])
        else:
            room = asyncio.get_running_loop().create_task(feed.pipe.change_for_room())
            try:
                await asyncio.wait([asked, room], return_when=asyncio.FIRST_COMPLETED)
            finally:
                room.cancel()
            if not asked.done() and not feed.is_over:
                return _MORE
            await asyncio.wait([asked])
        self._asked = None
        return asked.result()

    async def _left(self) -> None:
        if self._asked is not None:
            self._asked.cancel()
            await asyncio.wait([self._asked], timeout=LEAVE_SECONDS)
            self._asked = None
        await self._stream.aclose()


class StreamMethod(Generic[P, R_co]):
    """A method with streams to call, by a stub or from `Client.method`."""

    __slots__ = ("_binding", "_blocking", "_method", "_options")

    def __init__(
        self,
        blocking: Blocking,
        method: Method[..., Any],
        binding: MethodBinding,
        options: CallOptions,
    ) -> None:
        self._blocking = blocking
        self._method = method
        self._binding = binding
        self._options = options

    def __repr__(self) -> str:
        return f"<{self._binding.full_name} at {self._blocking.client.address}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Gives a BlockingStream; of a method that is sent items only, its result.

        Errors: RpcError, and what the contract declares.
        """
        source: Any = None
        others: tuple[Any, ...] = args
        named: dict[str, Any] = kwargs
        if self._binding.requests is not None:
            source, others, named = self._binding.requests.split(args, kwargs)
        call = self._streamed if self._binding.gives_items else self._uploaded
        result: R_co = call(source, others, named)
        return result

    def using(
        self,
        *,
        timeout: float | None = None,
        wait: bool | None = None,
        key: str | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
        reply_metadata: Metadata | None = None,
        priority: int | None = None,
    ) -> "StreamMethod[P, R_co]":
        """The same method with other options; see BoundMethod.using.

        Errors: ContractError, InvalidArgument.
        """
        if key is not None:
            raise ContractError(f"{self._binding.full_name} is a stream: no key")
        options = self._options.using(timeout, wait, key, metadata, reply_metadata, priority)
        return StreamMethod(self._blocking, self._method, self._binding, options)

    def _streamed(self, source: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        feed: _Feed | None = None
        pipe: AsyncIterable[Any] | None = None
        if isinstance(source, Sender):
            source.join(self._blocking)
            pipe = source.pipe
        elif self._binding.requests is not None:
            feed = _Feed(self._blocking, self._checked(source))
            pipe = feed.pipe
        stream = self._begun(pipe, args, kwargs)
        return BlockingStream(_Reading(self._blocking, self._binding.full_name, stream, feed))

    def _uploaded(self, source: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        feed = _Feed(self._blocking, self._checked(source))
        name, blocking = self._binding.full_name, self._blocking
        waited = self._begun(feed.pipe, args, kwargs)
        under_way: list[asyncio.Task[Any]] = []

        async def begin() -> None:
            under_way.append(asyncio.get_running_loop().create_task(waited))
            await asyncio.sleep(0)

        async def end() -> Any:
            return await under_way[0]

        async def cancel() -> None:
            under_way[0].cancel()
            await asyncio.wait(under_way, timeout=LEAVE_SECONDS)

        try:
            _run(blocking, name, begin)
        except BaseException:
            waited.close()
            raise
        try:
            while not (feed.is_over or under_way[0].done()):
                feed.give()
            return _run(blocking, name, end, was_begun=True)
        finally:
            if not under_way[0].done():
                with contextlib.suppress(ClientClosed):
                    blocking.run(None, cancel)
            feed.close()

    def _begun(
        self, pipe: AsyncIterable[Any] | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        requests = self._binding.requests
        if requests is not None and len(args) < requests.place:
            kwargs = {**kwargs, requests.name: pipe}
        elif requests is not None:
            args = (*args[: requests.place], pipe, *args[requests.place :])
        return self._blocking.client.begin(self._method, args, kwargs, self._options)

    def _checked(self, source: Any) -> Iterable[Any]:
        requests, name = self._binding.requests, self._binding.full_name
        assert requests is not None
        if isinstance(source, Sender):
            raise TypeError(
                f"{name}: {requests.name} must be an iterable; a Sender is for calls that answer "
                "with a stream"
            )
        if not isinstance(source, Iterable):
            raise TypeError(
                f"{name}: {requests.name} must be an iterable, not {type(source).__name__}"
            )
        return source


async def _next(stream: streams.Stream[Any]) -> tuple[bool, Any]:
    try:
        return True, await anext(stream)
    except StopAsyncIteration:
        return False, None


async def _passed_on() -> None:
    """Lets the call take what was given, and the pump send it."""
    for _ in range(3):
        await asyncio.sleep(0)


def _driven(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs what waits for nothing."""
    with contextlib.suppress(StopIteration):
        coroutine.send(None)


def _run(
    blocking: Blocking,
    name: str,
    function: Callable[..., Coroutine[Any, Any, T]],
    *,
    was_begun: bool = False,
) -> T:
    try:
        return blocking.run(None, function)
    except ClientClosed:
        closed = Unavailable("the client is closed", next_step="End its calls before it closes.")
        failure = unsent(closed, name, blocking.client.address, CONNECTING)
        if was_begun:
            failure.executed, failure.stage = "maybe", SENT
        raise failure from None

"""Streams of the blocking client: items that are asked for one by one, and those that are sent.

The asyncio client's streams, of which each step runs on the private loop. Does not know codecs,
and how calls travel.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterable, Iterable, Mapping
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

from machnet_rpc import streams
from machnet_rpc._binding import MethodBinding
from machnet_rpc._blocking import LEAVE_SECONDS, Blocking
from machnet_rpc._blocking_contract import BlockingStream
from machnet_rpc._blocking_sending import Feed, Inside, Sender
from machnet_rpc._options import CallOptions, Metadata
from machnet_rpc._told import Outcome, told
from machnet_rpc.errors import ContractError
from machnet_rpc.service import Method

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class _Reading:
    """One call that gives a stream."""

    def __init__(self, inside: Inside, stream: streams.Stream[Any], feed: Feed | None) -> None:
        self.name = inside.name
        self._inside = inside
        self._stream = stream
        self._feed = feed
        self._asked: asyncio.Task[None] | None = None
        self._outcome: list[Outcome[Any]] = []  # of what was asked for
        self._is_over = False

    def start(self) -> None:
        """Sends the request, if it was not sent. Errors: RpcError."""
        try:
            self._inside.begin(self._stream.__aenter__)
        except Exception:
            self.close()
            raise

    def next(self) -> Any:
        """The next item. Errors: StopIteration, RpcError, what the contract declares."""
        if self._is_over:
            raise StopIteration
        self._ask()
        item, failure = self._outcome.pop()
        if failure is None:
            return item
        try:
            if not isinstance(failure, StopAsyncIteration):
                self.close()
                raise failure
        finally:
            del failure  # its traceback holds this
        self._end()
        raise StopIteration

    def close(self) -> None:
        """Ends the call, on both sides, if it has not ended."""
        if not self._is_over:
            self._inside.end(self._left)
            self._end()

    def abandon(self) -> None:
        """The same where that can be done now; else when the loop runs again."""
        if self._is_over:
            return
        self._is_over = True
        self._inside.end_sometime(self._left)

    def _end(self) -> None:
        self._is_over = True
        if self._feed is not None:
            self._feed.close()

    def _ask(self) -> None:
        """What fails is closed once it is not being handled: else all that ends refers to it."""
        try:
            while not self._inside.begin(self._step):
                self._give()
        except Exception as error:  # noqa: BLE001
            self._outcome.append((None, error))

    def _give(self) -> None:
        assert self._feed is not None
        try:
            self._feed.give()
        except StopAsyncIteration as error:  # which would look like the end of the answer
            raise RuntimeError(f"the items for {self.name} raised {error!r}") from error
        except BaseException as error:
            if not isinstance(error, Exception):
                self.close()
            raise

    async def _step(self) -> bool:
        """Asks for the next item, once. False: what is to be sent has room."""
        asked = self._asked
        if asked is None:
            asking = told(self._stream.__anext__, (), self._outcome)
            asked = self._asked = asyncio.get_running_loop().create_task(asking)
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
                return False
            await asyncio.wait([asked])
        self._asked = None
        asked.result()
        return True

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
        feed: Feed | None = None
        pipe: AsyncIterable[Any] | None = None
        inside = self._inside()
        if isinstance(source, Sender):
            source.join(inside)
            pipe = source.pipe
        elif self._binding.requests is not None:
            feed = Feed(inside, self._checked(source))
            pipe = feed.pipe
        return BlockingStream(_Reading(inside, self._begun(pipe, args, kwargs), feed))

    def _uploaded(self, source: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        inside = self._inside()
        feed = Feed(inside, self._checked(source))
        waited = self._begun(feed.pipe, args, kwargs)
        outcome: list[Outcome[Any]] = []
        under_way: list[asyncio.Task[None]] = []

        async def begin() -> None:
            telling = told(lambda: waited, (), outcome)
            under_way.append(asyncio.get_running_loop().create_task(telling))
            await asyncio.sleep(0)

        async def end() -> None:
            await under_way[0]

        try:
            inside.begin(begin)
        except BaseException:
            waited.close()
            raise
        failure: BaseException | None = None
        result: Any = None
        try:
            while not (feed.is_over or under_way[0].done()):
                feed.give()
            inside.run(end)
            result, failure = outcome.pop()
        except BaseException as error:  # noqa: BLE001 (see _ask)
            failure = error
        try:
            if not under_way[0].done():
                inside.end(partial(_cancelled, under_way[0]))  # perhaps long after this ended
            feed.close()
            if failure is not None:
                raise failure
        finally:
            under_way.clear()  # its being cancelled has a traceback, which holds this
            del failure
        return result

    def _inside(self) -> Inside:
        timeout = self._options.timeout
        seconds = self._binding.options.timeout if timeout is None else timeout
        return Inside(self._blocking, self._binding.full_name, seconds)

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


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=LEAVE_SECONDS)
    with contextlib.suppress(asyncio.CancelledError):  # else it keeps that, whose frames hold it
        if task.done():
            task.result()

"""What a call of the blocking client sends, and how its steps come to their turn on the loop.

Items come from an iterator, which is asked between two steps, where no loop runs: so it may itself
call; or from who sends them by hand. Does not know codecs, and what calls give.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from time import monotonic
from typing import Any, Final, Generic, TypeVar

from machnet_rpc import streams
from machnet_rpc._blocking import Blocking, ClientBusy, ClientClosed, ClientInherited
from machnet_rpc._blocking_calls import run
from machnet_rpc._private_loop import EndLost
from machnet_rpc.errors import Cancelled

T = TypeVar("T")

BATCH_SECONDS: Final = 0.001  # that an iterator is asked for more before what it gave is sent


class Inside:
    """The steps of one call, on the private loop; they wait for other threads within its time."""

    def __init__(self, blocking: Blocking, name: str, seconds: float) -> None:
        self.name = name
        self.is_begun: bool = False
        self._blocking = blocking
        self._seconds = seconds
        self._late = 0.0  # once it is begun

    def begin(self, function: Callable[..., Coroutine[Any, Any, T]]) -> T:
        """Runs the first step, or another one. Errors: RpcError, and what it raises."""
        if self.is_begun:
            return self.run(function)
        self._late, self.is_begun = monotonic() + self._seconds, True
        return run(self._blocking, self.name, self._seconds, function)

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Errors: RpcError, and what it raises."""
        left = self._seconds_left()
        return run(self._blocking, self.name, left, function, *args, was_begun=self.is_begun)

    def end(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs the last step; once the others are through, if they take all of the time."""
        nothing = ClientClosed, ClientInherited, EndLost  # to end, or that can be
        with contextlib.suppress(*nothing):
            try:
                self._blocking.run(self._seconds_left(), function, is_bounded=True)
            except ClientBusy:
                self._blocking.run_sometime(function)

    def end_sometime(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """The same, from wherever the garbage collector runs."""
        self._blocking.run_sometime(function)

    def _seconds_left(self) -> float:
        return self._late - monotonic() if self.is_begun else self._seconds


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
        self._inside: Inside | None = None

    def __repr__(self) -> str:
        return f"<blocking {self.pipe!r}>"

    def send(self, item: T) -> None:
        """Hands over one item; waits while `room` others wait.

        Errors: Cancelled once the call has ended, whose own result says why; RuntimeError after
        `close`, and where no call takes what is waiting; RpcError where other threads call by the
        client until the call's deadline.
        """
        inside = self._inside
        if self.pipe.free <= 0 and not (self.pipe.is_over or (inside and inside.is_begun)):
            raise RuntimeError(
                "nobody takes these items: pass the sender to a call first, and enter that by "
                "`with`, or ask it for an item"
            )
        if inside is None:
            _driven(self.pipe.send(item))
        else:
            inside.run(self._sent, item)

    def close(self) -> None:
        """Says that no more items follow; what the call gives goes on. Errors: RpcError."""
        if self._inside is None or self.pipe.is_over:
            self.pipe.close()
        else:
            self._inside.run(self._closed)

    def join(self, inside: Inside) -> None:
        """For the call that takes the items. Errors: RuntimeError for a second one."""
        if self._inside is not None:
            raise RuntimeError("another call takes these items already")
        self._inside = inside

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


class Feed:
    """Moves items from an iterator to a pipe, a few at a time."""

    def __init__(self, inside: Inside, source: Iterable[Any]) -> None:
        self.pipe = _Pipe[Any]()
        self._inside = inside
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
        try:
            with contextlib.suppress(Cancelled):  # nobody takes them: the call's own end says why
                self._inside.run(self._given, items, isinstance(end, StopIteration))
            if end is not None and not isinstance(end, StopIteration):
                raise end
        finally:
            del end  # its traceback holds this

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


async def _passed_on() -> None:
    """Lets the call take what was given, and the pump send it."""
    for _ in range(3):
        await asyncio.sleep(0)


def _driven(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs what waits for nothing."""
    with contextlib.suppress(StopIteration):
        coroutine.send(None)

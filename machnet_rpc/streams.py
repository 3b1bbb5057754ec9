"""Streams as users hold them: what a call gives item by item, and a queue to send from.

A Stream ends its call when it is left early: by `async with`, `aclose`, or when nobody holds it.
"""

import asyncio
import contextlib
from collections import deque
from typing import Final, Generic, Protocol, Self, TypeVar

from machnet_rpc.errors import Cancelled

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

ROOM: Final = 16


class Reading(Protocol[T_co]):
    """One call under way, of which a Stream is the handle."""

    @property
    def name(self) -> str: ...

    async def start(self) -> None: ...

    async def next(self) -> T_co: ...

    async def aclose(self) -> None: ...

    def abandon(self) -> None:
        """Ends the call from any thread."""
        ...


class Stream(Generic[T_co]):
    """The items that a call gives: an async iterator, and a context manager.

    The call starts with the first item that is asked for, or on entering. Leaving the block, or
    the loop, before the last item ends the call on both sides. So does being cancelled while an
    item is waited for; within the block one may give up waiting, and go on.
    """

    __slots__ = ("__weakref__", "_is_busy", "_is_entered", "_reading")

    def __init__(self, reading: Reading[T_co]) -> None:
        self._reading = reading
        self._is_busy = False
        self._is_entered = False

    def __repr__(self) -> str:
        return f"<Stream of {self._reading.name}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        """The next item. Errors: RpcError and what the contract declares, after the last item."""
        if self._is_busy:
            raise RuntimeError(f"{self!r} is read by another task already")
        self._is_busy = True
        try:
            return await self._reading.next()
        except asyncio.CancelledError:
            if not self._is_entered:  # nobody will leave it
                reading, self._reading = self._reading, _Cut(self._reading.name)
                await reading.aclose()
            raise
        finally:
            self._is_busy = False

    async def aclose(self) -> None:
        """Ends the call if it has not ended; a second time does nothing."""
        await self._reading.aclose()

    async def __aenter__(self) -> Self:
        await self._reading.start()
        self._is_entered = True
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self._reading.abandon()


class _Cut(Generic[T_co]):
    """A call that ended since its reader was cancelled: who reads on is not told that it is all."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def start(self) -> None:
        """It has been."""

    async def next(self) -> T_co:
        """Errors: Cancelled."""
        raise Cancelled(
            "the call ended when who waited for an item was cancelled",
            executed="maybe",
            method=self.name,
            next_step="To give up waiting and go on, enter the stream by `async with`.",
        )

    async def aclose(self) -> None:
        """It has been."""

    def abandon(self) -> None:
        """It has been."""


class Sender(Generic[T]):
    """A stream to send by hand: pass it to a call, then `send` into it, and `close` it.

    Holds at most `room` items that the call has not taken. Thread: the event loop's.
    """

    def __init__(self, room: int = ROOM) -> None:
        if room < 1:
            raise ValueError(f"room={room} must be at least 1")
        self._room = room
        self._items: deque[T] = deque()
        self._is_closed = False  # no more items come
        self._is_left = False  # nobody takes items any more
        self._changes: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        state = "left" if self._is_left else "closed" if self._is_closed else "open"
        return f"<Sender {state} waiting={len(self._items)}>"

    async def send(self, item: T) -> None:
        """Hands over one item; waits while `room` others wait.

        Errors: Cancelled once the call has ended, whose own result says why; RuntimeError after
        `close`.
        """
        while len(self._items) >= self._room and not (self._is_left or self._is_closed):
            await self._change()
        if self._is_left:
            raise Cancelled("the call that took these items has ended", executed="maybe")
        if self._is_closed:
            raise RuntimeError("the sender is closed")
        self._items.append(item)
        self._changed()

    def close(self) -> None:
        """Says that no more items follow; what the call gives goes on."""
        self._is_closed = True
        self._changed()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._is_closed or self._is_left:
                raise StopAsyncIteration
            await self._change()
        item = self._items.popleft()
        self._changed()
        return item

    async def aclose(self) -> None:
        """For the call: it takes no more items."""
        self._is_left = True
        self._items.clear()
        self._changed()

    async def _change(self) -> None:
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changes.append(change)
        try:
            await change
        finally:
            with contextlib.suppress(ValueError):
                self._changes.remove(change)

    def _changed(self) -> None:
        changes, self._changes = self._changes, deque()
        for change in changes:
            if not change.done():
                change.set_result(None)

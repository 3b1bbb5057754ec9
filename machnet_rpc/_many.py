"""A call for each of many items, some of them under way at once; results in the items' order.

Knows how they follow each other. Does not know how a call is made, or what its answer means.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc.errors import RpcError

T = TypeVar("T")


class Steps(NamedTuple, Generic[T]):
    """What is done for an item: its call is begun, ends, and where it failed goes on or not."""

    begin: Callable[[T], Coroutine[Any, Any, OutgoingCall]]
    result_of: Callable[[Any], Any]
    outcome: Callable[[OutgoingCall, T], Coroutine[Any, Any, Any]]


class Many(Generic[T]):
    """The calls under way, the oldest first."""

    def __init__(self, steps: Steps[T], *, return_exceptions: bool) -> None:
        self._steps = steps
        self._return_exceptions = return_exceptions
        self._under_way: deque[OutgoingCall | Exception] = deque()
        self._items: deque[T] = deque()

    async def run(self, items: Iterable[T], in_flight_max: int) -> list[Any]:
        """The results, or what stands for them. Errors: the first, if they are not returned."""
        under_way = self._under_way
        results: list[Any] = []
        try:
            for item in items:
                if len(under_way) >= in_flight_max:
                    results.append(await self._first())
                try:
                    call = await self._steps.begin(item)
                except RpcError as error:
                    if not self._return_exceptions:
                        raise
                    under_way.append(error)
                else:
                    under_way.append(call)
                self._items.append(item)
            while under_way:
                results.append(await self._first())
        finally:
            for rest in under_way:
                if not isinstance(rest, Exception):
                    rest.connection.cancel(rest)
        return results

    async def _first(self) -> Any:
        """The end of the oldest call."""
        first, item = self._under_way.popleft(), self._items.popleft()
        try:
            if isinstance(first, Exception):
                raise first
            try:
                return self._steps.result_of(await first)
            except RpcError:
                return await self._steps.outcome(first, item)
        except asyncio.CancelledError:
            if not isinstance(first, Exception):
                first.connection.cancel(first)
            raise
        except Exception as error:
            if not self._return_exceptions:
                raise
            return error

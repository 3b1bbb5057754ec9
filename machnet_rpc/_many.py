"""A call for each of many items, some of them under way at once; results in the items' order.

Knows how they follow each other. Does not know how a call is made, or what its answer means.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, TypeAlias, TypeVar

from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc.errors import RpcError

T = TypeVar("T")


Steps: TypeAlias = tuple[
    Callable[[Any], Coroutine[Any, Any, tuple[OutgoingCall, Any]]],
    Callable[[Any], Any],
    Callable[[OutgoingCall, Any], Coroutine[Any, Any, Any]],
]
"""What is done for an item: its call is begun, an answer becomes a result, or it goes on to fail.

The last is given what the first gave besides the call.
"""


class Many(Generic[T]):
    """The calls under way, the oldest first."""

    def __init__(
        self,
        begin: Callable[[T], Coroutine[Any, Any, tuple[OutgoingCall, Any]]],
        result_of: Callable[[Any], Any],
        outcome: Callable[[OutgoingCall, Any], Coroutine[Any, Any, Any]],
        *,
        return_exceptions: bool,
    ) -> None:
        self._begin = begin
        self._result_of = result_of
        self._outcome = outcome
        self._return_exceptions = return_exceptions
        self._under_way: deque[tuple[OutgoingCall, Any] | Exception] = deque()

    async def run(self, items: Iterable[T], in_flight_max: int) -> list[Any]:
        """The results, or what stands for them. Errors: the first, if they are not returned."""
        under_way = self._under_way
        results: list[Any] = []
        try:
            for item in items:
                if len(under_way) >= in_flight_max:
                    results.append(await self._first())
                try:
                    under_way.append(await self._begin(item))
                except RpcError as error:
                    if not self._return_exceptions:
                        raise
                    under_way.append(error)
            while under_way:
                results.append(await self._first())
        finally:
            for rest in under_way:
                if not isinstance(rest, Exception):
                    rest[0].connection.cancel(rest[0])
        return results

    async def _first(self) -> Any:
        """The end of the oldest call."""
        first = self._under_way.popleft()
        try:
            if isinstance(first, Exception):
                raise first
            call, more = first
            try:
                return self._result_of(await call)
            except RpcError:
                return await self._outcome(call, more)
        except asyncio.CancelledError:
            if not isinstance(first, Exception):
                first[0].connection.cancel(first[0])
            raise
        except Exception as error:
            if not self._return_exceptions:
                raise
            return error


async def tasks_of(
    calls: Iterable[Callable[[], Coroutine[Any, Any, Any]]],
    in_flight_max: int,
    *,
    return_exceptions: bool,
) -> list[Any]:
    """The same with a task for each call, whatever a call consists of."""
    under_way: deque[asyncio.Task[Any]] = deque()
    results: list[Any] = []

    async def first() -> Any:
        try:
            return await under_way[0]
        except Exception as error:
            if not return_exceptions:
                raise
            return error
        finally:
            under_way.popleft().cancel()

    try:
        for call in calls:
            if len(under_way) >= in_flight_max:
                results.append(await first())
            under_way.append(asyncio.ensure_future(call()))
        while under_way:
            results.append(await first())
    finally:
        for rest in under_way:
            rest.cancel()
    return results

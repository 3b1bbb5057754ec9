"""A call for each of many items, some of them under way at once; results in the items' order.

Knows how they follow each other. Does not know how a call is made, or what its answer means.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

from machnet_rpc import _clock
from machnet_rpc._aio.giving_up import give_up
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc.errors import RpcError

T = TypeVar("T")

Payload = bytes | memoryview


class Steps(NamedTuple):
    """What is done for an item: its call is begun, at once or later, and its answer is a result.

    `begin` is told how many nanoseconds of its time are over. Where the answer is a failure,
    `outcome` goes on with what came with the call when it was begun.
    """

    begin_now: Callable[[Payload], tuple[OutgoingCall, Any] | None]
    begin: Callable[[Payload, int], Coroutine[Any, Any, tuple[OutgoingCall, Any]]]
    result_of: Callable[[Any], Any]
    outcome: Callable[[OutgoingCall, Any], Coroutine[Any, Any, Any]]


class Many(Generic[T]):
    """The calls under way, the oldest first."""

    def __init__(self, steps: Steps, *, return_exceptions: bool) -> None:
        self._steps = steps
        self._return_exceptions = return_exceptions
        self._under_way: deque[tuple[OutgoingCall, Any] | Exception] = deque()
        self._waits_since_ns = 0  # for a flow, or for room
        self._waits_left = 0  # how many more wait since then, after one that did so in vain

    async def run(
        self, items: Iterable[T], encoded: Callable[[T], Payload], in_flight_max: int
    ) -> list[Any]:
        """The results, or what stands for them. Errors: the first, if they are not returned.

        An item is encoded once: when that is needed again, it may have changed, or be used up.
        """
        _check(in_flight_max)
        under_way, begin_now = self._under_way, self._steps.begin_now
        results: list[Any] = []
        try:
            for item in items:
                if len(under_way) >= in_flight_max:
                    results.append(await self._first())
                try:
                    payload = encoded(item)
                    call = begin_now(payload) or await self._begun(payload, in_flight_max)
                    under_way.append(call)
                    del payload  # a view of what the iterable may reuse
                except RpcError as error:
                    if not self._return_exceptions:
                        raise
                    under_way.append(error)
            while under_way:
                results.append(await self._first())
            return results
        except BaseException as reason:
            for rest in under_way:
                if not isinstance(rest, Exception):
                    give_up(rest[0], reason)
            raise
        finally:
            del results  # the traceback of what failed holds this

    async def _begun(self, payload: Payload, in_flight_max: int) -> tuple[OutgoingCall, Any]:
        """Its call, once that can begin; those that wait in vain have waited beside each other."""
        now_ns, before = _clock.monotonic_ns(), self._under_way
        if self._waits_left == 0 or not (before and isinstance(before[-1], Exception)):
            self._waits_since_ns, self._waits_left = now_ns, in_flight_max
        self._waits_left -= 1
        return await self._steps.begin(payload, now_ns - self._waits_since_ns)

    async def _first(self) -> Any:
        """The end of the oldest call."""
        first = self._under_way.popleft()
        if isinstance(first, Exception):
            return first
        call, more = first
        try:
            try:
                return self._steps.result_of(await call)
            except RpcError:
                return await self._steps.outcome(call, more)
        except (asyncio.CancelledError, GeneratorExit) as reason:
            give_up(call, reason)
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
    _check(in_flight_max)
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

    is_closed = False
    try:
        for call in calls:
            if len(under_way) >= in_flight_max:
                results.append(await first())
            under_way.append(asyncio.ensure_future(call()))
            await asyncio.sleep(0)  # so that it is under way before its item may change
        while under_way:
            results.append(await first())
        return results
    except GeneratorExit:
        is_closed = True
        raise
    finally:
        del results  # the traceback of what failed holds this
        for rest in under_way:
            rest.cancel()
        if not is_closed:
            await asyncio.gather(*under_way, return_exceptions=True)


def _check(in_flight_max: int) -> None:
    if in_flight_max < 1:
        raise ValueError(f"in_flight_max={in_flight_max} must be at least 1")

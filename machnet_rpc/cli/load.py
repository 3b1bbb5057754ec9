"""Load on one method: calls at a rate, whatever their answers do, or so many at a time.

At a rate (open loop) each call is due at a time of its own, and its latency counts from then: a
server that stalls delays those behind it, and that is seen. One after another (closed loop) they
are not made while it stalls, and so not seen, unless they are corrected for.
Source: Gil Tene, "How NOT to Measure Latency" (coordinated omission); wrk2
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from machnet_rpc.cli.histogram import Histogram
from machnet_rpc.errors import Code, RpcError

IN_FLIGHT_MAX: Final = 20_000  # of calls at a rate
SLEEP_SECONDS: Final = 0.003  # timers of event loops are coarse: what is shorter is waited out
WATCH_SECONDS: Final = 0.2

Call = Callable[[], Coroutine[Any, Any, object]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What load is made. Units: seconds, calls per second; `rate` 0: `in_flight` at a time."""

    seconds: float
    warm_up: float
    in_flight: int
    rate: float = 0.0
    interval: float = 0.0  # expected between calls, to correct those that are made in turn


@dataclass(slots=True)
class Measured:
    """What came of it."""

    latencies: Histogram = field(default_factory=Histogram)
    errors: Counter[str] = field(default_factory=Counter[str])
    last_error: RpcError | None = None
    seconds: float = 0.0  # that were measured, which is less where it was interrupted
    answered: int = 0
    most_in_flight: int = 0

    @property
    def failed(self) -> int:
        return self.errors.total()

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answered / self.seconds if self.seconds > 0 else 0.0


class Load:
    """Makes calls until the plan is over, or `stop` is set. Thread: the event loop's."""

    def __init__(self, call: Call, plan: Plan, stop: asyncio.Event) -> None:
        self.measured: Measured = Measured()
        self._call = call
        self._plan = plan
        self._stop = stop
        self._begins_ns = 0
        self._ends_ns = 0
        self._in_flight: set[asyncio.Task[bool]] = set()

    def __repr__(self) -> str:
        return f"<Load {self._plan} {len(self._in_flight)} in flight>"

    @property
    def progress(self) -> float:
        """The share of its time that is over."""
        if not self._ends_ns:
            return 0.0  # it has not begun
        plan = self._plan
        whole_ns = (plan.seconds + plan.warm_up) * 1e9
        return min(1.0, max(0.0, 1 - (self._ends_ns - time.monotonic_ns()) / whole_ns))

    async def run(self) -> Measured:
        """Returns once all calls have ended, each by its own deadline."""
        plan = self._plan
        now_ns = time.monotonic_ns()
        self._begins_ns = now_ns + int(plan.warm_up * 1e9)
        self._ends_ns = self._begins_ns + int(plan.seconds * 1e9)
        try:
            if plan.rate > 0:
                await self._at_a_rate(now_ns, self._begins_ns)
                await self._at_a_rate(self._begins_ns, self._ends_ns)
                if self._in_flight:
                    await asyncio.wait(self._in_flight)
            else:
                workers = [asyncio.create_task(self._in_turn()) for _ in range(plan.in_flight)]
                self.measured.most_in_flight = plan.in_flight
                await asyncio.gather(*workers)
        finally:
            now_ns = time.monotonic_ns()
            over_ns = min(now_ns, self._ends_ns) if self._stop.is_set() else self._ends_ns
            self.measured.seconds = max(over_ns - self._begins_ns, 0) / 1e9
            for task in self._in_flight:
                task.cancel()
        return self.measured

    def _is_over(self, now_ns: int) -> bool:
        return now_ns >= self._ends_ns or self._stop.is_set()

    async def _in_turn(self) -> None:
        while not self._is_over(began_ns := time.monotonic_ns()):
            if not await self._one(began_ns):
                await asyncio.sleep(0)  # a call that fails at once would keep the loop

    async def _at_a_rate(self, began_ns: int, ends_ns: int) -> None:
        """Makes the calls that are due between two times, if it can within them."""
        interval_ns = 1e9 / self._plan.rate
        for count in itertools.count():
            due_ns = began_ns + int(count * interval_ns)
            if due_ns >= ends_ns:
                break
            await self._until(due_ns)
            if self._stop.is_set() or time.monotonic_ns() >= ends_ns:
                break
            task = asyncio.create_task(self._one(due_ns))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
            in_flight = len(self._in_flight)
            self.measured.most_in_flight = max(self.measured.most_in_flight, in_flight)
            if in_flight >= self._plan.in_flight:
                await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)

    async def _until(self, due_ns: int) -> None:
        while (left_ns := due_ns - time.monotonic_ns()) > 0 and not self._stop.is_set():
            if left_ns > WATCH_SECONDS * 1e9:
                await asyncio.sleep(WATCH_SECONDS / 2)
            else:
                await asyncio.sleep(max(left_ns / 1e9 - SLEEP_SECONDS, 0))

    async def _one(self, due_ns: int) -> bool:
        """Makes a call and counts it; whether it was answered."""
        error: RpcError | None = None
        try:
            await self._call()
        except RpcError as failure:
            error = failure
        took_ns = time.monotonic_ns() - due_ns
        if self._begins_ns <= due_ns < self._ends_ns:
            self._count(took_ns, error)
        return error is None

    def _count(self, took_ns: int, error: RpcError | None) -> None:
        measured = self.measured
        if error is not None:
            measured.errors[error.code.name] += 1
            measured.last_error = error
            if error.code is not Code.DEADLINE_EXCEEDED:
                return  # what was refused took no time; what came too late took at least its own
        else:
            measured.answered += 1
        if self._plan.interval > 0:
            measured.latencies.add_corrected(took_ns, int(self._plan.interval * 1e9))
        else:
            measured.latencies.add(took_ns)

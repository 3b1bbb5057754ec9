"""Makes load on a contender's client, and notes what each call took.

A closed loop keeps so many calls in flight. An open loop starts calls at a rate, whatever becomes
of those before, and counts from when a call was due: so a stall is felt by all who met it.
"""

import asyncio
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns

from benchmarks.contender import Call, Pipeline
from benchmarks.distribution import percentiles_us

NS_PER_S = 1_000_000_000
DRAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Load:
    """What to do; `open_share` of the closed loop's rate makes it an open loop, 0 a closed one."""

    window: int  # calls in flight
    size_bytes: int = 1024
    seconds: float = 0.6
    warmup_s: float = 0.15
    open_share: float = 0.0

    @property
    def key(self) -> str:
        """Stands before the names of its figures."""
        share = f"@{self.open_share:g}" if self.open_share else ""
        return f"{self.window}x{self.size_bytes}{share}:"


@dataclass(frozen=True, slots=True)
class Timings:
    """Every call of one run."""

    took_ns: Sequence[int]
    elapsed_ns: int

    @property
    def calls_per_s(self) -> float:
        """Those that ended, over the time in which they did."""
        return len(self.took_ns) * NS_PER_S / self.elapsed_ns

    def figures(self) -> dict[str, float]:
        """The rate, and the distribution of latency."""
        return {"calls_per_s": self.calls_per_s} | percentiles_us(self.took_ns)


def check(payload: object, reply: object) -> None:
    """Errors: ValueError: the reply is not the request."""
    if reply != payload:
        raise ValueError(f"not an echo: {str(reply)[:80]} came back for {str(payload)[:80]}")


async def closed(call: Call, payload: object, window: int, seconds: float) -> Timings:
    """So many calls in flight for so long."""
    took_ns = array("q")
    start_ns = perf_counter_ns()
    stop_ns = start_ns + int(seconds * NS_PER_S)

    async def worker() -> None:
        now_ns = perf_counter_ns()
        while now_ns < stop_ns:
            begin_ns = now_ns
            await call(payload)
            now_ns = perf_counter_ns()  # the end of one call is the start of the next
            took_ns.append(now_ns - begin_ns)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(window):
            tasks.create_task(worker())
    return Timings(took_ns, perf_counter_ns() - start_ns)


async def opened(call: Call, payload: object, calls_per_s: float, seconds: float) -> Timings:
    """A call every so often for so long.

    Errors: TimeoutError: some did not end; what a call raised.
    """
    took_ns = array("q")
    errors: list[BaseException] = []
    all_ended = asyncio.Event()
    gap_ns = int(NS_PER_S / calls_per_s)
    total = max(int(seconds * NS_PER_S) // gap_ns, 1)

    def note(due_ns: int, ended: asyncio.Future[object]) -> None:
        took_ns.append(perf_counter_ns() - due_ns)
        error = ended.exception()
        if error is not None:
            errors.append(error)
        if len(took_ns) == total:
            all_ended.set()

    start_ns = perf_counter_ns()
    started = 0
    while started < total:
        due = min((perf_counter_ns() - start_ns) // gap_ns + 1, total)
        for number in range(started, due):
            ended = asyncio.ensure_future(call(payload))
            ended.add_done_callback(partial(note, start_ns + number * gap_ns))
        started = due
        await asyncio.sleep(0)
    async with asyncio.timeout(DRAIN_S):
        await all_ended.wait()
    if errors:
        raise errors[0]
    return Timings(took_ns, perf_counter_ns() - start_ns)


def pipelined(pipeline: Pipeline, payload: bytes, window: int, seconds: float) -> Timings:
    """A closed loop without an event loop."""
    took_ns = array("q")
    send, receive = pipeline.send, pipeline.receive
    start_ns = perf_counter_ns()
    stop_ns = start_ns + int(seconds * NS_PER_S)
    begun_ns: list[int] = []
    for _ in range(window):
        begun_ns.append(perf_counter_ns())
        send(payload)
    index, now_ns = 0, start_ns
    while now_ns < stop_ns:
        receive()
        now_ns = perf_counter_ns()
        took_ns.append(now_ns - begun_ns[index])
        begun_ns[index] = now_ns
        send(payload)
        index = (index + 1) % window
    for _ in range(window):
        receive()
    return Timings(took_ns, now_ns - start_ns)

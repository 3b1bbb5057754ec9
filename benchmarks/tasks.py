"""What a client process does for a measure, once it knows its contender and its place.

Each task gives figures by name. Does not know processes, rounds or tables.
"""

import asyncio
import os
import statistics
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, perf_counter_ns

from benchmarks.contender import BlockingContender, Call, Contender, Pipeline, Place
from benchmarks.load import Load, Timings, check, closed, opened, pipelined
from benchmarks.processes import cpu_s
from benchmarks.rungs import Echo, Rung
from machnet_rpc import connect
from transport_engine import attach

OPENINGS = 7


@dataclass(frozen=True, slots=True)
class Task:
    """`loads` one after the other; then, with `idle_s`, silence and a call after it.

    With `openings` neither: the client opens and closes what a rung has.
    """

    loads: tuple[Load, ...] = ()
    idle_s: float = 0.0
    openings: bool = False


class CpuMeter:
    """CPU time of the client and of all that take part."""

    def __init__(self, place: Place) -> None:
        self._pids = (os.getpid(), *place.pids)
        self._before_s = self._used_s()

    def used_s(self) -> float:
        """Since this was made."""
        return self._used_s() - self._before_s

    def _used_s(self) -> float:
        return sum(map(cpu_s, self._pids))


async def run(contender: Contender, place: Place, task: Task) -> dict[str, float]:
    """The task on an event loop."""
    if task.openings:
        assert isinstance(contender, Rung)
        return await _openings(contender, place)
    async with contender.client(place) as call:
        figures: dict[str, float] = {}
        for load in task.loads:
            figures |= await _load(contender, call, place, load, figures)
        if task.idle_s:
            figures |= await _idle(contender, call, place, task, figures)
        return figures | contender.extra()


async def _load(
    contender: Contender, call: Call, place: Place, load: Load, before: dict[str, float]
) -> dict[str, float]:
    payload = contender.payload(load.size_bytes)
    check(payload, await call(payload))
    if load.open_share:
        rate = load.open_share * before[Load(load.window, load.size_bytes).key + "calls_per_s"]
        try:
            return _named(load, await opened(call, payload, rate, load.seconds))
        except TimeoutError:
            return {}  # it cannot keep that rate up, and what it reached in closed loops stands
    await closed(call, payload, load.window, load.warmup_s)
    meter = CpuMeter(place)
    timings = await closed(call, payload, load.window, load.seconds)
    return _named(load, timings, meter.used_s())


async def _idle(
    contender: Contender, call: Call, place: Place, task: Task, before: dict[str, float]
) -> dict[str, float]:
    payload = contender.payload(1024)
    meter = CpuMeter(place)
    await asyncio.sleep(task.idle_s)
    used_s = meter.used_s()
    begin_ns = perf_counter_ns()
    await call(payload)
    first_us = (perf_counter_ns() - begin_ns) / 1000
    hot_us = before[task.loads[0].key + "p50_us"]
    return {
        "idle_percent": 100 * used_s / task.idle_s,
        "first_call_us": first_us,
        "first_call_over_hot_us": first_us - hot_us,
    }


async def _openings(rung: Rung, place: Place) -> dict[str, float]:
    """Milliseconds to attach, to listen, and to connect until a first call is answered."""
    columns: dict[str, list[float]] = {"attach_ms": [], "listen_ms": [], "connect_ms": []}
    for number in range(OPENINGS):
        begin_s = perf_counter()
        async with connect(rung.server_address(place), via=rung.client_via(place)) as client:
            attached_s = perf_counter()
            await client.stub(Echo).echo(b"")
            columns["attach_ms"].append(attached_s - begin_s)
            columns["connect_ms"].append(perf_counter() - attached_s)
        via = rung.client_via(place)
        assert isinstance(via, Path)
        attachment = await attach(via)
        begin_s = perf_counter()
        await attachment.listen(20_000 + number)
        columns["listen_ms"].append(perf_counter() - begin_s)
        await attachment.close()
    return {name: 1000 * statistics.median(values) for name, values in columns.items()}


def pipeline(contender: BlockingContender, place: Place, task: Task) -> dict[str, float]:
    """The loads of a task, without an event loop."""
    with contender.pipeline(place) as client:
        figures: dict[str, float] = {}
        for load in task.loads:
            figures |= _pipelined(client, contender, place, load)
        return figures


def _pipelined(
    client: Pipeline, contender: BlockingContender, place: Place, load: Load
) -> dict[str, float]:
    payload = contender.payload(load.size_bytes)
    client.send(payload)
    check(payload, client.receive())
    pipelined(client, payload, load.window, load.warmup_s)
    meter = CpuMeter(place)
    timings = pipelined(client, payload, load.window, load.seconds)
    return _named(load, timings, meter.used_s())


def _named(load: Load, timings: Timings, used_s: float | None = None) -> dict[str, float]:
    figures = timings.figures()
    figures["gb_per_s"] = figures["calls_per_s"] * load.size_bytes / 1e9
    if used_s is not None and timings.took_ns:
        figures["cpu_us"] = used_s * 1e6 / len(timings.took_ns)
    return {load.key + name: value for name, value in figures.items()}

"""A closed loop: keeps so many calls in flight for so long, and notes what each of them took."""

import asyncio
from dataclasses import dataclass
from time import perf_counter_ns

from benchmarks.contender import Call

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """What to do."""

    window: int  # calls in flight
    size_bytes: int = 1024
    warmup_s: float = 0.5
    duration_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one run."""

    calls: int  # with those of the warm-up
    calls_per_s: float
    p50_us: float
    p99_us: float
    p999_us: float


async def drive(call: Call, load: Load) -> Result:
    """Warms up, checks that the reply is the request, then measures."""
    payload = bytes(index % 251 for index in range(load.size_bytes))
    warmup_ns, _ = await _run(call, payload, load.window, load.warmup_s)
    reply = await call(payload)
    if bytes(reply) != payload:
        raise ValueError(f"not an echo: {len(reply)} bytes came back for {len(payload)}")
    took_ns, elapsed_ns = await _run(call, payload, load.window, load.duration_s)
    return _summary(took_ns, elapsed_ns, len(warmup_ns) + 1)


async def _run(call: Call, payload: bytes, window: int, seconds: float) -> tuple[list[int], int]:
    took_ns: list[int] = []
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
    return took_ns, perf_counter_ns() - start_ns


def _summary(took_ns: list[int], elapsed_ns: int, calls_before: int) -> Result:
    ordered = sorted(took_ns)

    def percentile_us(fraction: float) -> float:
        return ordered[min(int(fraction * len(ordered)), len(ordered) - 1)] / 1000

    return Result(
        calls=calls_before + len(ordered),
        calls_per_s=len(ordered) * NS_PER_S / elapsed_ns,
        p50_us=percentile_us(0.5),
        p99_us=percentile_us(0.99),
        p999_us=percentile_us(0.999),
    )

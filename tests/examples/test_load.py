"""The load generator: windows, percentiles, errors."""

from __future__ import annotations

import asyncio
import errno
import io
import sys
from array import array

import pytest

from examples.load import SILENCE_SECONDS, Meter, percentile, progress_bar, run_load


def test_percentiles_are_exact() -> None:
    ordered = array("Q", [1000 * n for n in range(1, 1001)])
    assert percentile(ordered, 0.5) == 500
    assert percentile(ordered, 0.99) == 990
    assert percentile(ordered, 0.999) == 999
    assert percentile(ordered, 1.0) == 1000
    assert percentile(array("Q", [7000]), 0.5) == 7
    assert percentile(array("Q"), 0.5) == 0


def test_window_bounds_what_is_under_way() -> None:
    under_way = most = 0
    done: list[int] = []

    async def perform(job: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        done.append(job)

    ticks: list[int] = []
    meter = Meter()
    asyncio.run(run_load(iter(range(1000)), perform, window=7, meter=meter, progress=ticks.append))
    assert most == 7
    assert sorted(done) == list(range(1000))
    assert sum(ticks) == 1000


def test_latency_is_that_of_the_call() -> None:
    now = 0

    def clock() -> int:
        return now

    async def perform(job: int) -> None:
        async def call() -> int:
            nonlocal now
            now += job * 1000
            return job

        assert await meter.call(call()) == job

    meter = Meter(clock=clock)
    result = asyncio.run(run_load(iter([5, 1, 3]), perform, window=1, meter=meter))
    assert (result.calls, result.p50_us, result.max_us) == (3, 3, 5)
    assert result.seconds == pytest.approx(9e-6)


def test_counted_errors_end_a_job_and_others_the_load() -> None:
    async def perform(job: int) -> None:
        if job % 10 == 0:
            raise TimeoutError
        if job == 55:
            raise ZeroDivisionError

    async def load(count: int) -> dict[str, int]:
        meter = Meter(counted=(TimeoutError,))
        return (await run_load(iter(range(count)), perform, window=4, meter=meter)).errors

    assert asyncio.run(load(50)) == {"TimeoutError": 5}
    with pytest.raises(ZeroDivisionError):
        asyncio.run(load(100))


def test_a_load_that_nobody_answers_gives_up() -> None:
    now = asked = 0
    dead_from = 100

    async def answer() -> None:
        nonlocal now, asked
        asked += 1
        now += 10_000_000_000
        if asked % 2 or asked > dead_from:
            raise TimeoutError

    async def perform(_: int) -> None:
        await meter.call(answer())

    meter = Meter(counted=(TimeoutError,), clock=lambda: now)
    with pytest.raises(TimeoutError):
        asyncio.run(run_load(iter(range(1000)), perform, window=1, meter=meter))
    assert asked == dead_from + SILENCE_SECONDS / 10


class Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise BrokenPipeError


def test_a_bar_that_nobody_can_see_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Full())
    with progress_bar() as bar:
        bar.advance(bar.add_task("load", total=1))
        bar.refresh()
    assert bar.finished


def test_a_bar_shows_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as bar:
        bar.add_task("w[/a] [bold]b.csv", total=1)
    assert "w[/a] [bold]b.csv" in capsys.readouterr().err

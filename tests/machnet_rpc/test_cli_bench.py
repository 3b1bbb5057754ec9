"""`mrpc bench` and `mrpc health`: what they measure and print, and their exit statuses."""

import asyncio
import gc
import json
import os
import random
import re
import signal
import time
from pathlib import Path

import pytest

from machnet_rpc import MemoryNetwork, Server, Unavailable
from machnet_rpc.cli.arguments import UsageError
from machnet_rpc.cli.histogram import Histogram
from machnet_rpc.cli.load import Load, Plan
from machnet_rpc.errors import RpcError
from tests.machnet_rpc.commands import run
from tests.machnet_rpc.conftest import ADDRESS
from tests.machnet_rpc.waiting import until

Capture = pytest.CaptureFixture[str]
BRIEFLY = ("--seconds", "0.1", "--warm-up", "0.02")
AT_LENGTH = ("--seconds", "60", "--warm-up", "0", "--json")  # where a test says when it is over


@pytest.fixture
def via(network: MemoryNetwork) -> MemoryNetwork:
    return network


@pytest.fixture(autouse=True)
def _served(server: Server) -> None:
    """A ledger listens at ADDRESS."""


async def bench(network: MemoryNetwork, *argv: str) -> int:
    return await run(network, "bench", ADDRESS, *argv, *BRIEFLY)


async def test_a_closed_loop(
    network: MemoryNetwork, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Load, "_is_over", lambda load, now_ns: load.measured.answered >= 100)
    argv = ("--in-flight", "4", *AT_LENGTH)
    assert await run(network, "bench", ADDRESS, "ledger/echo", '"x"', *argv) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["mode"], facts["errors"], facts["in_flight"]) == ("closed", {}, 4)
    assert facts["answered"] >= 100
    assert facts["calls_per_second"] == pytest.approx(facts["answered"] / 60, abs=0.05)
    latency = facts["latency_us"]
    names = ["min", "p50", "p75", "p90", "p99", "p99.9", "p99.99", "max"]
    assert [latency[name] for name in names] == sorted(latency[name] for name in names)


async def test_a_rate(network: MemoryNetwork, capsys: Capture) -> None:
    argv = ("--rate", "40", "--seconds", "0.5", "--warm-up", "0")
    assert await run(network, "bench", ADDRESS, "ledger/nothing", *argv) == 0
    out = capsys.readouterr().out
    assert "ledger/nothing at 127.0.0.1:7000 by memory\n40 calls a second, 0.5 s after" in out
    found = re.search(r" (\d+) answers?,", out)
    assert found is not None
    assert 0 < int(found[1]) <= 20  # a machine that is busy makes fewer in time
    assert "p99.99" in out


async def test_failures_are_counted_by_their_code(
    network: MemoryNetwork, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Load, "_is_over", lambda load, now_ns: load.measured.failed >= 3)
    assert await run(network, "bench", ADDRESS, "ledger/fail", '"not found"', *AT_LENGTH) == 1
    said = capsys.readouterr()
    facts = json.loads(said.out)
    assert facts["errors"] == {"NOT_FOUND": 3}
    assert (facts["answered"], facts["latency_us"]) == (0, {})
    assert "the last failure: ledger/fail at 127.0.0.1:7000: no such row" in said.err
    sleep = ("ledger/sleep", "9", "--timeout", "0.03")
    assert await run(network, "bench", ADDRESS, *sleep, *AT_LENGTH) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["errors"] == {"DEADLINE_EXCEEDED": 3}
    assert facts["latency_us"]["min"] >= 30_000


@pytest.mark.parametrize(
    ("argv", "kind", "words"),
    [
        (["ledger/nope"], RpcError, "has no such method"),
        (["ledger/echo", "{"], UsageError, "not JSON"),
        (["ledger/nothing", "--in-flight", "0"], UsageError, "--in-flight is from 1"),
        (["ledger/nothing", "--warm-up", "-1"], UsageError, "--warm-up"),
        (["ledger/nothing", "--rate", "9", "--expected-interval", "1"], UsageError, "closed loop"),
        (["ledger/nothing", "--plot", "/nowhere/p.svg"], UsageError, "no folder /nowhere"),
        (["ledger/nothing", "--plot", "p.png"], UsageError, "draws SVG: p.png must end in .svg"),
        (["mrpc.health/watch", "--expected-interval", "1e-9"], UsageError, "at least 1e-05"),
    ],
)
async def test_wrong_usage(
    network: MemoryNetwork, argv: list[str], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        await run(network, "bench", ADDRESS, *argv)


async def test_a_plot(network: MemoryNetwork, tmp_path: Path) -> None:
    path = tmp_path / "p.svg"
    assert await bench(network, "ledger/nothing", "--plot", str(path)) == 0
    drawn = path.read_text()
    assert "<svg" in drawn
    assert "99 %" in drawn


async def test_who_measured_nothing_is_told(network: MemoryNetwork, capsys: Capture) -> None:
    """One call takes the time of the warm-up, and all that was to be measured."""
    assert await bench(network, "mrpc.health/watch", "--timeout", "0.4") == 1
    said = capsys.readouterr()
    assert " 0 answers" in said.out
    assert said.err.startswith("mrpc: nothing was measured: no call began after the warm-up; ")


async def test_ctrl_c_prints_what_was_measured(
    network: MemoryNetwork, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_over(load: Load, now_ns: int) -> bool:
        if load.measured.answered == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return load._stop.is_set()

    monkeypatch.setattr(Load, "_is_over", is_over)
    began = time.monotonic()
    argv = ("ledger/nothing", "--seconds", "60", "--warm-up", "0", "--json")
    assert await run(network, "bench", ADDRESS, *argv) == 130
    assert time.monotonic() - began < 10
    assert json.loads(capsys.readouterr().out)["answered"] > 0


async def stalling(plan: Plan) -> Histogram:
    """One call stalls the server for 100 ms, and all that come meanwhile."""
    begins = time.monotonic() + 0.05

    async def call() -> None:
        await asyncio.sleep(max(begins + 0.1 - time.monotonic(), 0) if stalls() else 0.001)

    def stalls() -> bool:
        return begins <= time.monotonic() < begins + 0.1

    return (await Load(call, plan, asyncio.Event()).run()).latencies


async def test_a_stall_is_seen_in_all_the_calls_that_it_delays() -> None:
    in_turn = await stalling(Plan(0.25, 0, 1))
    assert in_turn.at(50) < 30_000 < in_turn.longest_ns / 1e3
    at_a_rate = await stalling(Plan(0.25, 0, 1000, rate=400))
    assert at_a_rate.at(75) > 30_000
    corrected = await stalling(Plan(0.25, 0, 1, interval=0.0025))
    assert corrected.at(90) > 30_000


async def test_the_bar_is_empty_before_it_begins() -> None:
    async def call() -> None:
        await asyncio.sleep(0)

    load = Load(call, Plan(0.05, 0, 1), asyncio.Event())
    assert load.progress == 0
    await load.run()
    assert load.progress == 1


async def test_what_cannot_be_reached_ends_in_time() -> None:
    async def call() -> None:
        raise Unavailable("no")

    for plan in (Plan(0.3, 0.01, 3), Plan(0.3, 0.01, 100, rate=1e9)):
        gc.collect()  # of all that other tests left; amid the plan it would take all of its time
        measured = await asyncio.wait_for(Load(call, plan, asyncio.Event()).run(), 5)
        assert measured.failed > 0
        assert measured.latencies.total == 0
        assert measured.most_in_flight <= plan.in_flight


def test_percentiles_are_within_a_hundredth() -> None:
    pick = random.Random(3)
    samples = sorted(int(pick.lognormvariate(11, 2)) for _ in range(5000))
    histogram = Histogram()
    for sample in samples:
        histogram.add(sample)
    for percent in (50.0, 90.0, 99.0, 99.9):
        exact = samples[-(-len(samples) * int(percent * 10) // 1000) - 1]
        assert histogram.at(percent) * 1e3 == pytest.approx(exact, rel=0.01)
    shares, latencies = histogram.curve()
    assert shares[0] == 1.0
    assert latencies[-1] == samples[-1] / 1e3


def test_correction_adds_the_calls_that_were_not_made() -> None:
    histogram = Histogram()
    histogram.add_corrected(100, 10)
    assert histogram.total == 10  # 100, 90, ..., 10
    histogram.add_corrected(5, 10)
    assert histogram.total == 11
    assert Histogram().summary() == {}


async def test_health(network: MemoryNetwork, server: Server, capsys: Capture) -> None:
    assert await run(network, "health", ADDRESS) == 0
    assert capsys.readouterr().out == "SERVING\n"
    server.health.set("ledger", "NOT_SERVING")
    assert await run(network, "health", ADDRESS, "ledger", "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert said == {"service": "ledger", "status": "NOT_SERVING"}
    server.health.set("", "UNKNOWN")
    assert await run(network, "health", ADDRESS) == 1
    assert capsys.readouterr().out == "UNKNOWN\n"
    watching = asyncio.create_task(run(network, "health", ADDRESS, "ledger", "--watch"))
    await until(lambda: server.health._watchers)
    (waiting,) = server.health._watchers["ledger"]
    server.health.set("ledger", "SERVING")
    await until(lambda: waiting not in server.health._watchers.get("ledger", {waiting}))
    await server.close(5.0)
    assert await watching == 1
    assert capsys.readouterr().out.split() == ["NOT_SERVING", "SERVING", "NOT_SERVING"]

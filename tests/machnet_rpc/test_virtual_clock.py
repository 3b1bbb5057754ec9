"""Virtual time: deadlines, pauses and keep-alives pass in no time, in the same order every run."""

import asyncio
import re
import time
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

from machnet_rpc import (
    Cancelled,
    DeadlineExceeded,
    MemoryNetwork,
    Unavailable,
    connect,
    current_call,
    rpc,
    serve,
    service,
)
from machnet_rpc._transports.ladder import Via
from machnet_rpc.testing import StandstillError, VirtualClock
from tests.tidy import tree
from transport_engine.config import EngineConfig, Limits

WAYS = (MemoryNetwork, EngineConfig)


# They have no event loop, wait for another process, or tell people how long something took.
SYSTEMS_TIME = {
    "_blocking.py",
    "_blocking_calls.py",
    "_blocking_sending.py",
    "_clock.py",
    "_private_loop.py",
    "statistics.py",
    "sync.py",
}


@service("sleeper")
class Sleeper:
    @rpc(timeout=10.0)
    async def sleep(self, seconds: float) -> float:
        raise NotImplementedError

    @rpc(timeout=10.0)
    async def time_left(self) -> float:
        raise NotImplementedError


class Bed(Sleeper):
    def __init__(self) -> None:
        self.cancelled = 0

    @rpc
    async def sleep(self, seconds: float) -> float:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return seconds

    @rpc
    async def time_left(self) -> float:
        await asyncio.sleep(4.0)
        left = current_call().remaining
        assert left is not None
        return left


def run(main: Coroutine[Any, Any, None]) -> float:
    """Runs it on asyncio's own loop; the seconds that it took by the system's clock."""
    began = time.monotonic()
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(main)
    return time.monotonic() - began


def test_all_calls_take_the_time_from_one_place() -> None:
    reads = re.compile(r"(?<!_clock\.)\bmonotonic(_ns)?\(\)|import monotonic")
    found = {
        file.path.name
        for file in tree.matching(".py", under="machnet_rpc")
        if "cli" not in file.path.parts and file.path.name != "_virtual_clock.py"
        if reads.search(file.text)
    }
    assert found == SYSTEMS_TIME


@pytest.mark.parametrize("way", WAYS)
def test_a_deadline_passes_in_no_time(way: Any) -> None:
    via: Via = way()

    async def main() -> None:
        bed = Bed()
        async with (
            VirtualClock() as clock,
            serve(bed, "127.0.0.1:0", via=via) as server,
            connect(server.address, via=via) as client,
        ):
            sleeper = client.stub(Sleeper)
            began = clock.elapsed
            with pytest.raises(DeadlineExceeded) as caught:
                await sleeper.sleep(3600.0)
            assert caught.value.executed == "yes"
            assert 10.0 <= clock.elapsed - began < 10.01
            await asyncio.sleep(0.01)
            assert bed.cancelled == 1
            assert await sleeper.sleep(9.9) == 9.9
            assert 5.99 < await sleeper.time_left() <= 6.0

    assert run(main()) < 5.0  # of 24


@pytest.mark.parametrize("way", WAYS)
def test_order_is_the_same_every_run(way: Any) -> None:
    runs: list[list[tuple[int, float]]] = []

    async def main() -> None:
        via: Via = way()
        ends: list[tuple[int, float]] = []
        async with (
            VirtualClock() as clock,
            serve(Bed(), "127.0.0.1:0", via=via) as server,
            connect(server.address, via=via) as client,
        ):

            async def call(index: int) -> None:
                await client.stub(Sleeper).sleep(index * 37 % 10 * 0.1)
                ends.append((index, clock.elapsed))

            await asyncio.gather(*map(call, range(50)))
        runs.append(ends)

    run(main())
    run(main())
    first, second = runs
    assert first == second
    seconds = [index * 37 % 10 for index, _ in first]
    assert seconds == sorted(seconds)


def test_engines_keep_alive_in_virtual_time() -> None:
    """Two that say nothing for long hear of each other, and are not dead to each other."""
    engine = EngineConfig(limits=Limits(keep_alive_seconds=20, dead_seconds=60))

    async def main() -> None:
        async with VirtualClock() as clock:
            server = serve(Bed(), "127.0.0.1:0", via=engine)
            async with connect((await server.__aenter__()).address, via=engine) as client:
                await client.stub(Sleeper).sleep(0.0)
                await asyncio.sleep(300.0)
                await client.stub(Sleeper).sleep(0.0)  # by the same flow: each heard the other
                await server.__aexit__(None, None, None)
            assert 300.0 <= clock.elapsed < 310.0

    assert run(main()) < 5.0


def test_reconnects_pause_in_virtual_time() -> None:
    network = MemoryNetwork()

    async def main() -> None:
        async with VirtualClock() as clock, connect("127.0.0.1:7000", via=network) as client:
            call = asyncio.ensure_future(client.stub(Sleeper).sleep(0.0))
            await asyncio.sleep(5.0)
            async with serve(Bed(), "127.0.0.1:7000", via=network):
                await call
            assert 5.0 < clock.elapsed < 5.3
            with pytest.raises((Unavailable, DeadlineExceeded, Cancelled)):
                await client.stub(Sleeper).sleep(0.0)

    assert run(main()) < 5.0  # of 15


def test_time_waits_for_threads() -> None:
    async def main() -> None:
        async with VirtualClock() as clock:
            late = asyncio.get_running_loop().call_later(1.0, lambda: None)
            await asyncio.to_thread(time.sleep, 0.05)
            assert clock.elapsed == 0.0
            late.cancel()
            clock.jump(2.5)
            assert clock.elapsed == 2.5
            with pytest.raises(ValueError, match="does not go back"):
                clock.jump(-1.0)

    run(main())


def test_a_wait_for_nothing_ends() -> None:
    async def main() -> None:
        async with VirtualClock(patience=0.05):
            await asyncio.get_running_loop().create_future()

    with pytest.raises(StandstillError, match="tasks wait for what nobody sends"):
        run(main())


def test_polling_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("machnet_rpc._virtual_clock.STANDSTILL_MAX", 1000)

    async def main() -> None:
        async with VirtualClock() as clock:
            while clock.elapsed == 0.0:  # noqa: ASYNC110 (what is tested)
                await asyncio.sleep(0)

    with pytest.raises(StandstillError, match=r"polls by asyncio\.sleep\(0\)"):
        run(main())


def test_a_process_has_one_virtual_clock() -> None:
    async def main() -> None:
        async with VirtualClock() as clock:
            with pytest.raises(RuntimeError, match="one at a time"):
                await VirtualClock().__aenter__()
            assert asyncio.get_running_loop().time() < 1001.0
            await asyncio.sleep(1.0)
            with pytest.raises(RuntimeError, match="one at a time"):
                await clock.__aenter__()
            assert clock.elapsed == 1.0
        assert asyncio.get_running_loop().time() == pytest.approx(time.monotonic(), abs=1.0)
        async with VirtualClock() as again:
            await asyncio.sleep(3.0)
            assert again.elapsed == 3.0

    run(main())


def test_uvloop_is_refused_in_a_sentence() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"needs asyncio's own event loop, not uvloop"):
            await VirtualClock().__aenter__()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())

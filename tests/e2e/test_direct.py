"""The direct rung between real processes: killed, stopped, and never silent about it."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

import machnet_rpc
from machnet_rpc import DeadlineExceeded, RpcError
from tests.e2e.direct_kills import descriptors
from tests.e2e.echo import Echo
from tests.e2e.processes import Fleet, stand_still

ENGINE = 'driver = "udp"\naddress = "127.0.0.1"\nport = 0'
KILLS = 100
KILLS_SECONDS_MAX = 120.0
STOPPED_CALLS = 200
BALLAST = bytes(100_000)
CALL_SECONDS = 0.3
HANG_SECONDS = 10.0
CLIENTS = 10


def test_kills_of_both_sides_end_each_call_once_and_truly(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        argv = [sys.executable, "-m", "tests.e2e.direct_kills", "--kills", str(KILLS)]
        figures = fleet.start(argv).line(KILLS_SECONDS_MAX)
    assert figures["wrong"] == []
    assert figures["clients_that_ended_badly"] == 0
    assert figures["descriptors_more"] == 0
    assert figures["failed_maybe"] + figures["failed_yes"] > 0
    assert figures["answered_straight"] > 0.9 * figures["answered"] > 0


async def test_stopped_server_holds_up_its_callers_and_goes_on_afterwards(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        socket = fleet.engine("engine", ENGINE)
        address = fleet.serve("127.0.0.1:0", engine=socket)
        server = fleet.latest.pid
        async with machnet_rpc.connect(address, via=socket) as client:
            echo = client.stub(Echo).echo
            assert await echo(b"straight") == b"straight"
            assert client.transport.rung == "direct"
            stand_still(server)
            began = time.monotonic()
            calls = [echo.using(timeout=CALL_SECONDS)(BALLAST) for _ in range(STOPPED_CALLS)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            took = time.monotonic() - began
            for _ in range(3):  # of the others none is under way any more
                with pytest.raises(DeadlineExceeded):
                    await asyncio.wait_for(echo.using(timeout=CALL_SECONDS)(BALLAST), HANG_SECONDS)
            os.kill(server, signal.SIGCONT)
            fates = [each.executed for each in outcomes if isinstance(each, RpcError)]
            assert len(fates) == STOPPED_CALLS
            assert set(fates) == {"no", "maybe"}  # what the ring took may have run
            assert took < CALL_SECONDS + 2
            assert await echo(BALLAST) == BALLAST
            assert client.transport.rung == "direct"


async def test_engine_gets_everything_back_from_clients_that_come_and_go(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        socket = fleet.engine("engine", ENGINE)
        engine = fleet.latest.pid
        address = fleet.serve("127.0.0.1:0", engine=socket)
        before = descriptors(engine)
        for _ in range(CLIENTS):
            async with machnet_rpc.connect(address, via=socket) as client:
                assert await client.stub(Echo).echo(b"here") == b"here"
                assert client.transport.rung == "direct"
        deadline = time.monotonic() + 5
        while descriptors(engine) > before:
            assert time.monotonic() < deadline, "the engine keeps descriptors"
            await asyncio.sleep(0.01)


async def test_death_of_the_engine_ends_calls_and_the_next_one_is_used(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        socket = fleet.engine("engine", ENGINE)
        engine = fleet.latest
        address = fleet.serve("127.0.0.1:0", engine=socket)
        async with machnet_rpc.connect(address, via=socket) as client:
            echo = client.stub(Echo).echo
            assert await echo(b"before") == b"before"
            first = client._keeper.connection
            engine.kill()
            await asyncio.to_thread(fleet.engine, "engine", ENGINE)
            assert await echo.using(timeout=10.0)(b"after") == b"after"
            assert client._keeper.connection is not first
            assert client.transport.rung in ("direct", "sidecar+udp")

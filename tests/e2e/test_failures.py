"""Kills and idleness, with real processes over kernel UDP."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import machnet_rpc
from machnet_rpc import RpcError, Unavailable
from tests.e2e.echo import Echo
from tests.e2e.processes import Fleet

ENGINE = 'driver = "udp"\naddress = "127.0.0.1"\nport = 0'
DEADLINE_SECONDS = 4.0
SLACK_SECONDS = 1.5  # for a busy machine
ATTEMPTS_MAX = 3
IDLE_SECONDS = 5.0


async def until_answered(stub: Any) -> None:
    """The first call may find the flow dead: one that is not idempotent is never sent twice."""
    for _ in range(ATTEMPTS_MAX):
        with suppress(Unavailable):
            assert await stub.echo.using(timeout=20.0)(b"after") == b"after"
            return
    pytest.fail("the restarted server is not used")


async def until_told(stub: Any, kill: Callable[[], None]) -> tuple[list[RpcError], float]:
    """Kills something under 50 calls; returns how they ended, and after how many seconds."""
    calls = [
        asyncio.create_task(stub.sleep.using(timeout=DEADLINE_SECONDS)(60.0)) for _ in range(50)
    ]
    await asyncio.sleep(0.2)
    kill()
    killed = time.monotonic()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, RpcError)]
    assert len(errors) == len(outcomes), outcomes
    return errors, time.monotonic() - killed


@pytest.mark.parametrize("rung", ["inline", "sidecar"])
async def test_killed_server_ends_calls_in_time_and_a_new_one_is_used(
    tmp_path: Path, rung: str
) -> None:
    with Fleet(tmp_path) as fleet:
        engine = fleet.engine("engine", ENGINE) if rung == "sidecar" else None
        address = fleet.serve("127.0.0.1:0", engine)
        server = fleet.latest
        async with machnet_rpc.connect(address, via=engine) as client:
            stub = client.stub(Echo)
            assert await stub.echo(b"before") == b"before"
            errors, seconds = await until_told(stub, server.kill)
            # A sidecar outlives its application and tells at once; an inline engine dies with it.
            assert seconds < (SLACK_SECONDS if engine else DEADLINE_SECONDS + SLACK_SECONDS)
            assert {error.executed for error in errors} == {"yes"}
            fleet.serve(address, engine)
            await until_answered(stub)


async def test_killed_engine_ends_calls_in_time_and_a_new_one_is_used(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        socket = fleet.engine("engine", ENGINE)
        engine = fleet.latest
        address = fleet.serve("127.0.0.1:0", socket)
        async with machnet_rpc.connect(address, via=socket) as client:
            stub = client.stub(Echo)
            assert await stub.echo(b"before") == b"before"
            errors, seconds = await until_told(stub, engine.kill)
            assert seconds < DEADLINE_SECONDS + SLACK_SECONDS
            assert {error.executed for error in errors} <= {"maybe", "no", "yes"}
            assert fleet.engine("engine", ENGINE) == socket
            await until_answered(stub)


async def test_idle_engines_and_applications_sleep(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        engine = fleet.engine("engine", ENGINE)
        beside_it, with_its_own = fleet.serve("127.0.0.1:0", engine), fleet.serve("127.0.0.1:0")
        async with (
            machnet_rpc.connect(beside_it, via=engine) as sidecar,
            machnet_rpc.connect(with_its_own) as inline,
        ):
            for number in range(200):
                await sidecar.stub(Echo).echo(b"%d" % number)
                await inline.stub(Echo).echo(b"%d" % number)
            await asyncio.sleep(1.0)
            before = [time.process_time(), *fleet.cpu_seconds()]
            await asyncio.sleep(IDLE_SECONDS)
            after = [time.process_time(), *fleet.cpu_seconds()]
    shares = [(b - a) / IDLE_SECONDS for a, b in zip(before, after, strict=True)]
    assert max(shares) < 0.02, shares

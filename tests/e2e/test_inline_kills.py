"""A server that is killed with the engine in its process: what the next one knows of its calls."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from machnet_rpc import RpcError, connect, rpc, serve, service
from tests.e2e.direct_kills import end, forked, free_port
from tests.memory_files import needs_shm
from transport_engine.config import EngineConfig
from transport_engine.starts_file import default_folder

TIMEOUT_SECONDS = 10.0
LANE = 1  # so that handlers start in the order of the calls


@service("e2e.Doomed")
class Doomed:
    """Ends its own process."""

    @rpc(timeout=TIMEOUT_SECONDS, lane=LANE)
    async def ready(self) -> None:
        raise NotImplementedError

    @rpc(timeout=TIMEOUT_SECONDS, lane=LANE)
    async def wait(self) -> None:
        raise NotImplementedError

    @rpc(timeout=TIMEOUT_SECONDS, lane=LANE, idempotent="keyed")
    async def wait_once(self) -> None:
        raise NotImplementedError

    @rpc(timeout=TIMEOUT_SECONDS, lane=LANE)
    def count(self) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc(timeout=TIMEOUT_SECONDS, lane=LANE)
    async def die(self) -> None:
        raise NotImplementedError


class DoomedServer(Doomed):
    @rpc
    async def ready(self) -> None:
        pass

    @rpc
    async def wait(self) -> None:
        await asyncio.sleep(TIMEOUT_SECONDS)

    @rpc
    async def wait_once(self) -> None:
        await asyncio.sleep(TIMEOUT_SECONDS)

    @rpc
    async def count(self) -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(TIMEOUT_SECONDS)

    @rpc
    async def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


async def serve_until_killed(address: str) -> None:
    async with serve(DoomedServer(), address, via=EngineConfig()):
        await asyncio.Event().wait()


@pytest.fixture
def address() -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    yield address
    for left in default_folder().glob(f"{address}.*"):
        left.unlink()


@pytest.fixture
def start(address: str) -> Iterator[Callable[[], int]]:
    """Starts a server; the last one is ended."""
    pids: list[int] = []

    def started() -> int:
        pids.append(forked(lambda: serve_until_killed(address)))
        return pids[-1]

    yield started
    end(pids[-1])


async def items(counting: AsyncIterator[int]) -> None:
    async for _ in counting:
        pass


@needs_shm
async def test_the_next_server_knows_what_was_started(
    address: str, start: Callable[[], int]
) -> None:
    killed = start()
    async with connect(address, via=EngineConfig(), retries=None) as client:
        doomed = client.stub(Doomed)
        await doomed.ready()
        calls = [doomed.wait(), doomed.wait(), doomed.die()]
        calls += [doomed.wait(), doomed.wait_once(), items(doomed.count())]
        tasks = [asyncio.ensure_future(each) for each in calls]
        await asyncio.to_thread(os.waitpid, killed, 0)
        start()
        told = await asyncio.gather(*tasks, return_exceptions=True)
    failures = [each for each in told if isinstance(each, RpcError)]
    assert [each.executed for each in failures] == ["yes", "yes", "maybe", "no", "no", "no"]
    assert failures[0].stage == "handler started"
    assert failures[2].stage == "taken"

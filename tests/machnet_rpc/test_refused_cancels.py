"""What a handler waits for may raise where it is cancelled: that ends no other one's call.

Two handlers that wait for each other are such a case, as are two tasks of asyncio.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from machnet_rpc import Client, MemoryNetwork, connect, rpc, serve, service
from tests.machnet_rpc.waiting import until

ADDRESS = "127.0.0.1:7000"


class Raising(asyncio.Future[None]):
    def cancel(self, msg: object = None) -> bool:
        raise OSError("it is not to be cancelled")


@service("refusing")
class Refusing:
    @rpc(timeout=30.0)
    async def wait(self, how: str) -> None:
        raise NotImplementedError

    @rpc(timeout=30.0, idempotent="keyed")
    async def wait_once(self, how: str) -> None:
        raise NotImplementedError

    @rpc(timeout=30.0)
    async def sleep(self, seconds: float) -> float:
        raise NotImplementedError


class RefusingServer(Refusing):
    def __init__(self) -> None:
        self.tasks = list[asyncio.Task[Any]]()
        self.asleep = 0
        self.ended = list[str]()

    @rpc
    async def wait(self, how: str) -> None:
        await self._wait(how)

    @rpc
    async def wait_once(self, how: str) -> None:
        await self._wait(how)

    async def _wait(self, how: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        waits: dict[str, Callable[[], Awaitable[Any]]] = {
            "raising": Raising,
            "each other": self._other,
        }
        try:
            await waits[how]()
        except asyncio.CancelledError:
            self.ended.append(how)
            raise

    async def _other(self) -> None:
        own = asyncio.current_task()
        await until(lambda: len(self.tasks) == 2)
        await next(task for task in self.tasks if task is not own)

    @rpc
    async def sleep(self, seconds: float) -> float:
        self.asleep += 1
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.ended.append("asleep")
            raise
        return seconds


HOWS = {"raising": 1, "each other": 2}


async def begun(client: Client, handlers: RefusingServer, how: str) -> list[asyncio.Task[Any]]:
    """Calls of which the first are those that refuse, and the others sleep."""
    stub, before = client.stub(Refusing), handlers.asleep
    refusing = [stub.wait, stub.wait_once][: HOWS[how]]
    calls = [*(wait(how) for wait in refusing), stub.sleep(30.0), stub.sleep(30.0)]
    tasks = [asyncio.ensure_future(call) for call in calls]
    await until(lambda: len(handlers.tasks) == HOWS[how] and handlers.asleep == before + 2)
    return tasks


@pytest.mark.parametrize("how", HOWS)
async def test_a_client_that_leaves_ends_its_own_calls_only(
    network: MemoryNetwork, how: str
) -> None:
    handlers = RefusingServer()
    async with (
        serve(handlers, ADDRESS, via=network, grace=0.1) as server,
        connect(ADDRESS, via=network) as other,
    ):
        released = asyncio.ensure_future(other.stub(Refusing).sleep(0.3))
        await until(lambda: handlers.asleep == 1)
        pump = server._pump
        async with connect(ADDRESS, via=network) as client:
            calls = await begun(client, handlers, how)
        await asyncio.gather(*calls, return_exceptions=True)
        assert await released == 0.3
        await until(lambda: len(handlers.ended) == HOWS[how] + 2)
        assert server._pump is pump


@pytest.mark.parametrize("how", HOWS)
async def test_a_server_that_closes_ends_all(network: MemoryNetwork, how: str) -> None:
    handlers = RefusingServer()
    async with (
        serve(handlers, ADDRESS, via=network) as server,
        connect(ADDRESS, via=network) as client,
    ):
        calls = await begun(client, handlers, how)
        await server.close(grace=0)
        await asyncio.gather(*calls, return_exceptions=True)
        await until(lambda: len(handlers.ended) == HOWS[how] + 2)
        assert server._pump is None


@pytest.mark.parametrize("how", HOWS)
async def test_a_deadline_ends_its_handler(network: MemoryNetwork, how: str) -> None:
    handlers = RefusingServer()
    async with (
        serve(handlers, ADDRESS, via=network),
        connect(ADDRESS, via=network, timeout=0.1) as client,
    ):
        await asyncio.gather(*await begun(client, handlers, how), return_exceptions=True)
        await until(lambda: len(handlers.ended) == HOWS[how] + 2)
        assert await client.stub(Refusing).sleep(0) == 0

"""Servers that are replaced under load: no call fails, and none is executed twice."""

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial

from machnet_rpc import Client, MemoryNetwork, Server, connect, rpc, service, sync
from machnet_rpc._aio.leaving import SILENCE_SECONDS
from machnet_rpc._transports.ladder import Via
from machnet_rpc._transports.memory import MemoryLink
from tests.machnet_rpc.server_thread import serving
from tests.machnet_rpc.waiting import until
from transport_engine.config import EngineConfig
from transport_engine.errors import PortInUseError

ROLLS = 10
CALLERS = 8
ITEMS = 20
CALLS = 50  # in the life of each server


@service("rolled")
class Rolled:
    @rpc
    async def note(self, number: int) -> int:
        raise NotImplementedError

    @rpc
    async def slow(self, number: int) -> int:
        raise NotImplementedError

    @rpc
    def count(self, most: int) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc
    async def total(self, numbers: AsyncIterator[int]) -> int:
        raise NotImplementedError


class Desk(Rolled):
    """Not idempotent: `journal` has a number as often as it was executed."""

    def __init__(self, journal: list[int]) -> None:
        self.journal = journal
        self.served = 0

    @rpc
    async def note(self, number: int) -> int:
        self.served += 1
        self.journal.append(number)
        return number

    @rpc
    async def slow(self, number: int) -> int:
        await asyncio.sleep(0.005)
        self.journal.append(number)
        return number

    @rpc
    async def count(self, most: int) -> AsyncIterator[int]:
        for number in range(most):
            yield number
            if number % 5 == 0:
                await asyncio.sleep(0.001)

    @rpc
    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])


class Load:
    """Calls of every kind until it is told to stop; `made` has each number once."""

    def __init__(self, client: Client) -> None:
        self.stub = client.stub(Rolled)
        self.made: list[int] = []
        self.streams = 0
        self.is_over = False

    async def run(self) -> None:
        """Errors: whatever a call raised."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._unary())
            group.create_task(self._streaming())

    async def _unary(self) -> None:
        while not self.is_over:
            number = len(self.made)
            self.made.append(number)
            method = self.stub.slow if number % 10 == 0 else self.stub.note
            assert await method(number) == number
            await asyncio.sleep(0)

    async def _streaming(self) -> None:
        while not self.is_over:
            async with self.stub.count(ITEMS) as items:
                assert [item async for item in items] == list(range(ITEMS))
            assert await self.stub.total(numbers(ITEMS)) == ITEMS * (ITEMS - 1) // 2
            self.streams += 2


async def numbers(most: int) -> AsyncIterator[int]:
    for number in range(most):
        yield number
        await asyncio.sleep(0)


async def test_servers_roll_under_load_without_a_failed_call(via: Via) -> None:
    journal: list[int] = []
    desk = Desk(journal)
    server = Server(desk)
    await server.listen("127.0.0.1:0", via=via)
    address = server.address
    try:
        async with connect(address, via=via, timeout=20.0) as client:
            load = Load(client)
            running = asyncio.create_task(load.run())
            for _ in range(ROLLS):
                await until(partial(is_time, desk, running), 10.0)
                desk = Desk(journal)
                server = await rolled(server, desk, address, via)
            load.is_over = True
            await running
    finally:
        await server.close(0)
    assert sorted(journal) == sorted(load.made)
    assert load.streams > 0


def is_time(desk: Desk, running: asyncio.Task[None]) -> bool:
    return is_used(desk) or running.done()


def is_used(desk: Desk) -> bool:
    return desk.served >= CALLS


async def rolled(old: Server, desk: Desk, address: str, via: Via) -> Server:
    """The next server at the address; one that shares an engine with the old one need not wait."""
    new = Server(desk)
    closing = asyncio.create_task(old.close(5.0))
    if isinstance(via, EngineConfig):
        await closing
    await asyncio.sleep(0)  # the port is free as soon as the old one leaves
    async with asyncio.timeout(5.0):
        while True:
            try:
                await new.listen(address, via=via)
                break
            except PortInUseError:
                await asyncio.sleep(0.001)
    await closing
    return new


def test_servers_roll_under_a_blocking_client(via: Via) -> None:
    started, ended = threading.Event(), threading.Event()
    addresses: list[str] = []

    async def main() -> None:
        desk = Desk([])
        server = Server(desk)
        await server.listen("127.0.0.1:0", via=via)
        addresses.append(server.address)
        started.set()
        for _ in range(3):
            await until(partial(is_used, desk), 10.0)
            desk = Desk([])
            server = await rolled(server, desk, addresses[0], via)
        await until(partial(is_used, desk), 10.0)
        ended.set()
        await server.close(0.2)

    thread = threading.Thread(target=asyncio.run, args=[main()])
    thread.start()
    assert started.wait(10.0)
    with sync.connect(addresses[0], via=via, timeout=10.0) as client:
        note = client.method(Rolled.note)
        number = 0
        while not ended.is_set() and thread.is_alive():
            assert note(number) == number
            number += 1
        thread.join(10.0)
    assert ended.is_set()


class Slow(Desk):
    @rpc
    async def slow(self, number: int) -> int:
        await asyncio.sleep(0.3)
        return number


def test_a_server_leaves_while_a_blocking_call_spins(via: Via) -> None:
    """What it says reaches the client outside of the event loop."""
    with (
        serving(Slow([]), "127.0.0.1:0", via) as there,
        sync.connect(there.address, via=via, spin=5.0) as client,
    ):
        assert client.call(Rolled.note, 1) == 1
        leaving = asyncio.run_coroutine_threadsafe(_left(there.server), there.loop)
        assert client.call(Rolled.slow, 2) == 2
        leaving.result(10.0)


async def _left(server: Server) -> None:
    await asyncio.sleep(0.1)
    await server.close(5.0)


async def test_a_server_without_its_engine_closes_all_the_same(network: MemoryNetwork) -> None:
    server = Server(Desk([]))
    await server.listen("127.0.0.1:7001", via=network)
    assert isinstance(server._link, MemoryLink)
    server._link.die()
    async with asyncio.timeout(2.0):
        await server.close(1.0)
    again = Server(Desk([]))
    await again.listen("127.0.0.1:7001", via=network)
    await again.close()


async def test_a_client_that_is_told_says_so_when_its_calls_have_ended(via: Via) -> None:
    desk = Desk([])
    server = Server(desk)
    await server.listen("127.0.0.1:0", via=via)
    async with connect(server.address, via=via, timeout=10.0) as client:
        slow = asyncio.ensure_future(client.stub(Rolled).slow(1))
        assert await client.stub(Rolled).note(2) == 2
        assert server._pump is not None
        (connection,) = server._pump.connections
        closing = asyncio.create_task(server.close(10.0))
        assert await slow == 1
        began = asyncio.get_running_loop().time()
        await closing
        assert asyncio.get_running_loop().time() - began < SILENCE_SECONDS
        assert not connection.is_usable

"""A consumer that stands still holds up its own producer, and nothing else of the connection."""

import asyncio
from collections.abc import AsyncIterable

import pytest

from machnet_rpc import Client, MemoryNetwork, Server, connect, rpc, serve
from machnet_rpc._protocol.stream_table import IncomingStream
from machnet_rpc._protocol.streams import FIRST
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.leftovers import nothing_left
from tests.machnet_rpc.tap import Drop, Source, Tap, TapDesk
from tests.machnet_rpc.waiting import until
from transport_engine.config import EngineConfig, Faults

LIVE = 31
ITEMS = 150


@pytest.fixture(params=["memory", "lossy"])
def via(request: pytest.FixtureRequest, network: MemoryNetwork) -> Via:
    if request.param == "memory":
        return network
    return EngineConfig(faults=Faults(loss=0.02, reorder=0.02, duplicate=0.02, seed=3))


async def count_run(client: Client, size: int) -> int:
    number = 0
    async for item in client.stub(Tap).run.using(timeout=60)(ITEMS, size):
        assert item[:4] == number.to_bytes(4, "big")
        number += 1
    return number


def streams_of(server: Server) -> list[IncomingStream]:
    assert server._pump is not None
    return [
        stream
        for connection in server._pump.connections
        for stream in connection.streams.incoming.values()
    ]


async def test_one_stalled_stream_among_31_live_ones(via: Via) -> None:
    desk = TapDesk()
    async with (
        serve(desk, "127.0.0.1:0", via=via) as server,
        connect(server.address, via=via, timeout=60) as client,
    ):
        stalled = client.stub(Tap).run(10 * ITEMS, 5000)
        assert (await anext(stalled))[:4] == bytes(4)
        await until(lambda: desk.produced == FIRST.items + 1)
        (stream,) = streams_of(server)
        live = [count_run(client, 500) for _ in range(LIVE)]
        assert await asyncio.gather(*live) == [ITEMS] * LIVE
        assert stream.sent == FIRST.items
        assert desk.produced == FIRST.items + 1 + LIVE * ITEMS
        assert await client.stub(Tap).total(Source(ITEMS).items()) == ITEMS * (ITEMS - 1) // 2
        rest = [int.from_bytes(item[:4], "big") async for item in stalled]
        assert rest == list(range(1, 10 * ITEMS))
        await until(lambda: nothing_left(client, server))


class Standing(TapDesk):
    """Whose `first` takes nothing before it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    @rpc
    async def first(self, drops: AsyncIterable[Drop]) -> Drop | None:
        self.journal.append("stands")
        await self.go.wait()
        return None


async def test_a_handler_that_stands_still_stops_its_own_caller(via: Via) -> None:
    desk = Standing()
    async with (
        serve(desk, "127.0.0.1:0", via=via) as server,
        connect(server.address, via=via, timeout=60) as client,
    ):
        source = Source()
        standing = asyncio.ensure_future(client.stub(Tap).first(source.items()))
        await until(lambda: desk.journal == ["stands"])
        uploads = [client.stub(Tap).total(Source(ITEMS).items()) for _ in range(LIVE)]
        assert await asyncio.gather(*uploads) == [ITEMS * (ITEMS - 1) // 2] * LIVE
        assert source.given == FIRST.items + 1
        desk.go.set()
        assert await standing is None
        assert source.is_closed
        await until(lambda: nothing_left(client, server))

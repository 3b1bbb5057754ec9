"""Every test of calls runs on both event loops, and over every way that this machine has."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from machnet_rpc import Client, MemoryNetwork, Server, connect, serve
from tests.machnet_rpc.ledger import LedgerBook

ADDRESS = "127.0.0.1:7000"


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


@pytest.fixture
def book() -> LedgerBook:
    return LedgerBook()


@pytest.fixture
async def server(network: MemoryNetwork, book: LedgerBook) -> AsyncIterator[Server]:
    async with serve(book, ADDRESS, via=network, grace=0.2) as server:
        yield server


@pytest.fixture
async def client(network: MemoryNetwork, server: Server) -> AsyncIterator[Client]:
    async with connect(server.address, via=network, timeout=5.0) as client:
        yield client

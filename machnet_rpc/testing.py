"""For tests of services: a client and a server that need no network.

async with local(Shop()) as client:
    assert await client.stub(ShopContract).price("apple") == 3
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from machnet_rpc._aio.limits import Limits
from machnet_rpc._transports.memory import MemoryNetwork
from machnet_rpc.client import Client, connect
from machnet_rpc.server import serve

__all__ = ["MemoryNetwork", "local"]


@asynccontextmanager
async def local(
    implementations: object | Sequence[object], *, limits: Limits | None = None
) -> AsyncGenerator[Client, None]:
    """A client of the given implementations, served in this event loop through memory.

    Everything but the engine is what runs in production. Errors: ContractError.
    """
    network = MemoryNetwork()
    async with (
        serve(implementations, "127.0.0.1:0", limits=limits, via=network, grace=1.0) as server,
        connect(server.address, via=network) as client,
    ):
        yield client

"""Ten thousand connections from one client, of which one in a hundred is in use.

All flows share the client's engine, and the server's. A call takes the next of the flows in use.
"""

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncGenerator
from ipaddress import ip_address

from benchmarks.contender import Call, Place
from benchmarks.processes import resident_bytes
from benchmarks.rungs import Inline
from machnet_rpc import Client
from transport_engine.config import EngineConfig, Limits

CONNECTIONS = 10_000
ACTIVE = 100
OPENING = 32  # at one time


class OneConnection(Inline):
    """The same engines with one flow."""

    connections = 1
    active = 1

    def __init__(self) -> None:
        super().__init__()
        self._bytes = 0.0

    def extra(self) -> dict[str, float]:
        return {"kib_per_connection": self._bytes / self.connections / 1024}

    def _engine(self, host: str, place: Place) -> EngineConfig:
        limits = Limits(flows_max=2 * CONNECTIONS)
        return EngineConfig(address=ip_address(host), limits=limits)

    @contextlib.asynccontextmanager
    async def client(self, place: Place) -> AsyncGenerator[Call]:
        """Calls by turns on the flows in use."""
        async with self.connected(place) as client:
            yield await self._over_all(client, place)

    async def _over_all(self, client: Client, place: Place) -> Call:
        echo = self.method(client)
        await echo(b"")
        # One client has one flow, and this needs many on one link.
        keeper = client._keeper  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        pump, first = keeper.pump, keeper.connection
        assert pump is not None
        pids = (os.getpid(), *place.pids)
        before = sum(map(resident_bytes, pids))
        gate = asyncio.Semaphore(OPENING)

        async def opened() -> object:
            async with gate:
                return await pump.open(client.address)

        others = await asyncio.gather(*(opened() for _ in range(self.connections - 1)))
        self._bytes = sum(map(resident_bytes, pids)) - before
        turns = itertools.cycle([first, *others][: self.active])

        async def call(payload: bytes) -> bytes:
            keeper.connection = next(turns)  # type: ignore[assignment]
            reply: bytes = await echo(payload)
            return reply

        return call


class ManyConnections(OneConnection):
    """Ten thousand flows."""

    connections = CONNECTIONS
    active = ACTIVE

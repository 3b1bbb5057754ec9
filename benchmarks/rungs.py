"""This project's rungs as contenders: the same service and the same calls on each of them."""

import contextlib
from collections.abc import AsyncGenerator

from benchmarks.contender import Call, Contender, Place
from machnet_rpc import MemoryNetwork, connect, rpc, serve, service
from machnet_rpc._transports.ladder import Via


@service("echo")
class Echo:
    """Bytes there and back; no codec touches them."""

    @rpc(timeout=30.0, idempotent=True)
    async def echo(self, payload: bytes) -> bytes:
        """The payload itself."""
        raise NotImplementedError


class EchoServer(Echo):
    """Answers in one go."""

    @rpc
    async def echo(self, payload: bytes) -> bytes:
        return payload


class Rung(Contender):
    """A rung of the ladder; says so if calls would travel by another one."""

    rung: str

    def server_via(self, place: Place) -> Via:
        """How the server reaches the network."""
        raise NotImplementedError

    def client_via(self, place: Place) -> Via:
        """How the client reaches it."""
        raise NotImplementedError

    def server_address(self, place: Place) -> str:
        """Where the server listens."""
        return place.address

    @contextlib.asynccontextmanager
    async def server(self, place: Place) -> AsyncGenerator[None]:
        """The echo service."""
        async with serve(EchoServer(), self.server_address(place), via=self.server_via(place)):
            yield

    @contextlib.asynccontextmanager
    async def client(self, place: Place) -> AsyncGenerator[Call]:
        """A stub's method."""
        via = self.client_via(place)
        async with connect(self.server_address(place), via=via) as client:
            if client.transport.rung != self.rung:
                raise RuntimeError(f"calls travel by {client.transport}, not by {self.rung}")
            yield client.stub(Echo).echo


class Memory(Rung):
    """No engine: what the framework itself costs, on both sides."""

    rung = "memory"
    one_process = True

    def __init__(self) -> None:
        self._network = MemoryNetwork()

    def server_via(self, place: Place) -> Via:
        return self._network

    def client_via(self, place: Place) -> Via:
        return self._network

"""This project's rungs as contenders: the same service and the same calls on each of them."""

import contextlib
from collections.abc import AsyncGenerator, Generator
from ipaddress import ip_address
from typing import Any

from benchmarks.contender import Call, Contender, Place
from benchmarks.sidecars import EngineToml, dpdk_missing, running
from machnet_rpc import Client, MemoryNetwork, connect, rpc, serve, service
from machnet_rpc._transports.ladder import Via
from transport_engine.config import EngineConfig
from transport_engine.hugepages import hugepages

HUGE_MIB = 512  # for two engines


@service("echo")
class Echo:
    """Bytes there and back; no codec touches them."""

    @rpc(timeout=30.0, idempotent=True)
    async def echo(self, payload: bytes) -> bytes:
        """The payload itself."""
        raise NotImplementedError

    @rpc(timeout=30.0, idempotent=True)
    async def document(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document itself, through the codec on both sides."""
        raise NotImplementedError


class EchoServer(Echo):
    """Answers in one go."""

    @rpc
    async def echo(self, payload: bytes) -> bytes:
        return payload

    @rpc
    async def document(self, document: dict[str, Any]) -> dict[str, Any]:
        return document


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
        async with self.connected(place) as client:
            yield client.stub(Echo).echo

    @contextlib.asynccontextmanager
    async def connected(self, place: Place) -> AsyncGenerator[Client]:
        """A client on this rung. Errors: RuntimeError where it is on another."""
        via = self.client_via(place)
        async with connect(self.server_address(place), via=via) as client:
            if client.transport.rung != self.rung:
                raise RuntimeError(f"calls travel by {client.transport}, not by {self.rung}")
            yield client


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


class Inline(Rung):
    """An engine in each process, over kernel UDP."""

    rung = "inline+udp"

    def server_via(self, place: Place) -> Via:
        return EngineConfig(address=ip_address(place.host))

    def client_via(self, place: Place) -> Via:
        return EngineConfig(address=ip_address(place.host))


class SharedSidecar(Rung):
    """One sidecar for both processes: what calls between applications of one host cost."""

    rung = "sidecar+udp"

    def server_via(self, place: Place) -> Via:
        return place.folder / "engine.sock"

    def client_via(self, place: Place) -> Via:
        return place.folder / "engine.sock"

    @contextlib.contextmanager
    def beside(self, place: Place) -> Generator[list[int]]:
        """The sidecar."""
        with running(place.folder, EngineToml("engine", place.host)) as pid:
            yield [pid]


class SidecarsUdp(Rung):
    """A sidecar for each process, as on two hosts, joined by kernel UDP."""

    rung = "sidecar+udp"
    server_engine = EngineToml("server", "127.0.0.2")
    client_engine = EngineToml("client", "127.0.0.3")

    def server_via(self, place: Place) -> Via:
        return place.folder / "server.sock"

    def client_via(self, place: Place) -> Via:
        return place.folder / "client.sock"

    def server_address(self, place: Place) -> str:
        return f"{self.server_engine.address}:{place.port}"

    @contextlib.contextmanager
    def beside(self, place: Place) -> Generator[list[int]]:
        """Both sidecars."""
        with (
            running(place.folder, self.server_engine) as server,
            running(place.folder, self.client_engine) as client,
        ):
            yield [server, client]


class SidecarsDpdk(SidecarsUdp):
    """A sidecar for each process, joined by DPDK: vhost on one side, virtio-user on the other."""

    rung = "sidecar+dpdk"
    server_engine = EngineToml(
        "server", "192.0.2.1", "dpdk", "net_vhost0,iface={folder}/wire,queues=1"
    )
    client_engine = EngineToml(
        "client", "192.0.2.2", "dpdk", "net_virtio_user0,path={folder}/wire,queues=1"
    )

    def missing(self) -> str | None:
        """Root, and an engine built with DPDK."""
        return dpdk_missing()

    @contextlib.contextmanager
    def beside(self, place: Place) -> Generator[list[int]]:
        """Both sidecars, and hugepages for as long as they run."""
        with hugepages(HUGE_MIB), super().beside(place) as pids:
            yield pids

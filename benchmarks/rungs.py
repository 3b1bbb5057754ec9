"""This project's rungs as contenders: the same service and the same calls on each of them."""

import contextlib
from collections.abc import AsyncGenerator, Generator
from ipaddress import ip_address
from typing import Any

from benchmarks.contender import Call, Contender, Place
from benchmarks.documents import FIELDS, Order, Orders, OrdersServer, OrderStruct
from benchmarks.sidecars import EAL, EngineToml, dpdk_missing, running
from machnet_rpc import Client, MemoryNetwork, connect, rpc, serve, service
from machnet_rpc._transports.ladder import Via
from transport_engine.config import EngineConfig
from transport_engine.config import Limits as EngineLimits
from transport_engine.hugepages import hugepages

HUGE_MIB = 512  # for two engines
SMALL_BYTES = 1 << 20  # a longest message that every engine has room for
FOREVER_S = 3600.0
NO_PAIRS = ("direct = false",)


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

    @rpc(timeout=30.0, idempotent=True)
    async def swallow(self, payload: memoryview) -> int:
        """How many bytes came; they do not go back."""
        raise NotImplementedError


class EchoServer(Echo):
    """Answers in one go."""

    @rpc
    async def echo(self, payload: bytes) -> bytes:
        return payload

    @rpc
    async def document(self, document: dict[str, Any]) -> dict[str, Any]:
        return document

    @rpc
    async def swallow(self, payload: memoryview) -> int:
        return len(payload)


class Rung(Contender):
    """A rung of the ladder; says by which one calls travelled."""

    def __init__(self) -> None:
        self._travelled = ""

    def server_via(self, place: Place) -> Via:
        """How the server reaches the network."""
        raise NotImplementedError

    def client_via(self, place: Place) -> Via:
        """How the client reaches it."""
        raise NotImplementedError

    def server_address(self, place: Place) -> str:
        """Where the server listens."""
        return place.address

    def travelled(self) -> str:
        return self._travelled

    def method(self, client: Client) -> Call:
        """What is called."""
        return client.stub(Echo).echo

    def services(self) -> list[Any]:
        """What is served."""
        return [EchoServer(), OrdersServer()]

    @contextlib.asynccontextmanager
    async def server(self, place: Place) -> AsyncGenerator[None]:
        """All services."""
        address, via = self.server_address(place), self.server_via(place)
        async with serve(self.services(), address, via=via):
            yield

    @contextlib.asynccontextmanager
    async def client(self, place: Place) -> AsyncGenerator[Call]:
        """A stub's method."""
        async with self.connected(place) as client:
            yield self.method(client)

    @contextlib.asynccontextmanager
    async def connected(self, place: Place) -> AsyncGenerator[Client]:
        """A client on this rung; afterwards `travelled` knows on which it was."""
        via = self.client_via(place)
        async with connect(self.server_address(place), via=via) as client:
            yield client
            self._travelled = client.transport.rung


class Memory(Rung):
    """No engine: what the framework itself costs, on both sides."""

    one_process = True

    def __init__(self) -> None:
        super().__init__()
        self._network = MemoryNetwork()

    def server_via(self, place: Place) -> Via:
        return self._network

    def client_via(self, place: Place) -> Via:
        return self._network


class Inline(Rung):
    """An engine in each process, over kernel UDP."""

    def server_via(self, place: Place) -> Via:
        return self._engine(place.host, place)

    def client_via(self, place: Place) -> Via:
        return self._engine(place.client_host, place)

    def _engine(self, host: str, place: Place) -> EngineConfig:
        address = ip_address(host)
        limits = EngineLimits()
        if place.size_bytes_max >= SMALL_BYTES:
            limits = EngineLimits(message_bytes_max=place.size_bytes_max + 4096)
        security = None if address.is_loopback else "none"
        return EngineConfig(address=address, limits=limits, security=security)


class InlineDpdk(Rung):
    """An engine in each process, joined by DPDK: vhost on one side, virtio-user on the other."""

    def missing(self) -> str | None:
        """Root, and an engine built with DPDK."""
        return dpdk_missing()

    def server_address(self, place: Place) -> str:
        return f"192.0.2.1:{place.port}"

    def server_via(self, place: Place) -> Via:
        return _dpdk("192.0.2.1", f"net_vhost0,iface={place.folder}/wire,queues=1")

    def client_via(self, place: Place) -> Via:
        return _dpdk("192.0.2.2", f"net_virtio_user0,path={place.folder}/wire,queues=1")

    @contextlib.contextmanager
    def beside(self, place: Place) -> Generator[list[int]]:
        """Hugepages for as long as they run."""
        with hugepages(HUGE_MIB):
            yield []


class InlineAfPacket(Inline):
    """An engine in each process, each on the raw packets of its veth device, `mrpc0`."""

    def missing(self) -> str | None:
        """Root, and an engine built with DPDK."""
        return dpdk_missing()

    def _engine(self, host: str, place: Place) -> EngineConfig:
        eal = "--no-huge -m 256 --no-pci --no-telemetry"
        return _dpdk(host, "net_af_packet0,iface=mrpc0", eal)


def _dpdk(host: str, vdev: str, eal: str = EAL) -> EngineConfig:
    netif = f"{eal} --vdev {vdev}"
    return EngineConfig(
        driver="dpdk", netif=netif, address=ip_address(host), prefix_bits=24, security="none"
    )


class SharedSidecar(Rung):
    """Both processes attached to one sidecar, by the best way that it offers them."""

    lines: tuple[str, ...] = ()  # of the sidecar's [engine.limits]
    control: tuple[str, ...] = ()  # and of its [control]

    def server_via(self, place: Place) -> Via:
        return place.folder / "engine.sock"

    def client_via(self, place: Place) -> Via:
        return place.folder / "engine.sock"

    @contextlib.contextmanager
    def beside(self, place: Place) -> Generator[list[int]]:
        """The sidecar."""
        limits = self.lines
        if place.size_bytes_max >= SMALL_BYTES:
            limits = (*limits, f"message_bytes_max = {place.size_bytes_max + 4096}")
        engine = EngineToml("engine", place.host, limits=limits, control=self.control)
        with running(place.folder, engine) as pid:
            yield [pid]


class Pydantic(SharedSidecar):
    """A pydantic model of six fields both ways."""

    def payload(self, size_bytes: int) -> Any:
        return Order(**FIELDS)

    def method(self, client: Client) -> Call:
        return client.stub(Orders).model


class Msgspec(SharedSidecar):
    """A msgspec struct of six fields both ways."""

    def payload(self, size_bytes: int) -> Any:
        return OrderStruct(**FIELDS)

    def method(self, client: Client) -> Call:
        return client.stub(Orders).struct


class OneWay(SharedSidecar):
    """Large messages go one way, and a number comes back."""

    def method(self, client: Client) -> Call:
        swallow = client.stub(Echo).swallow

        async def call(payload: bytes) -> bytes:
            if await swallow(memoryview(payload)) != len(payload):
                raise ValueError("not all of it came")
            return payload

        return call


class SidecarPolling(SharedSidecar):
    """Three processes, the engine never sleeping; no direct pair of rings."""

    control = NO_PAIRS
    lines = (f"spin_seconds = {FOREVER_S}",)


class SidecarSleeping(SharedSidecar):
    """Three processes, the engine asleep whenever nothing is to do; no direct pair of rings."""

    control = NO_PAIRS
    lines = ("spin_seconds = 0.0",)


class SidecarsUdp(Rung):
    """A sidecar for each process, as on two hosts, joined by kernel UDP."""

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

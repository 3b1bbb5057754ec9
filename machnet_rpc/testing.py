"""For tests of services: a client and a server in one process, faults by seed, and virtual time.

async with test_client(Shop(), drop=0.01, seed=7) as client:
    assert await client.stub(ShopContract).price("apple") == 3
"""

import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypedDict

from machnet_rpc._aio.limits import Limits
from machnet_rpc._protocol.calls import IncomingCall
from machnet_rpc._transports.ladder import Via
from machnet_rpc._transports.memory import MemoryNetwork
from machnet_rpc._virtual_clock import StandstillError, VirtualClock
from machnet_rpc.client import Client, connect
from machnet_rpc.middleware import Middleware
from machnet_rpc.server import Server, several
from transport_engine.config import EngineConfig, Faults
from transport_engine.errors import EngineGoneError

__all__ = [
    "ClientOptions",
    "MemoryNetwork",
    "StandstillError",
    "VirtualClock",
    "test_client",
]

GRACE_SECONDS: Final = 1.0
DELAY_SECONDS: Final = 0.001
DELAY_SECONDS_MAX: Final = 10.0
SEED_MAX: Final = (1 << 62) - 1


class ClientOptions(TypedDict, total=False):
    """Those of `test_client`, for who passes them on."""

    seed: int
    drop: float
    duplicate: float
    corrupt: float
    reorder: float
    delay: float
    kill_after: int | None
    timeout: float | None
    limits: Limits | None
    client_middleware: Sequence[Middleware]
    server_middleware: Sequence[Middleware]


@asynccontextmanager
async def test_client(
    implementations: object | Sequence[object],
    *,
    seed: int = 1,
    drop: float = 0.0,
    duplicate: float = 0.0,
    corrupt: float = 0.0,
    reorder: float = 0.0,
    delay: float = DELAY_SECONDS,
    kill_after: int | None = None,
    timeout: float | None = None,
    limits: Limits | None = None,
    client_middleware: Sequence[Middleware] = (),
    server_middleware: Sequence[Middleware] = (),
) -> AsyncGenerator[Client, None]:
    """A client of the given implementations, over a network with faults.

    `drop`, `duplicate`, `corrupt` and `reorder` are fractions of the packets, both ways; what is
    reordered, and a second copy, comes `delay` seconds late. They befall two engines in this
    process over UDP, and what the transport makes of them is what it makes of them in production.
    Without any, calls go through memory. Once the server has taken `kill_after` calls its engine
    dies, with all that has not left it; the next one listens at the same address. `timeout` is
    that of `connect`, and so is the middleware of the client; the server's is that of `serve`.

    The same seed does the same to the same packets, and draws the same pauses between attempts
    (from `random`, which goes on as before after the block); within a `VirtualClock` the packets
    are the same, too. An exception that leaves the block is told the seed. Errors: ContractError,
    ValueError for what is no fraction, no delay, or no number of calls.
    """
    server: Server = Server(*several(implementations), limits=limits, middleware=server_middleware)
    if kill_after is not None:
        server = _MortalServer(several(implementations), limits, server_middleware, kill_after)
    rates = {"drop": drop, "duplicate": duplicate, "corrupt": corrupt, "reorder": reorder}
    engines = _engines(rates, delay, seed)
    before = random.getstate()
    random.seed(seed)
    try:
        async with _pair(server, engines, timeout, client_middleware) as client:
            yield client
    except Exception as error:
        error.add_note(f"with the faults of seed={seed}")
        raise
    finally:
        random.setstate(before)


test_client.__test__ = False  # type: ignore[attr-defined]


@asynccontextmanager
async def _pair(
    server: Server,
    engines: tuple[Via, Via] | None,
    timeout: float | None,
    middleware: Sequence[Middleware],
) -> AsyncGenerator[Client, None]:
    network = MemoryNetwork()
    here, there = engines or (network, network)
    await server.listen("127.0.0.1:0", via=there)
    try:
        address, around = server.address, middleware
        async with connect(address, via=here, timeout=timeout, middleware=around) as client:
            yield client
    finally:
        await server.close(GRACE_SECONDS)


def _engines(rates: dict[str, float], delay: float, seed: int) -> tuple[Via, Via] | None:
    """The client's and the server's, each with faults of its own; None: without engines."""
    for name, rate in rates.items():
        if not 0 <= rate <= 1:
            raise ValueError(f"{name} is {rate}: a fraction of the packets is from 0 to 1")
    if not 0 <= delay <= DELAY_SECONDS_MAX:
        raise ValueError(f"delay is {delay}: it may be 0 to {DELAY_SECONDS_MAX:g} seconds")
    if not 0 <= seed <= SEED_MAX:
        raise ValueError(f"seed is {seed}: it may be 0 to {SEED_MAX}")
    if not any(rates.values()):
        return None
    client, server = (
        EngineConfig(
            faults=Faults(
                loss=rates["drop"],
                duplicate=rates["duplicate"],
                corrupt=rates["corrupt"],
                reorder=rates["reorder"],
                reorder_seconds=delay,
                seed=each,
            )
        )
        for each in (2 * seed, 2 * seed + 1)
    )
    return client, server


class _MortalServer(Server):
    """One whose engine dies once it has taken so many calls."""

    def __init__(
        self,
        implementations: Sequence[object],
        limits: Limits | None,
        middleware: Sequence[Middleware],
        kill_after: int,
    ) -> None:
        if kill_after < 1:
            raise ValueError(f"kill_after is {kill_after}: the server takes one call at least")
        super().__init__(*implementations, limits=limits, middleware=middleware)
        self._left = kill_after

    @property
    def on_request(self) -> Callable[[IncomingCall, bytes], None]:
        take = super().on_request

        def counted(call: IncomingCall, payload: bytes) -> None:
            take(call, payload)
            self._left -= 1
            if self._left == 0:  # as if its channel had said so
                raise EngineGoneError("the test killed the engine")

        return counted

"""The built-in service that says what a server has done: calls by method and code, and their times.

Counted where calls begin and end; reading it costs the calls nothing.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from idl import MethodKind
from machnet_rpc._aio.limits import Route
from machnet_rpc._buckets import at_percent, largest_of
from machnet_rpc._protocol.tally import BITS, OK, Tally
from machnet_rpc.errors import Code
from machnet_rpc.service import rpc, service

NAME: Final = "mrpc.statistics"


@dataclass(frozen=True, slots=True)
class Latency:
    """How long calls took from the ring to the answer, within an eighth. Units: seconds.

    `buckets` holds the non-empty ones: the largest time that falls in, and how many calls did.
    """

    p50: float
    p90: float
    p99: float
    p999: float
    longest: float
    buckets: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])


@dataclass(frozen=True, slots=True)
class MethodStatistics:
    """The calls of one method since the server was made; `ended` is by code, "OK" among them."""

    method: str
    kind: MethodKind
    begun: int
    under_way: int
    ended: dict[str, int]
    latency: Latency


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """A server's calls and flows; `engine` holds the counters of an engine of its own.

    A sidecar is shared: `mrpc stat` asks it on its own socket.
    """

    address: str
    transport: str
    up_seconds: float
    begun: int
    under_way: int
    flows: int
    methods: list[MethodStatistics]
    engine: dict[str, int]


@dataclass(slots=True)
class Observed:
    """What a server tells of its link, when it is asked."""

    address: str = ""
    transport: str = ""
    flows: int = 0
    engine: dict[str, int] = field(default_factory=dict[str, int])


@service(NAME)
class StatisticsContract:
    """What `mrpc stat ADDR` asks."""

    @rpc(idempotent=True)
    async def read(self, method: str = "") -> ServerStatistics:
        """All of it, or of one method only ("service/method")."""
        raise NotImplementedError


class Statistics(StatisticsContract):
    """Reads the counters of routes, and what `observe` says."""

    def __init__(self, observe: Callable[[], Observed]) -> None:
        self.routes: Iterable[Route] = ()
        self._observe = observe
        self._began = time.monotonic()

    @rpc
    async def read(self, method: str = "") -> ServerStatistics:
        observed = self._observe()
        methods = [
            statistics_of(route.binding.full_name, route.binding.kind, route.tally)
            for route in self.routes
            if method in ("", route.binding.full_name)
        ]
        return ServerStatistics(
            observed.address,
            observed.transport,
            time.monotonic() - self._began,
            sum(each.begun for each in methods),
            sum(each.under_way for each in methods),
            observed.flows,
            methods,
            observed.engine,
        )


def statistics_of(name: str, kind: MethodKind, tally: Tally) -> MethodStatistics:
    """What a tally says."""
    ended = tally.ended()
    counts = tally.buckets()
    longest = tally.longest_ns / 1e9

    def at(percent: float) -> float:
        return min(at_percent(counts, percent, BITS) / 1e9, longest)

    times = [(largest_of(index, BITS) / 1e9, count) for index, count in enumerate(counts) if count]
    return MethodStatistics(
        name,
        kind,
        tally.begun,
        tally.begun - sum(ended),
        {_name(code): count for code, count in enumerate(ended) if count},
        Latency(at(50), at(90), at(99), at(99.9), longest, times),
    )


def _name(code: int) -> str:
    return "OK" if code == OK else Code(code).name

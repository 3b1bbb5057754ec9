"""What a load cost outside of its client: packets on the wire, processor time of every process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transport_engine import read_stats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from examples.demo.hosts import Wire
    from examples.demo.processes import Child


@dataclass(frozen=True, slots=True)
class Reading:
    """All counters at one moment."""

    packets: int
    retransmitted: int
    cpu_seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Cost:
    """What lies between two readings; `cpu_us` is for each call, by kind of process."""

    packets: int
    retransmitted: int
    cpu_us: dict[str, float]


def read(wire: Wire, children: Mapping[str, Child]) -> Reading:
    """The counters of both engines, and of the processes in `children`.

    Errors: TransportError if an engine does not answer.
    """
    stats = [asyncio.run(read_stats(host.socket)) for host in (wire.servers, wire.clients)]
    return Reading(
        packets=sum(engine["datagrams_sent"] for engine in stats),
        retransmitted=sum(engine["packets_retransmitted"] for engine in stats),
        cpu_seconds={name: child.cpu_seconds() for name, child in children.items()},
    )


def cost(before: Reading, after: Reading, calls: int) -> Cost:
    """What happened in between."""
    return Cost(
        packets=after.packets - before.packets,
        retransmitted=after.retransmitted - before.retransmitted,
        cpu_us={
            name: (seconds - before.cpu_seconds[name]) * 1e6 / max(calls, 1)
            for name, seconds in after.cpu_seconds.items()
        },
    )

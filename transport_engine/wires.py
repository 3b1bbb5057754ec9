"""A scenario's links by name, its hosts by number, and the ways between them."""

from dataclasses import dataclass
from typing import TypeAlias

from transport_engine import scenario as model
from transport_engine.errors import ConfigError
from transport_engine.scenario import Scenario

Edge: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Wires:
    """Links by name, hosts by number, and the links between any two hosts."""

    links: dict[str, model.Link]
    waits: frozenset[str]
    hosts: int
    default_pairs: tuple[Edge, ...]
    topology: model.Pair | model.Dumbbell | model.Star

    def route(self, source: int, target: int) -> list[str]:
        """Names of the links from one host to another.

        Errors: ConfigError where there is no way.
        """
        for host in (source, target):
            if host >= self.hosts:
                raise ConfigError(f"host {host} does not exist; hosts are 0 to {self.hosts - 1}")
        if source == target:
            raise ConfigError(f"host {source} cannot send to itself")
        if isinstance(self.topology, model.Pair):
            return ["forward" if source == 0 else "back"]
        if isinstance(self.topology, model.Star):
            return [f"up{source}", f"down{target}"]
        is_left = source < self.topology.left
        if is_left == (target < self.topology.left):
            raise ConfigError(f"hosts {source} and {target} are on one side of the dumbbell")
        return [f"up{source}", "forward" if is_left else "back", f"down{target}"]

    def pairs(self, work: model.Workload) -> list[Edge]:
        """Client and server of each flow of a workload."""
        if work.pairs:
            return list(work.pairs)
        if isinstance(work, model.Messages):
            ends = ((each.source, each.target) for each in work.messages)
            return list(dict.fromkeys((min(pair), max(pair)) for pair in ends))
        if isinstance(work, model.Incast) and isinstance(self.topology, model.Star):
            return [(host, 0) for host in range(1, self.hosts)]
        return list(self.default_pairs)


def wires(scenario: Scenario) -> Wires:
    """The topology's links and hosts."""
    topology = scenario.topology
    if isinstance(topology, model.Pair):
        links = {"forward": topology.forward, "back": topology.back or topology.forward}
        return Wires(links, frozenset(), 2, ((0, 1),), topology)
    if isinstance(topology, model.Star):
        hosts = topology.hosts
        ups: dict[str, model.Link] = {f"up{host}": topology.uplink for host in range(hosts)}
        downs = {f"down{host}": topology.downlink for host in range(hosts)}
        pairs = [(a, b) for a in range(hosts) for b in range(hosts) if a != b]
        return Wires(ups | downs, frozenset(ups), hosts, tuple(pairs), topology)
    return _dumbbell(topology)


def _dumbbell(topology: model.Dumbbell) -> Wires:
    hosts = topology.left + topology.right
    links: dict[str, model.Link] = {
        "forward": topology.bottleneck,
        "back": topology.back or topology.bottleneck,
    }
    delays = topology.left_delays_us or (0.0,)
    for host in range(hosts):
        extra = delays[host % len(delays)] if host < topology.left else 0.0
        delay = {"delay_us": topology.edge.delay_us + extra}
        links[f"up{host}"] = topology.edge.model_copy(update=delay)
        inbound = {"queue_bytes": max(topology.edge.queue_bytes, 4 << 20)} | delay
        links[f"down{host}"] = topology.edge.model_copy(update=inbound)
    pairs = [(host, topology.left + host % topology.right) for host in range(topology.left)]
    waits = frozenset(name for name in links if name.startswith("up"))
    return Wires(links, waits, hosts, tuple(pairs), topology)

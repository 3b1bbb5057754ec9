"""What the fields of a scenario ask of each other, and of the network around them.

Says it in the scenario's own words, before the simulator is told anything. Without these rules a
run would answer *fail* for what no transport can do, or *pass* for what was not asked.
"""

from collections.abc import Iterator
from typing import Final

from transport_engine import scenario as model
from transport_engine._native import lib
from transport_engine.errors import ConfigError
from transport_engine.scenario import Scenario
from transport_engine.wires import Edge, Wires

RATE_GBPS_MIN: Final = 0.0001
STALL_EVERY_US_MIN: Final = 1.0
FLOWS_MAX: Final = 1 << 16
POOL_SHARE: Final = 4  # of a pool, that one message may take


def check(scenario: Scenario, wires: Wires) -> None:
    """Looks for a contradiction.

    Errors: ConfigError, a sentence about the first.
    """
    for rule in (_times, _hosts, _links, _transports, _incidents, _flows, _sizes):
        for sentence in rule(scenario, wires):
            raise ConfigError(sentence)


def _times(scenario: Scenario, _: Wires) -> Iterator[str]:
    from_us, to_us = scenario.measure_from_us, scenario.measure_to_us
    if to_us is not None and to_us <= from_us:
        yield f"measure_to_us is {to_us:g}; allowed is above measure_from_us, {from_us:g}"
    bin_min_us = scenario.duration_us / lib.TE_SIM_BINS_MAX
    if 0 < scenario.bin_us < bin_min_us:
        least = f"from {bin_min_us:g}, duration_us in {lib.TE_SIM_BINS_MAX} bins"
        yield f"bin_us is {scenario.bin_us:g}; allowed is 0, or {least}"


def _hosts(scenario: Scenario, wires: Wires) -> Iterator[str]:
    for number in scenario.hosts:
        if int(number) >= wires.hosts:
            yield f"hosts.{number} does not exist; hosts are 0 to {wires.hosts - 1}"
    named = [(f"hosts.{number}", host) for number, host in scenario.hosts.items()]
    for where, host in [("host", scenario.host), *named]:
        if host.stall_max_us < host.stall_min_us:
            least = f"from stall_min_us, {host.stall_min_us:g}"
            yield f"{where}.stall_max_us is {host.stall_max_us:g}; allowed is {least}"
        if 0 < host.stall_every_us < STALL_EVERY_US_MIN:
            allowed = f"allowed is 0, or from {STALL_EVERY_US_MIN:g}"
            yield f"{where}.stall_every_us is {host.stall_every_us:g}; {allowed}"


def _links(scenario: Scenario, _: Wires) -> Iterator[str]:
    for name in type(scenario.topology).model_fields:
        link = getattr(scenario.topology, name)
        if isinstance(link, model.Link):
            yield from _rate(f"topology.{name}.rate_gbps", link.rate_gbps)
            yield from _rate(f"topology.{name}.police_gbps", link.police_gbps)


def _rate(where: str, rate_gbps: float) -> Iterator[str]:
    if 0 < rate_gbps < RATE_GBPS_MIN:
        yield f"{where} is {rate_gbps:g}; allowed is 0 for no limit, or from {RATE_GBPS_MIN:g}"


def _transports(scenario: Scenario, _: Wires) -> Iterator[str]:
    named = [
        (f"workloads[{index}].transport", work.transport)
        for index, work in enumerate(scenario.workloads)
        if work.transport is not None
    ]
    for where, transport in [("transport", scenario.transport), *named]:
        if transport.credit_bytes < transport.message_bytes_max:
            least = f"from message_bytes_max, {transport.message_bytes_max}"
            yield f"{where}.credit_bytes is {transport.credit_bytes}; allowed is {least}"


def _incidents(scenario: Scenario, wires: Wires) -> Iterator[str]:
    for index, incident in enumerate(scenario.incidents):
        where = f"incidents[{index}]"
        match incident:
            case model.Stall() | model.Crash():
                if incident.node >= wires.hosts:
                    yield f"{where}.node is {incident.node}; hosts are 0 to {wires.hosts - 1}"
            case _:
                if incident.link not in {"all", *wires.links}:
                    known = ", ".join(list(wires.links)[:8])
                    more = ", ..." if len(wires.links) > 8 else ""
                    yield f'{where}.link is "{incident.link}"; allowed is all, {known}{more}'
        if isinstance(incident, model.RateChange):
            yield from _rate(f"{where}.rate_gbps", incident.rate_gbps)


# ---- traffic ----


def _flows(scenario: Scenario, wires: Wires) -> Iterator[str]:
    total = 0
    for index, work in enumerate(scenario.workloads):
        pairs = wires.pairs(work)
        total += len(pairs)
        if total > FLOWS_MAX:
            yield f"workloads[{index}].pairs: {total} flows so far; allowed are up to {FLOWS_MAX}"
        transport = work.transport or scenario.transport
        is_list = isinstance(work, model.Messages) and not work.pairs
        where = f"workloads[{index}].{'messages' if is_list else 'pairs'}"
        for pair in dict.fromkeys(pairs):
            yield from _pair(where, pair, transport, wires)


def _pair(where: str, pair: Edge, transport: model.Transport, wires: Wires) -> Iterator[str]:
    try:
        names = wires.route(*pair) + wires.route(pair[1], pair[0])
    except ConfigError as error:
        yield f"{where}: {error}"
        return
    links = [wires.links[name] for name in names]
    there_and_back_us = sum(link.delay_us for link in links)
    if there_and_back_us == 0 and all(link.rate_gbps == 0 for link in links):
        yield f"{where}: hosts {pair[0]} and {pair[1]} need a delay_us or a rate_gbps between them"
    trips = 2 if transport.retry else 1
    for name, limit_us, least_us in (
        ("handshake_timeout_us", transport.handshake_timeout_us, trips * there_and_back_us),
        ("dead_us", transport.dead_us, there_and_back_us),
    ):
        if limit_us <= least_us:
            apart = f"hosts {pair[0]} and {pair[1]} are {there_and_back_us:g} us apart, both ways"
            yield f"{where}: {apart}; {name} must be above {least_us:g}, and is {limit_us:g}"


def _sizes(scenario: Scenario, wires: Wires) -> Iterator[str]:
    transports = [work.transport or scenario.transport for work in scenario.workloads]
    hosts = [scenario.hosts.get(str(number), scenario.host) for number in range(wires.hosts)]
    message_max = min(transport.message_bytes_max for transport in transports)
    largest = min(message_max, min(host.pool_bytes for host in hosts) // POOL_SHARE)
    why = "message_bytes_max" if largest == message_max else "a quarter of pool_bytes"
    for index, work in enumerate(scenario.workloads):
        for name, size in _sizes_of(work):
            if size > largest:
                yield f"workloads[{index}].{name} is {size}; allowed is up to {largest}, {why}"


def _sizes_of(work: model.Workload) -> Iterator[tuple[str, int]]:
    for name in ("request_bytes", "reply_bytes", "message_bytes"):
        size = getattr(work, name, None)
        if size is not None:
            yield name, size
    match work:
        case model.Messages():
            for place, message in enumerate(work.messages):
                yield f"messages[{place}].size_bytes", message.size_bytes
        case model.Poisson():
            for place, (size, _) in enumerate(work.sizes):
                yield f"sizes[{place}]", size
        case _:
            pass

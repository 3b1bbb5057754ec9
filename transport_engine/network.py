"""From a scenario to what the simulator is told: links, routes, flows and workloads as C structs.

Does not run anything.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from transport_engine import scenario as model
from transport_engine._native import ffi, lib
from transport_engine.config import PROFILES
from transport_engine.errors import ConfigError
from transport_engine.scenario import Scenario
from transport_engine.scenario_rules import check
from transport_engine.wires import Edge, Wires, wires

NS_PER_US: Final = 1000
PPM: Final = 1_000_000
NEVER: Final = (1 << 64) - 1
_FRAME_BYTES: Final = 56  # packet header, trailer and message header
_LOAD_SAMPLES: Final = 256


def ns(microseconds: float) -> int:
    """A time of a scenario in nanoseconds."""
    return round(microseconds * NS_PER_US)


def ppm(share: float) -> int:
    """A share of a scenario in parts per million."""
    return round(share * PPM)


class Built:
    """A `struct te_sim_config`, all that it points to, and the names behind its indices.

    Owner: keep it for as long as the simulation is open.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.wires: Wires = wires(scenario)
        check(scenario, self.wires)
        self.link_names: list[str] = list(self.wires.links)
        self._link_numbers = {name: number for number, name in enumerate(self.link_names)}
        self.flows: list[tuple[int, Edge]] = []  # workload, hosts
        self._kept: list[Any] = []
        self._settings: list[model.Transport] = []
        self.config: Any = ffi.new("struct te_sim_config *")
        self._whole(seed)
        self._links()
        self._nodes()
        self._traffic()
        self._array("settings", [self._one_settings(one) for one in self._settings])
        self._incidents()

    def _array(self, name: str, items: Sequence[dict[str, Any]]) -> None:
        """Puts structs of one kind into the configuration."""
        one = name if name == "settings" else name.removesuffix("s")
        setattr(self.config, name, self._keep(f"struct te_sim_{one}[]", items))
        setattr(self.config, f"{one}_count", len(items))

    def _keep(self, kind: str, items: Iterable[Any]) -> Any:
        array = ffi.new(kind, list(items))
        self._kept.append(array)
        return array

    def _whole(self, seed: int) -> None:
        scenario = self.scenario
        to_us = scenario.measure_to_us
        self.config.seed = seed
        self.config.duration_ns = max(1, ns(scenario.duration_us))
        self.config.heal_ns = max(1, ns(scenario.heal_us))
        self.config.measure_from_ns = ns(scenario.measure_from_us)
        self.config.measure_to_ns = NEVER if to_us is None else ns(to_us)
        self.config.bin_ns = ns(scenario.bin_us)

    def _links(self) -> None:
        self._array("links", [self._one_link(name) for name in self.link_names])

    def _one_link(self, name: str) -> dict[str, Any]:
        link = self.wires.links[name]
        bursts = link.bursts or model.Bursts(enter=0, leave=1)
        lost = sorted(set(link.loss_packets))
        return {
            "rate_bps": round(link.rate_gbps * 1e9),
            "delay_ns": ns(link.delay_us),
            "jitter_ns": ns(link.jitter_us),
            "queue_bytes": link.queue_bytes,
            "ecn_bytes": link.ecn_bytes,
            "police_bps": round(link.police_gbps * 1e9),
            "police_burst_bytes": link.police_burst_bytes,
            "reorder_ns": ns(link.reorder_us),
            "loss_mask": link.loss_mask,
            "loss_list": self._keep("uint64_t[]", lost),
            "loss_count": len(lost),
            "loss_ppm": ppm(link.loss),
            "burst_enter_ppm": ppm(bursts.enter),
            "burst_exit_ppm": ppm(bursts.leave),
            "burst_loss_ppm": ppm(bursts.loss),
            "burst_packets_max": bursts.packets_max,
            "duplicate_ppm": ppm(link.duplicate),
            "reorder_ppm": ppm(link.reorder),
            "corrupt_ppm": ppm(link.corrupt),
            "overhead_bytes": link.overhead_bytes,
            "waits": name in self.wires.waits,
        }

    def _nodes(self) -> None:
        hosts = {int(number): host for number, host in self.scenario.hosts.items()}
        chosen = [hosts.get(i, self.scenario.host) for i in range(self.wires.hosts)]
        self._array("nodes", [_node(host) for host in chosen])

    def _one_settings(self, transport: model.Transport) -> dict[str, Any]:
        number = transport.first_number
        return {
            "congestion": transport.congestion.encode(),
            "credit_bytes": transport.credit_bytes,
            "handshake_timeout_ns": max(1, ns(transport.handshake_timeout_us)),
            "keep_alive_ns": max(1, ns(transport.keep_alive_us)),
            "dead_ns": max(1, ns(transport.dead_us)),
            "reopen_ns": ns(transport.reopen_us),
            "first_number": NEVER if number is None else number,
            "message_bytes_max": transport.message_bytes_max,
            "mtu_bytes": transport.mtu_bytes,
            "profile": PROFILES[transport.profile],
            "retry": transport.retry,
        }

    # ---- traffic ----

    def _traffic(self) -> None:
        flows: list[dict[str, Any]] = []
        works: list[dict[str, Any]] = []
        for index, work in enumerate(self.scenario.workloads):
            transport = work.transport or self.scenario.transport
            if transport not in self._settings:
                self._settings.append(transport)
            settings = self._settings.index(transport)
            first = len(flows)
            pairs = self.wires.pairs(work)
            for place, pair in enumerate(pairs):
                flows.append(self._one_flow(pair, index, settings, work, place))
                self.flows.append((index, pair))
            works.append(self._one_work(work, index, pairs, first))
        self._array("flows", flows)
        self._array("workloads", works)

    def _route(self, source: int, target: int) -> list[int]:
        return [self._link_numbers[name] for name in self.wires.route(source, target)]

    def _one_flow(
        self, pair: Edge, workload: int, settings: int, work: model.Workload, place: int
    ) -> dict[str, Any]:
        forward, back = self._route(*pair), self._route(pair[1], pair[0])
        return {
            "start_ns": ns(work.open_us + place * work.stagger_us),
            "client": pair[0],
            "server": pair[1],
            "settings": settings,
            "workload": workload,
            "forward": forward,
            "back": back,
            "hops": len(forward),
        }

    def _one_work(
        self, work: model.Workload, index: int, pairs: list[Edge], first: int
    ) -> dict[str, Any]:
        whole = {
            "start_ns": ns(work.start_us),
            "stop_ns": NEVER if work.stop_us is None else ns(work.stop_us),
            "class_bytes": self._keep("uint32_t[]", sorted(set(work.classes_bytes))),
            "class_count": len(set(work.classes_bytes)),
        }
        match work:
            case model.Messages():
                own = self._messages(work, pairs, first)
            case model.Calls():
                own = _closed(work, work.request_bytes, work.reply_bytes)
            case model.Bulk():
                own = _closed(work, work.message_bytes, 0)
            case model.Poisson():
                own = self._poisson(work, index, pairs)
            case model.Incast():
                own = {
                    "kind": lib.TE_SIM_INCAST,
                    "count": work.rounds,
                    "gap_ns": ns(work.gap_us),
                    "request_bytes": work.message_bytes,
                    "priority": work.priority,
                }
        return whole | own

    def _messages(self, work: model.Messages, pairs: list[Edge], first: int) -> dict[str, Any]:
        places = {pair: first + place for place, pair in enumerate(pairs)}
        structs: list[dict[str, Any]] = []
        for each in sorted(work.messages, key=lambda message: message.at_us):
            pair = (each.source, each.target)
            is_back = pair not in places
            flow = places.get((each.target, each.source) if is_back else pair)
            if flow is None:
                raise ConfigError(f"no flow joins hosts {each.source} and {each.target}")
            structs.append(
                {
                    "at_ns": ns(each.at_us),
                    "flow": flow,
                    "size_bytes": each.size_bytes,
                    "from_server": is_back,
                    "lane": each.lane,
                    "priority": each.priority,
                }
            )
        return {
            "kind": lib.TE_SIM_LIST,
            "messages": self._keep("struct te_sim_message[]", structs),
            "message_count": len(structs),
            "reply_bytes": work.reply_bytes or 0,
        }

    def _poisson(self, work: model.Poisson, index: int, pairs: list[Edge]) -> dict[str, Any]:
        points = sorted(work.sizes)
        shares = [share for _, share in points]
        if points[-1][1] < 1 or shares != sorted(set(shares)):
            raise ConfigError(f"workloads[{index}].sizes: shares must ascend, and the last be 1")
        senders = {source for source, _ in pairs}
        segment = (work.transport or self.scenario.transport).mtu_bytes - 48 - _FRAME_BYTES
        sending = self.wires.links[self.wires.route(*pairs[0])[0]]
        if sending.rate_gbps == 0:
            raise ConfigError(f"workloads[{index}].load needs links with a rate_gbps")
        mean_bits = 8 * _mean_wire_bytes(work.sizes, segment, sending.overhead_bytes)
        per_second = work.load * sending.rate_gbps * 1e9 * len(senders) / mean_bits
        return {
            "kind": lib.TE_SIM_POISSON,
            "count": work.count,
            "gap_ns": max(1, round(1e9 / per_second)),
            "request_bytes": points[-1][0],
            "reply_bytes": work.reply_bytes or 0,
            "sizes": self._keep(
                "struct te_sim_point[]",
                [{"size_bytes": size, "share_ppm": ppm(share)} for size, share in points],
            ),
            "size_count": len(points),
            "lane": work.lane,
            "priority": work.priority,
        }

    # ---- incidents ----

    def _incidents(self) -> None:
        events = [event for one in self.scenario.incidents for event in self._events(one)]
        self._array("events", sorted(events, key=lambda event: event["at_ns"]))

    def _targets(self, name: str) -> list[int]:
        return list(self._link_numbers.values()) if name == "all" else [self._link_numbers[name]]

    def _events(self, incident: model.Incident) -> list[dict[str, Any]]:
        at = ns(incident.at_us)
        match incident:
            case model.BlackOut():
                until = at + ns(incident.for_us)
                targets = self._targets(incident.link)
                down = [_event(at, lib.TE_SIM_LINK_DOWN, link, 0) for link in targets]
                return down + [_event(until, lib.TE_SIM_LINK_UP, link, 0) for link in targets]
            case model.RateChange():
                kind, value = lib.TE_SIM_LINK_RATE, round(incident.rate_gbps * 1e9)
            case model.DelayChange():
                kind, value = lib.TE_SIM_LINK_DELAY, ns(incident.delay_us)
            case model.LossChange():
                kind, value = lib.TE_SIM_LINK_LOSS, ppm(incident.loss)
            case model.Stall() | model.Crash():
                is_stall = isinstance(incident, model.Stall)
                kind = lib.TE_SIM_NODE_STALL if is_stall else lib.TE_SIM_NODE_CRASH
                return [_event(at, kind, incident.node, max(1, ns(incident.for_us)))]
        return [_event(at, kind, link, value) for link in self._targets(incident.link)]


def _closed(work: model.Calls | model.Bulk, request_bytes: int, reply_bytes: int) -> dict[str, Any]:
    return {
        "kind": lib.TE_SIM_CLOSED,
        "window": work.window,
        "count": work.count,
        "request_bytes": request_bytes,
        "reply_bytes": reply_bytes,
        "lane": work.lane,
        "priority": work.priority,
    }


def _event(at_ns: int, kind: int, target: int, value: int) -> dict[str, Any]:
    return {"at_ns": at_ns, "kind": kind, "target": target, "value": value}


def _node(host: model.Host) -> dict[str, Any]:
    return {
        "pool_bytes": host.pool_bytes,
        "stall_every_ns": ns(host.stall_every_us),
        "stall_min_ns": ns(host.stall_min_us),
        "stall_max_ns": ns(host.stall_max_us),
        "inbox_packets": host.inbox_packets,
    }


def _mean_wire_bytes(sizes: tuple[tuple[int, float], ...], segment: int, overhead: int) -> float:
    """The mean bytes on the wire of a message drawn from the distribution."""
    total = 0.0
    before_size, before_share = 8, 0.0
    for size, share in sorted(sizes):
        step = (share - before_share) / _LOAD_SAMPLES
        for sample in range(_LOAD_SAMPLES):
            drawn = before_size + (size - before_size) * (sample + 0.5) / _LOAD_SAMPLES
            packets = -(-drawn // segment)
            total += step * (drawn + packets * (_FRAME_BYTES + overhead))
        before_size, before_share = size, share
    return total

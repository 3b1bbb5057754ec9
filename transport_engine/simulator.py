"""Runs a scenario: whole networks in virtual time, with the flow code of an engine, under one seed.

The same scenario and seed give the same packets at the same times on every machine; the digest
tells. Does not know scenarios' shapes in detail, nor what a command line is.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from transport_engine._native import ffi, lib
from transport_engine.errors import ConfigError, error_of
from transport_engine.mistakes import sentences
from transport_engine.network import NEVER, Built
from transport_engine.scenario import Scenario

Answer: TypeAlias = dict[str, Any]
TraceLine: TypeAlias = dict[str, Any]

_EVENTS_PER_TURN: Final = 1_000_000  # then Ctrl-C is heard
_TRACE_LINES: Final = 65536
_KINDS: Final = {
    lib.TE_SIM_V_TWICE: "a message was delivered twice",
    lib.TE_SIM_V_CONTENT: "a message came out with other bytes than it was sent with",
    lib.TE_SIM_V_ORDER: "a message came out before an earlier one of its lane",
    lib.TE_SIM_V_EPOCH: "a message of one flow came out of another",
    lib.TE_SIM_V_LOST: "a message never came out of an open flow",
    lib.TE_SIM_V_CALL_TWICE: "a call ended twice",
    lib.TE_SIM_V_CALL_OPEN: "a call never ended",
    lib.TE_SIM_V_PROTOCOL: "an honest peer was accused of breaking the protocol",
    lib.TE_SIM_V_DEATH: "a peer that had just been heard counted as dead",
    lib.TE_SIM_V_CORRUPT: "a damaged packet passed the check",
    lib.TE_SIM_V_STUCK: "something never ended though the network was healed",
    lib.TE_SIM_V_LEAK: "memory did not come back after all flows had ended",
    lib.TE_SIM_V_SPIN: "events without end while time stood still",
}
_DIRECTIONS: Final = ("out", "in", "drop")
_TYPES: Final = ("", "INIT", "RETRY", "ACCEPT", "DATA", "RESET", "REFUSE", "VERSIONS")
_DROPS: Final = ("", "lost", "queue", "policed", "blackout", "corrupt", "node")
_COUNTS: Final = (
    "packets_sent", "packets_delivered", "packets_dropped", "packets_refused",
    "packets_unknown", "packets_retransmitted", "packets_spurious", "packets_declared_lost",
    "bytes_sent", "message_bytes_sent", "message_bytes_resent", "message_bytes_lost",
    "message_bytes_spurious", "probes", "timeouts", "handshakes", "handshakes_failed",
    "flows_died", "flows_reset", "resets_sent", "crashes", "stalls", "stalls_felt",
    "wakes", "wakes_idle", "events", "packet_events",
)  # fmt: skip


def load(path: str | Path) -> Scenario:
    """Reads a scenario from a JSON file.

    Errors: ConfigError, a sentence that names the field and what is allowed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    return parse(text, str(path))


def parse(text: str, source: str = "scenario") -> Scenario:
    """A scenario from JSON text.

    Errors: as load.
    """
    try:
        return Scenario.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise ConfigError(sentences(error, Scenario, source).partition("\n")[0]) from error


def run(
    scenario: Scenario,
    seed: int | None = None,
    trace: Callable[[TraceLine], None] | None = None,
    watch: Callable[[float, int], None] | None = None,
) -> Answer:
    """Runs a scenario to its end; `seed` takes the place of the scenario's own.

    `watch` is told from time to time how far it is: microseconds, packets sent.

    Errors: ConfigError for what cannot be run.
    """
    chosen = scenario.seed if seed is None else seed
    built = Built(scenario, chosen)
    built.config.trace_lines = 0 if trace is None else _TRACE_LINES
    holder = ffi.new("struct te_sim **")
    why = ffi.new("char[]", lib.TE_WHY_BYTES)
    code = lib.te_sim_open(built.config, holder, why)
    if code != 0:
        raise error_of(code, ffi.string(why).decode())
    try:
        for _ in _turns(holder[0]):
            if trace is not None:
                for line in _trace(holder[0]):
                    trace(line)
            if watch is not None:
                watch(*_progress(holder[0]))
        return {"name": scenario.name, "seed": chosen} | _answer(holder[0], built)
    finally:
        lib.te_sim_close(holder[0])


def _turns(sim: Any) -> Iterator[None]:
    more = 1
    while more == 1:
        more = lib.te_sim_run(sim, _EVENTS_PER_TURN)
        yield
    if more < 0:
        raise error_of(more, "the simulation ran out of memory")


def _progress(sim: Any) -> tuple[float, int]:
    totals = ffi.new("struct te_sim_totals *")
    lib.te_sim_totals(sim, totals)
    return totals.now_ns / 1000, totals.packets_sent


# ---- trace ----


def _trace(sim: Any) -> Iterator[TraceLine]:
    lines = ffi.new("struct te_sim_trace_line[]", 1024)
    while (count := lib.te_sim_trace(sim, lines, len(lines))) > 0:
        for i in range(count):
            yield _trace_line(lines[i])


def _trace_line(line: Any) -> TraceLine:
    has_message = line.message != NEVER
    shown: TraceLine = {
        "time_ns": line.time_ns,
        "node": line.node,
        "flow": line.flow,
        "direction": _DIRECTIONS[line.direction],
        "type": _TYPES[line.type] if line.type < len(_TYPES) else line.type,
        "packet": line.number,
        "size": line.size_bytes,
        "message": line.message if has_message else None,
        "offset": line.offset_bytes if has_message else None,
        "length": line.length_bytes if has_message else None,
        "retransmission_of": None if line.retransmission_of == NEVER else line.retransmission_of,
    }
    if line.reason:
        shown["reason"] = _DROPS[line.reason]
    if line.continues:
        shown["continues"] = True
    return shown


# ---- answer ----


def _answer(sim: Any, built: Built) -> Answer:
    totals = ffi.new("struct te_sim_totals *")
    lib.te_sim_totals(sim, totals)
    flows = [_flow(sim, index, built, totals) for index in range(len(built.flows))]
    return {
        "verdict": "fail" if totals.violations else "pass",
        "digest": f"{totals.digest:016x}",
        "violation_count": totals.violations,
        "violations": _violations(sim),
        "time_us": {
            "work": totals.work_end_ns / 1000,
            "drained": totals.drained_ns / 1000,
            "end": totals.now_ns / 1000,
            "measured": totals.measured_ns / 1000,
        },
        "messages": _three(totals, "messages", "posted", "delivered", "failed"),
        "calls": _three(totals, "calls", "started", "replied", "failed"),
        "counts": {name: getattr(totals, name) for name in _COUNTS},
        "goodput_gbps": sum(flow["goodput_gbps"] for flow in flows),
        "jain": jain([flow["goodput_gbps"] for flow in flows]),
        "classes": _classes(sim, built),
        "flows": flows,
        "links": [_link(sim, index, built, totals) for index in range(len(built.link_names))],
    }


def jain(shares: list[float]) -> float:
    """Jain's fairness index of some shares: 1 is fair, 1/n is one has all."""
    squares = sum(share * share for share in shares)
    return 1.0 if squares == 0 else sum(shares) ** 2 / (len(shares) * squares)


def _three(totals: Any, prefix: str, *names: str) -> Answer:
    return {name: getattr(totals, f"{prefix}_{name}") for name in names}


def _violations(sim: Any) -> list[Answer]:
    found = ffi.new("struct te_sim_violation *")
    shown: list[Answer] = []
    while lib.te_sim_violation_at(sim, len(shown), found):
        shown.append(
            {
                "kind": _KINDS.get(found.kind, str(found.kind)),
                "time_ns": found.at_ns,
                "node": None if found.node == 0xFFFFFFFF else found.node,
                "flow": None if found.flow == 0xFFFFFFFF else found.flow,
                "epoch": found.epoch,
                "message": None if found.message == NEVER else found.message,
                "detail": found.detail,
            }
        )
    return shown


def _quantiles(values: Any, scale: float) -> Answer:
    return {
        "p50": values.p50 / scale,
        "p99": values.p99 / scale,
        "p999": values.p999 / scale,
        "max": values.max / scale,
    }


def _classes(sim: Any, built: Built) -> list[Answer]:
    found = ffi.new("struct te_sim_class_result *")
    shown: list[Answer] = []
    while lib.te_sim_class_at(sim, len(shown), found):
        work = built.scenario.workloads[found.workload]
        bound = found.size_max_bytes
        shown.append(
            {
                "workload": work.name or f"{work.kind}{found.workload}",
                "size_max_bytes": None if bound == 0xFFFFFFFF else bound,
                "count": found.completion_ns.count,
                "failed": found.failed,
                "completion_us": _quantiles(found.completion_ns, 1000),
                "slowdown": _quantiles(found.slowdown_milli, 1000),
                "completion_without_loss_us": _quantiles(found.untouched_ns, 1000),
                "completion_with_loss_us": _quantiles(found.touched_ns, 1000),
            }
        )
    return shown


def _flow(sim: Any, index: int, built: Built, totals: Any) -> Answer:
    found = ffi.new("struct te_sim_flow_result *")
    lib.te_sim_flow_at(sim, index, found)
    workload, (client, server) = built.flows[index]
    shown: Answer = {
        "workload": workload,
        "client": client,
        "server": server,
        "goodput_gbps": _rate(found.bytes_arrived, totals.measured_ns),
        "message_bytes": found.bytes_arrived,
        "messages_delivered": found.messages_delivered,
        "opened_us": None if found.opened_ns == NEVER else found.opened_ns / 1000,
        "srtt_us": found.srtt_ns / 1000,
        "window_bytes": found.window_bytes,
        "delay_target_us": found.target_ns / 1000,
        "probes": found.probes,
        "timeouts": found.timeouts,
        "packets_declared_lost": found.packets_declared_lost,
        "packets_retransmitted": found.packets_retransmitted,
    }
    if built.config.bin_ns:
        bins = ffi.new("uint64_t[]", lib.TE_SIM_BINS_MAX)
        count = lib.te_sim_bins(sim, index, bins, len(bins))
        width_ns = built.config.bin_ns
        shown["bins_gbps"] = [_rate(bins[i], width_ns) for i in range(count)]
    return shown


def _rate(size_bytes: int, time_ns: int) -> float:
    return 8 * size_bytes / time_ns if time_ns else 0.0


def _link(sim: Any, index: int, built: Built, totals: Any) -> Answer:
    found = ffi.new("struct te_sim_link_result *")
    lib.te_sim_link_at(sim, index, found)
    names = (
        "packets", "bytes", "lost", "overflowed", "policed", "blacked_out", "duplicated",
        "delayed", "corrupted", "marked",
    )  # fmt: skip
    measured = totals.measured_ns
    return (
        {"link": built.link_names[index]}
        | {name: getattr(found, name) for name in names}
        | {
            "utilisation": found.busy_ns / measured if measured else 0.0,
            "queue_bytes": _quantiles(found.queue_bytes, 1),
        }
    )

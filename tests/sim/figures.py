"""What the transport must reach, as scenarios with a bar each; all in virtual time.

A figure is a function that runs its scenarios and says what it reached. tests/sim/report.py prints
them side by side.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from tests.sim import swarm
from transport_engine import simulator
from transport_engine.scenario import Scenario

Json: TypeAlias = dict[str, Any]

DELAY_US: Final = 25.0  # a round trip of 50 us
LOSSES: Final = {0.0: 0.97, 0.0001: 0.95, 0.001: 0.90, 0.01: 0.75, 0.05: 0.40}
# Mostly short messages, most bytes in long ones: our own, in the spirit of data-centre traces.
SHORT_HEAVY: Final = (
    (64, 0.1),
    (512, 0.5),
    (2000, 0.7),
    (20000, 0.9),
    (200000, 0.98),
    (1 << 20, 1.0),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was reached, and whether that is enough."""

    reached: str
    is_good: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    what: str
    bar: str
    measure: Callable[[], Outcome]


def run(draft: Json, seed: int = 1) -> Json:
    """The answer to a scenario, which must keep every promise."""
    answer = simulator.run(Scenario.model_validate(draft), seed)
    assert answer["verdict"] == "pass", (draft, answer["violations"][:2])
    return answer


def pair(link: Json, workload: Json, **whole: Any) -> Json:
    """A scenario of two hosts."""
    return {
        "topology": {"kind": "pair", "forward": {"delay_us": DELAY_US} | link},
        "workloads": [workload],
    } | whole


# ---- loss ----


def goodput_under(loss: float, congestion: str = "swift") -> float:
    """Share of a 10 Gb/s link, 9,000-byte packets, one flow of bulk."""
    answer = run(
        pair(
            {"loss": loss},
            {"kind": "bulk", "message_bytes": 1 << 20},
            duration_us=300_000,
            measure_from_us=20_000,
            transport={"mtu_bytes": 9000, "congestion": congestion},
        )
    )
    return float(answer["goodput_gbps"]) / 10


def _goodput() -> Outcome:
    shares = {loss: goodput_under(loss) for loss in LOSSES}
    text = " / ".join(f"{100 * share:.0f}" for share in shares.values())
    return Outcome(f"{text} %", all(shares[loss] >= bar for loss, bar in LOSSES.items()))


def _handshakes(fault: Json, count: int = 10_000) -> Outcome:
    opened, batch = 0, 100
    for seed in range(count // batch):
        pairs = [(0, 1)] * batch
        workload = {"kind": "calls", "count": 1, "pairs": pairs, "stagger_us": 50}
        answer = run(pair(fault, workload, duration_us=2e7), seed)
        opened += answer["counts"]["handshakes"] - answer["counts"]["handshakes_failed"]
    return Outcome(f"{opened:,} of {count:,}", opened == count)


def _handshakes_in_bursts() -> Outcome:
    bursts = {"enter": 0.22, "leave": 0.5, "packets_max": 3}
    return _handshakes({"bursts": bursts})


def _handshakes_corrupted() -> Outcome:
    return _handshakes({"corrupt": 0.3})


def _lost_last_packet() -> Outcome:
    """Calls of one packet each way, one at a time: whatever is lost is the last packet."""
    worst_p50, worst_p99 = 0.0, 0.0
    for delay in (10.0, 25.0, 100.0, 500.0):
        workload = {"kind": "calls", "count": 40_000, "request_bytes": 100, "reply_bytes": 100}
        link = {"delay_us": delay, "loss": 0.01}
        answer = run(pair(link, workload, duration_us=1e8))["classes"][0]
        usual = answer["completion_without_loss_us"]["p50"]
        lost = answer["completion_with_loss_us"]
        worst_p50 = max(worst_p50, (lost["p50"] - usual) / (2 * 2 * delay + 200))
        worst_p99 = max(worst_p99, (lost["p99"] - usual) / (4 * 2 * delay + 1000))
    text = f"{100 * worst_p50:.0f} and {100 * worst_p99:.0f} % of that"
    return Outcome(text, worst_p50 <= 1 and worst_p99 <= 1)


def _independence() -> Outcome:
    def calls(loss: float, lane: int) -> Json:
        workload = {
            "kind": "calls", "window": 64, "count": 50_000, "lane": lane,
            "request_bytes": 1000, "reply_bytes": 1000,
        }  # fmt: skip
        answer: Json = run(pair({"loss": loss}, workload, duration_us=1e7))["classes"][0]
        return answer

    free, ordered, clean = calls(0.01, 0), calls(0.01, 1), calls(0, 0)
    ratio = free["completion_us"]["p99"] / ordered["completion_us"]["p99"]
    untouched = free["completion_without_loss_us"]["p99"] / clean["completion_us"]["p99"]
    return Outcome(
        f"{ratio:.2f} of the lane's p99; untouched {untouched:.2f} of loss-free",
        ratio <= 0.5 and untouched <= 1.1,
    )


def _reordering() -> Outcome:
    workload = {"kind": "bulk", "message_bytes": 100_000}
    link = {"reorder": 0.25, "reorder_us": 2 * DELAY_US / 4}
    counts = run(pair(link, workload, duration_us=300_000))["counts"]
    share = counts["packets_retransmitted"] / counts["packets_sent"]
    return Outcome(f"{100 * share:.2f} % spurious", share <= 0.001)


def _stalls() -> Outcome:
    stalls = {"stall_every_us": 30_000, "stall_min_us": 1000, "stall_max_us": 20_000}
    workload = {"kind": "calls", "window": 1, "request_bytes": 1000, "reply_bytes": 100}
    draft = pair({}, workload, duration_us=3e7, hosts={"1": stalls})
    counts = run(draft)["counts"]
    text = f"{counts['timeouts']} RTOs in {counts['stalls']:,} stalls"
    return Outcome(text, counts["timeouts"] == 0)


def _resent() -> Outcome:
    worst = 0.0
    for loss in (0.001, 0.005, 0.02):
        workload = {"kind": "bulk", "message_bytes": 100_000}
        counts = run(pair({"loss": loss}, workload, duration_us=200_000))["counts"]
        worst = max(worst, counts["message_bytes_resent"] / counts["message_bytes_lost"])
    return Outcome(f"{worst:.2f}", worst <= 1.2)


# ---- congestion ----


def _one_flow() -> Outcome:
    lowest, drops = {0.5: 1.0, 1.0: 1.0, 4.0: 1.0}, 0
    for rate in (1, 10, 100):
        for rtt in (10.0, 100.0, 2000.0):
            for bdps in lowest:
                mtu = 9000 if rate * rtt * 125 >= 180_000 else 1500
                bdp = max(int(rate * rtt * 125), 10 * mtu)
                link = {"rate_gbps": rate, "delay_us": rtt / 2, "queue_bytes": int(bdp * bdps)}
                us = max(100 * rtt, 20_000)
                answer = run(
                    pair(
                        link,
                        {"kind": "bulk", "window": 16, "message_bytes": 4 << 20},
                        duration_us=2 * us,
                        measure_from_us=us,
                        transport={"mtu_bytes": mtu, "credit_bytes": 1 << 28},
                        host={"pool_bytes": 1 << 28},
                    )
                )
                forward = answer["links"][0]
                lowest[bdps] = min(lowest[bdps], forward["utilisation"])
                drops += forward["overflowed"] if bdps >= 1 else 0
    text = " / ".join(f"{100 * share:.0f}" for share in lowest.values())
    is_good = lowest[0.5] >= 0.9 and min(lowest[1.0], lowest[4.0]) >= 0.97 and drops == 0
    return Outcome(f"{text} %, {drops:,} drops", is_good)


def dumbbell(flows: int, **bottleneck: Any) -> Json:
    """A bottleneck of 10 Gb/s, 50 us round trip."""
    return {
        "kind": "dumbbell", "left": flows, "right": flows,
        "bottleneck": {"rate_gbps": 10, "delay_us": 23, "queue_bytes": 250_000} | bottleneck,
    }  # fmt: skip


def _fairness() -> Outcome:
    worst = 1.0
    for flows in (2, 8, 16, 64):
        answer = run(
            {
                "topology": dumbbell(flows),
                "duration_us": 30_000,
                "measure_from_us": 20_000,
                "workloads": [{"kind": "bulk", "message_bytes": 1 << 20}],
            }
        )
        worst = min(worst, answer["jain"])
    return Outcome(f"{worst:.3f}", worst >= 0.98)


def _late_flow() -> Outcome:
    bulk = {"kind": "bulk", "message_bytes": 1 << 20}
    answer = run(
        {
            "topology": dumbbell(4),
            "duration_us": 40_000,
            "bin_us": 500,
            "workloads": [
                bulk | {"pairs": [(0, 4), (1, 5), (2, 6)]},
                bulk | {"pairs": [(3, 7)], "open_us": 20_000},
            ],
        }
    )
    bins = answer["flows"][3]["bins_gbps"]
    fair = sum(flow["bins_gbps"][-4] for flow in answer["flows"]) / 4
    reached = [place for place, rate in enumerate(bins) if rate >= 0.8 * fair]
    rtts = (reached[0] * 500 - 20_000) / 50 if reached else float("inf")
    return Outcome(f"{rtts:.0f} RTT", rtts <= 100)


def _rtt_fairness() -> Outcome:
    topology = dumbbell(2) | {"left_delays_us": (0, 75)}
    bulk = {"kind": "bulk", "message_bytes": 1 << 20}
    draft = {"topology": topology, "duration_us": 60_000, "measure_from_us": 20_000}
    jain = run(draft | {"workloads": [bulk]})["jain"]
    return Outcome(f"{jain:.3f}", jain >= 0.80)


def incast(senders: int) -> tuple[float, int]:
    """Share of the receiver's link, and timeouts."""
    draft = {
        "topology": {
            "kind": "star",
            "hosts": senders + 1,
            "uplink": {"delay_us": 12},
            "downlink": {"delay_us": 12, "queue_bytes": 62_500},
        },
        "duration_us": 1e6,
        "workloads": [{"kind": "incast", "message_bytes": 65536, "start_us": 1000}],
    }
    answer = run(draft)
    ideal_us = senders * 65536 * 8 / 10_000
    return ideal_us / (answer["time_us"]["work"] - 1000), answer["counts"]["timeouts"]


def _incast() -> Outcome:
    found = {senders: incast(senders) for senders in (8, 32, 128, 512)}
    text = " / ".join(f"{100 * share:.0f}" for share, _ in found.values())
    rtos = " / ".join(str(timeouts) for _, timeouts in found.values())
    is_good = all(
        share >= (0.8 if senders == 512 else 0.9) and (senders == 512 or timeouts == 0)
        for senders, (share, timeouts) in found.items()
    )
    return Outcome(f"{text} %, RTOs {rtos}", is_good)


def short_messages(congestion: str) -> float:
    """99th percentile of the slowdown of messages up to 1 BDP; 16 hosts at 80 % load."""
    answer = run(
        {
            "topology": {
                "kind": "star",
                "hosts": 16,
                "uplink": {"delay_us": 5},
                "downlink": {"delay_us": 5, "queue_bytes": 500_000},
            },
            "duration_us": 60_000,
            "measure_from_us": 10_000,
            "transport": {"congestion": congestion},
            "workloads": [
                {"kind": "poisson", "load": 0.8, "sizes": SHORT_HEAVY,
                 "classes_bytes": (25_000,), "start_us": 1000}
            ],
        }
    )  # fmt: skip
    slowdown: float = answer["classes"][0]["slowdown"]["p99"]
    return slowdown


def _short_messages() -> Outcome:
    swift, fixed, cubic = (short_messages(name) for name in ("swift", "fixed", "cubic"))
    text = f"swift {swift:.1f}, fixed {fixed:.1f}, cubic {cubic:.1f}"
    return Outcome(text, 2 * swift <= fixed and swift <= cubic)


def _against_cubic() -> Outcome:
    shares: list[float] = []
    for delay, queue in ((100, 250_000), (1000, 1_250_000), (5000, 6_000_000)):
        bulk = {"kind": "bulk", "message_bytes": 1 << 20, "window": 16}
        answer = run(
            {
                "topology": dumbbell(2, rate_gbps=5, delay_us=delay, queue_bytes=queue),
                "duration_us": 1_000_000,
                "measure_from_us": 300_000,
                "workloads": [
                    bulk | {"pairs": [(0, 2)], "transport": {"profile": "cloud"}},
                    bulk
                    | {
                        "pairs": [(1, 3)],
                        "transport": {"profile": "cloud", "congestion": "cubic"},
                    },
                ],
            }
        )
        ours, theirs = (flow["goodput_gbps"] for flow in answer["flows"])
        shares.append(ours / (ours + theirs))
    text = " / ".join(f"{100 * share:.0f}" for share in shares)
    return Outcome(f"{text} %", all(0.25 <= share <= 0.8 for share in shares))


def _speed() -> Outcome:
    draft = pair({}, {"kind": "bulk"}, duration_us=1e6)
    start = time.perf_counter()
    events = run(draft)["counts"]["packet_events"]
    rate = events / (time.perf_counter() - start)
    return Outcome(f"{rate / 1e6:.2f} M/s", rate >= 1e6)


def swarm_of(seeds: range, tell: Callable[[int], None] = lambda _: None) -> Outcome:
    """Runs swarm seeds; says which failed first."""
    packets, bad = 0, []
    for seed in seeds:
        answer = simulator.run(swarm.scenario(seed))
        packets += answer["counts"]["packets_sent"]
        bad += [seed] if answer["verdict"] != "pass" else []
        tell(1)
    first = f"; first: python -m tests.sim.swarm {bad[0]} | mrpc sim run -" if bad else ""
    text = f"{len(seeds):,} seeds, {packets:,} packets, {len(bad)} with violations{first}"
    return Outcome(text, not bad)


FIGURES: Final = (
    Figure("simulator speed, packet events", ">= 1 M/s", _speed),
    Figure("handshakes, 30 % loss in bursts <= 3", "10,000 of 10,000", _handshakes_in_bursts),
    Figure("handshakes, 30 % corruption", "10,000 of 10,000", _handshakes_corrupted),
    Figure("lost packet of a one-packet call", "2 srtt + 0.2, 4 srtt + 1 ms", _lost_last_packet),
    Figure("goodput, loss 0/.01/.1/1/5 %", "97/95/90/75/40 %", _goodput),
    Figure("64 calls, 1 % loss, beside one lane", "<= 0.5; <= 1.1", _independence),
    Figure("reordering of 25 % by RTT/4", "<= 0.1 % spurious", _reordering),
    Figure("receiver stalls 1-20 ms", "0 RTOs", _stalls),
    Figure("bytes resent / lost, loss <= 2 %", "<= 1.2", _resent),
    Figure("one flow, queue 0.5/1/4 BDP", "90/97/97 %, 0 drops", _one_flow),
    Figure("2-64 flows, Jain", ">= 0.98", _fairness),
    Figure("late flow at 80 % of its share", "<= 100 RTT", _late_flow),
    Figure("4:1 round trips, Jain", ">= 0.80", _rtt_fairness),
    Figure("incast 8/32/128/512", "90/90/90/80 %, 0 RTOs to 128", _incast),
    Figure("16 hosts, 80 %, short messages p99", "2x below fixed, <= cubic", _short_messages),
    Figure("share beside cubic, cloud", "25-80 %", _against_cubic),
)

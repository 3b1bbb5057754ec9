"""Flows that share one bottleneck, or have it for themselves."""

import math
from itertools import product
from typing import Any, Final

from tests.sim.figures.figure import Json, Outcome, pair, run

BDPS: Final = {0.5: 0.90, 1.0: 0.97, 2.0: 0.97, 4.0: 0.97}  # of queue, and the share to reach
RATES_GBPS: Final = (1, 10, 100)
RTTS_US: Final = (10.0, 100.0, 2000.0)
QUEUE_PACKETS_MIN: Final = 10  # where one BDP is less, a queue of that many packets stands for it
QUEUE_TARGETS_MAX: Final = 2.0  # what "near the delay target" means, one packet apart
FLOWS: Final = (2, 4, 8, 16, 32, 64)
RTT_US: Final = 50.0  # of the dumbbell
BULK: Final[Json] = {"kind": "bulk", "message_bytes": 1 << 20}


def one_flow_of(rate_gbps: float, rtt_us: float, bdps: float) -> Json:
    """The link of one flow of bulk, after 100 round trips and 20 ms at least."""
    bits = rate_gbps * rtt_us * 1000
    mtu = 9000 if bits >= 8 * 180_000 else 1500
    bdp = max(bits / 8, QUEUE_PACKETS_MIN * mtu)
    link = {"rate_gbps": rate_gbps, "delay_us": rtt_us / 2, "queue_bytes": int(bdp * bdps)}
    us = max(100 * rtt_us, 20_000)
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
    forward: Json = answer["links"][0]
    queue_us = max(forward["queue_bytes"]["p99"] - mtu, 0) * 8 / rate_gbps / 1000
    return forward | {"queue_p99": queue_us / answer["flows"][0]["delay_target_us"]}


def one_flow() -> Outcome:
    """The worst of all rates and round trips for each queue; drops count from the start."""
    lowest, drops, depth = dict.fromkeys(BDPS, 1.0), 0, 0.0
    for rate, rtt, bdps in product(RATES_GBPS, RTTS_US, BDPS):
        link = one_flow_of(rate, rtt, bdps)
        lowest[bdps] = min(lowest[bdps], link["utilisation"])
        if bdps >= 1:
            drops += link["overflowed"]
            depth = max(depth, link["queue_p99"])
    text = " / ".join(f"{100 * share:.0f}" for share in lowest.values())
    reaches = all(lowest[bdps] >= bar for bdps, bar in BDPS.items())
    is_good = reaches and drops == 0 and depth <= QUEUE_TARGETS_MAX
    return Outcome(f"{text} %, {drops:,} drops, queue p99 {depth:.2f} targets", is_good)


def dumbbell(flows: int, **bottleneck: Any) -> Json:
    """A bottleneck of 10 Gb/s, 50 us round trip."""
    return {
        "kind": "dumbbell", "left": flows, "right": flows,
        "bottleneck": {"rate_gbps": 10, "delay_us": 23, "queue_bytes": 250_000} | bottleneck,
    }  # fmt: skip


def fairness_of(flows: int) -> float:
    """Jain's index of equal flows over 200 round trips, after as many."""
    start_us = 200 * RTT_US
    draft = {"topology": dumbbell(flows), "duration_us": 2 * start_us, "measure_from_us": start_us}
    return float(run(draft | {"workloads": [BULK]})["jain"])


def fairness() -> Outcome:
    found = [fairness_of(flows) for flows in FLOWS]
    text = " / ".join(f"{jain:.3f}" for jain in found)
    return Outcome(text, min(found) >= 0.98)


def late_flow_of(others: int) -> float:
    """Round trips until a flow that joins others, which run for 400, has 80 % of its share.

    It has it at the end of the first 10 round trips over which it got that much, if it also gets
    that much over the 100 that follow.
    """
    late, start_rtts = others, 400
    answer = run(
        {
            "topology": dumbbell(others + 1),
            "duration_us": 2 * start_rtts * RTT_US,
            "bin_us": RTT_US,
            "workloads": [
                BULK | {"pairs": [(host, host + others + 1) for host in range(others)]},
                BULK | {"pairs": [(late, 2 * others + 1)], "open_us": start_rtts * RTT_US},
            ],
        }
    )
    bins = [flow["bins_gbps"] for flow in answer["flows"]]
    enough = 0.8 * sum(sum(one[-100:]) / 100 for one in bins) / len(bins)
    for end in range(start_rtts + 10, len(bins[late]) - 100):
        now, then = bins[late][end - 10 : end], bins[late][end : end + 100]
        if sum(now) / 10 >= enough and sum(then) / 100 >= enough:
            return end - start_rtts
    return math.inf


def late_flow() -> Outcome:
    found = [late_flow_of(others) for others in (1, 3, 15)]
    text = " / ".join(f"{rtts:.0f}" for rtts in found)
    return Outcome(f"{text} RTT", max(found) <= 100)


def rtt_fairness() -> Outcome:
    topology = dumbbell(2) | {"left_delays_us": (0, 75)}
    draft = {"topology": topology, "duration_us": 60_000, "measure_from_us": 20_000}
    jain = run(draft | {"workloads": [BULK]})["jain"]
    return Outcome(f"{jain:.3f}", jain >= 0.80)


def beside_cubic_of(delay_us: float, queue_bytes: int, duration_us: float = 1e6) -> float:
    """Our share of 5 Gb/s beside one flow of cubic."""
    bulk = BULK | {"window": 16}
    cubic = {"profile": "cloud", "congestion": "cubic"}
    answer = run(
        {
            "topology": dumbbell(2, rate_gbps=5, delay_us=delay_us, queue_bytes=queue_bytes),
            "duration_us": duration_us,
            "measure_from_us": 0.3 * duration_us,
            "workloads": [
                bulk | {"pairs": [(0, 2)], "transport": {"profile": "cloud"}},
                bulk | {"pairs": [(1, 3)], "transport": cubic},
            ],
        }
    )
    ours, theirs = (float(flow["goodput_gbps"]) for flow in answer["flows"])
    return ours / (ours + theirs)


def against_cubic() -> Outcome:
    paths = ((100, 250_000), (1000, 1_250_000), (5000, 6_000_000))
    shares = [beside_cubic_of(delay_us, queue_bytes) for delay_us, queue_bytes in paths]
    text = " / ".join(f"{100 * share:.0f}" for share in shares)
    return Outcome(f"{text} %", all(0.25 <= share <= 0.8 for share in shares))

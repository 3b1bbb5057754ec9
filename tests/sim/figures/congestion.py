"""Flows that share one bottleneck, or have it for themselves."""

from typing import Any

from tests.sim.figures.figure import Json, Outcome, pair, run


def one_flow() -> Outcome:
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


def fairness() -> Outcome:
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


def late_flow() -> Outcome:
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


def rtt_fairness() -> Outcome:
    topology = dumbbell(2) | {"left_delays_us": (0, 75)}
    bulk = {"kind": "bulk", "message_bytes": 1 << 20}
    draft = {"topology": topology, "duration_us": 60_000, "measure_from_us": 20_000}
    jain = run(draft | {"workloads": [bulk]})["jain"]
    return Outcome(f"{jain:.3f}", jain >= 0.80)


def against_cubic() -> Outcome:
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

"""What is lost, late or not answered, and what it costs."""

from typing import Final

from tests.sim.figures.figure import DELAY_US, Json, Outcome, pair, run

LOSSES: Final = {0.0: 0.97, 0.0001: 0.95, 0.001: 0.90, 0.01: 0.75, 0.05: 0.40}


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


def goodput() -> Outcome:
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


def handshakes_in_bursts() -> Outcome:
    bursts = {"enter": 0.22, "leave": 0.5, "packets_max": 3}
    return _handshakes({"bursts": bursts})


def handshakes_corrupted() -> Outcome:
    return _handshakes({"corrupt": 0.3})


def lost_packet_of(delay_us: float, count: int, profile: str = "rack") -> tuple[float, float]:
    """What a loss adds to a call of one packet each way, p50 and p99, as shares of the bar.

    One at a time: whatever is lost is the last packet.
    """
    work = {"kind": "calls", "count": count, "request_bytes": 100, "reply_bytes": 100}
    link = {"delay_us": delay_us, "loss": 0.01}
    draft = pair(link, work, duration_us=1e8, transport={"profile": profile})
    answer = run(draft)["classes"][0]
    usual = answer["completion_without_loss_us"]["p50"]
    lost, rtt_us = answer["completion_with_loss_us"], 2 * delay_us
    return (
        float(lost["p50"] - usual) / (2 * rtt_us + 200),
        float(lost["p99"] - usual) / (4 * rtt_us + 1000),
    )


def lost_last_packet() -> Outcome:
    found = [lost_packet_of(delay, 40_000) for delay in (10.0, 25.0, 100.0, 500.0)]
    p50, p99 = (max(shares) for shares in zip(*found, strict=True))
    return Outcome(f"{100 * p50:.0f} and {100 * p99:.0f} % of that", p50 <= 1 and p99 <= 1)


def independence_of(count: int) -> tuple[float, float]:
    """64 calls under way at 1 % loss: p99 beside one lane; of those untouched, beside no loss.

    Calls of six packets each way, so that a lane has losses in every round trip. A call that lost
    a packet takes two round trips at least, and at 1 % they make the 99th percentile: with calls of
    one packet a lane waits for one other loss each way, and the ratio is 0.57.
    """

    def calls(loss: float, lane: int) -> Json:
        workload = {
            "kind": "calls", "window": 64, "count": count, "lane": lane,
            "request_bytes": 8000, "reply_bytes": 8000,
        }  # fmt: skip
        link = {"loss": loss, "rate_gbps": 100}
        answer: Json = run(pair(link, workload, duration_us=1e7))["classes"][0]
        return answer

    free, ordered, clean = calls(0.01, 0), calls(0.01, 1), calls(0, 0)
    return (
        free["completion_us"]["p99"] / ordered["completion_us"]["p99"],
        free["completion_without_loss_us"]["p99"] / clean["completion_us"]["p99"],
    )


def independence() -> Outcome:
    ratio, untouched = independence_of(50_000)
    return Outcome(
        f"{ratio:.2f} of the lane's p99; untouched {untouched:.2f} of loss-free",
        ratio <= 0.5 and untouched <= 1.1,
    )


def reordered() -> float:
    """The share of packets sent again though none is lost, a quarter of them late by RTT/4."""
    workload = {"kind": "bulk", "message_bytes": 100_000}
    link = {"reorder": 0.25, "reorder_us": 2 * DELAY_US / 4}
    counts = run(pair(link, workload, duration_us=300_000))["counts"]
    return float(counts["packets_retransmitted"] / counts["packets_sent"])


def reordering() -> Outcome:
    share = reordered()
    return Outcome(f"{100 * share:.2f} % spurious", share <= 0.001)


def resent_under(loss: float) -> float:
    """Bytes sent again for each byte lost."""
    workload = {"kind": "bulk", "message_bytes": 100_000}
    counts = run(pair({"loss": loss}, workload, duration_us=200_000))["counts"]
    return float(counts["message_bytes_resent"] / counts["message_bytes_lost"])


def resent() -> Outcome:
    worst = max(resent_under(loss) for loss in (0.001, 0.005, 0.02))
    return Outcome(f"{worst:.2f}", worst <= 1.2)

"""Many hosts at one switch."""

import math
from typing import Final

from tests.sim.figures.figure import Outcome, run

HEADER_BYTES: Final = 28 + 32 + 24  # IPv4 and UDP, packet, MESSAGE frame
SEGMENT_BYTES: Final = 1500 - 48 - 32 - 24
# Mostly short messages, most bytes in long ones: our own, in the spirit of data-centre traces.
SHORT_HEAVY: Final = (
    (64, 0.1),
    (512, 0.5),
    (2000, 0.7),
    (20000, 0.9),
    (200000, 0.98),
    (1 << 20, 1.0),
)


def incast_of(senders: int) -> tuple[float, int]:
    """How busy the receiver's link was with good packets until all had arrived, and timeouts.

    Headers count, and the time on the way does not: with packets of 1,500 bytes no sender can do
    better than 1.
    """
    message_bytes, delay_us, start_us = 65536, 12, 1000
    draft = {
        "topology": {
            "kind": "star",
            "hosts": senders + 1,
            "uplink": {"delay_us": delay_us},
            "downlink": {"delay_us": delay_us, "queue_bytes": 62_500},
        },
        "duration_us": 1e6,
        "workloads": [{"kind": "incast", "message_bytes": message_bytes, "start_us": start_us}],
    }
    answer = run(draft)
    packets = math.ceil(message_bytes / SEGMENT_BYTES)
    wire_bytes = senders * (message_bytes + packets * HEADER_BYTES)
    took_us = answer["time_us"]["work"] - start_us - 2 * delay_us
    return wire_bytes * 8 / 10_000 / took_us, answer["counts"]["timeouts"]


def incast() -> Outcome:
    found = {senders: incast_of(senders) for senders in (8, 32, 128, 512)}
    text = " / ".join(f"{100 * share:.0f}" for share, _ in found.values())
    rtos = " / ".join(str(timeouts) for _, timeouts in found.values())
    is_good = all(
        share >= (0.8 if senders == 512 else 0.9) and (senders == 512 or timeouts == 0)
        for senders, (share, timeouts) in found.items()
    )
    return Outcome(f"{text} %, RTOs {rtos}", is_good)


def short_messages_under(congestion: str, duration_us: float = 60_000) -> float:
    """99th percentile of the slowdown of messages up to 1 BDP; 16 hosts at 80 % load."""
    answer = run(
        {
            "topology": {
                "kind": "star",
                "hosts": 16,
                "uplink": {"delay_us": 5},
                "downlink": {"delay_us": 5, "queue_bytes": 500_000},
            },
            "duration_us": duration_us,
            "measure_from_us": duration_us / 6,
            "transport": {"congestion": congestion},
            "workloads": [
                {"kind": "poisson", "load": 0.8, "sizes": SHORT_HEAVY,
                 "classes_bytes": (25_000,), "start_us": 1000}
            ],
        }
    )  # fmt: skip
    slowdown: float = answer["classes"][0]["slowdown"]["p99"]
    return slowdown


def short_messages() -> Outcome:
    swift, fixed, cubic = (short_messages_under(name) for name in ("swift", "fixed", "cubic"))
    text = f"swift {swift:.1f}, fixed {fixed:.1f}, cubic {cubic:.1f}"
    return Outcome(text, 2 * swift <= fixed and swift <= cubic)

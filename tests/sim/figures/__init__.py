"""What the transport must reach, as scenarios with a bar each; all in virtual time.

A module for each subject; tests/sim/report.py prints them side by side.
"""

from typing import Final

from tests.sim.figures import congestion, hosts, loss, stalls, whole
from tests.sim.figures.figure import Figure, Json, Outcome, pair, run
from tests.sim.figures.whole import swarm_of

__all__ = ["FIGURES", "Figure", "Json", "Outcome", "pair", "run", "swarm_of"]

FIGURES: Final = (
    Figure("simulator speed, packet events", ">= 1 M/s", whole.speed),
    Figure("digests of 200 seeds, 6 builds, twice", "all equal", whole.digests),
    Figure("handshakes, 30 % loss in bursts <= 3", "10,000 of 10,000", loss.handshakes_in_bursts),
    Figure("handshakes, 30 % corruption", "10,000 of 10,000", loss.handshakes_corrupted),
    Figure(
        "lost packet of a one-packet call", "2 srtt + 0.2, 4 srtt + 1 ms", loss.lost_last_packet
    ),
    Figure("goodput, loss 0/.01/.1/1/5 %", "97/95/90/75/40 %", loss.goodput),
    Figure("64 calls, 1 % loss, beside one lane", "<= 0.5; <= 1.1", loss.independence),
    Figure("reordering of 25 % by RTT/4", "<= 0.1 % spurious", loss.reordering),
    Figure("10^5 stalls of 1-20 ms", "0 RTOs", stalls.stalls),
    Figure("bytes resent / lost, loss <= 2 %", "<= 1.2", loss.resent),
    Figure(
        "one flow, queue 0.5/1/2/4 BDP",
        "90/97/97/97 %, 0 drops, p99 <= 2",
        congestion.one_flow,
    ),
    Figure("2/4/8/16/32/64 flows, Jain", ">= 0.98", congestion.fairness),
    Figure("late flow beside 1/3/15 at 80 %", "<= 100 RTT", congestion.late_flow),
    Figure("4:1 round trips, Jain", ">= 0.80", congestion.rtt_fairness),
    Figure("incast 8/32/128/512", "90/90/90/80 %, 0 RTOs to 128", hosts.incast),
    Figure("16 hosts, 80 %, short messages p99", "2x below fixed, <= cubic", hosts.short_messages),
    Figure("share beside cubic, cloud", "25-80 %", congestion.against_cubic),
)

"""Figures in seconds, one number each: what a change of a constant does, at a glance.

`python -m tests.sim.brief LIBRARY` prints them as JSON, of a build in the extension's place;
null is a figure whose runs broke a promise.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Final

from tests.sim.figures import congestion, hosts, loss, pair, run
from tests.sim.variants import put_in_place

SHARE_MIN: Final = 0.05  # of a figure: less is no difference


@dataclass(frozen=True, slots=True)
class Brief:
    """A figure; less than its grain is no difference either."""

    name: str
    measure: Callable[[], float]
    grain: float
    digits: int = 2

    def is_moved(self, base: float | None, other: float | None) -> bool:
        """Whether two readings differ by more than chance."""
        if base is None or other is None:
            return base is not other
        return abs(other - base) > max(self.grain, SHARE_MIN * abs(base))

    def shown(self, value: float | None) -> str:
        """A reading as text."""
        return "broken" if value is None else f"{value:.{self.digits}f}"


@cache
def _grid() -> tuple[float, float, float]:
    """Lowest utilisation, drops and deepest queue of a few single flows."""
    cells = ((1, 10.0), (10, 10.0), (10, 100.0))
    links = [congestion.one_flow_of(*cell, bdps) for cell, bdps in product(cells, (0.5, 2.0))]
    return (
        min(link["utilisation"] for link in links),
        sum(link["overflowed"] for link in links),
        max(link["queue_p99"] for link in links),
    )


@cache
def _incast(senders: int) -> tuple[float, int]:
    return hosts.incast_of(senders)


def _opening_us() -> float:
    """The 99th percentile of the time to open a flow at 30 % loss."""
    work = {"kind": "calls", "count": 1, "pairs": [(0, 1)] * 200, "stagger_us": 50}
    fault = {"bursts": {"enter": 0.22, "leave": 0.5, "packets_max": 3}}
    flows = run(pair(fault, work, duration_us=2e7))["flows"]
    times = sorted(flow["opened_us"] - 50 * place for place, flow in enumerate(flows))
    return float(times[int(0.99 * len(times))])


BRIEFS: Final = (
    Brief("goodput, 1 % loss", lambda: loss.goodput_under(0.01), 0.01),
    Brief("goodput, 5 % loss", lambda: loss.goodput_under(0.05), 0.01),
    Brief("goodput, 0.1 % loss, cubic", lambda: loss.goodput_under(0.001, "cubic"), 0.01),
    Brief("lost packet, p99", lambda: loss.lost_packet_of(25.0, 8000)[1], 0.05),
    Brief("lost packet, cloud, p99", lambda: loss.lost_packet_of(250.0, 8000, "cloud")[1], 0.05),
    Brief("64 calls beside one lane, p99", lambda: loss.independence_of(10_000)[0], 0.05),
    Brief("reordered and resent", loss.reordered, 0.001, 4),
    Brief("resent / lost, 2 %", lambda: loss.resent_under(0.02), 0.02),
    Brief("one flow, lowest utilisation", lambda: _grid()[0], 0.01),
    Brief("one flow, drops", lambda: _grid()[1], 20, 0),
    Brief("one flow, queue p99, targets", lambda: _grid()[2], 0.02),
    Brief("64 flows, Jain", lambda: congestion.fairness_of(64), 0.01, 3),
    Brief("late flow, RTT", lambda: congestion.late_flow_of(3), 5, 0),
    Brief("incast 32, goodput", lambda: _incast(32)[0], 0.02),
    Brief("incast 128, goodput", lambda: _incast(128)[0], 0.02),
    Brief("incast 128, RTOs", lambda: _incast(128)[1], 5, 0),
    Brief("short messages, p99", lambda: hosts.short_messages_under("swift", 15_000), 0.5, 1),
    Brief("share beside cubic", lambda: congestion.beside_cubic_of(1000, 1_250_000, 300_000), 0.02),
    Brief("opening, 30 % loss, p99, us", _opening_us, 1000, 0),
)


def readings() -> dict[str, float | None]:
    """Every figure of the present build."""
    return {brief.name: _reading(brief) for brief in BRIEFS}


def _reading(brief: Brief) -> float | None:
    try:
        return brief.measure()
    except (AssertionError, ZeroDivisionError):
        return None


if __name__ == "__main__":
    put_in_place(Path(sys.argv[1]))
    print(json.dumps(readings()))

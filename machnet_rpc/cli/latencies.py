"""Latencies as percentiles and as bars. Units: seconds in, microseconds shown."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

BARS_MAX: Final = 12
BAR_WIDTH: Final = 40
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Latencies:
    """Samples in ascending order, at least one."""

    samples: Sequence[float]

    def at(self, percent: float) -> float:
        """The least sample that `percent` of all do not exceed."""
        rank = math.ceil(len(self.samples) * percent / 100)
        return self.samples[max(rank, 1) - 1]

    def summary(self) -> dict[str, float]:
        """The figures that people look at, in microseconds."""
        found = {"min": self.samples[0], "max": self.samples[-1]}
        found |= {f"p{percent:g}": self.at(percent) for percent in (50, 90, 99, 99.9)}
        return {name: round(value * 1e6, 1) for name, value in found.items()}


def bars(latencies: Latencies) -> list[str]:
    """One line for each bucket; buckets grow geometrically from the least to the largest sample."""
    samples = latencies.samples
    low, high = max(samples[0], 1e-9), max(samples[-1], 1e-9)
    count = min(BARS_MAX, max(1, round(math.log(high / low, 1.15))))
    edges = [low * (high / low) ** (step / count) for step in range(count + 1)]
    edges[-1] = math.inf
    totals = [sum(1 for it in samples if least <= it < most) for least, most in pairwise(edges)]
    totals[0] += sum(1 for it in samples if it < low)
    most = max(totals)
    return [
        f"{edge * 1e6:>10.1f} µs │{_bar(total / most)} {total}"
        for edge, total in zip(edges, totals, strict=False)
    ]


def _bar(share: float) -> str:
    eighths = round(share * BAR_WIDTH * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")

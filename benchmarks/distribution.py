"""Medians, noise and percentiles: all that figures go through between a run and a table.

Does not know what is measured.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

# From the median to one in ten thousand, eight steps to a tenth: where a tail shows.
SHARES_BEYOND = tuple(0.5 * 10 ** (-step / 8) for step in range(30))
NAMED = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999}


def percentiles_us(took_ns: Sequence[int]) -> dict[str, float]:
    """The named percentiles, and the curve of `curve_key`; of those that the run can tell.

    A share beyond which fewer than ten calls lie says nothing: it is left out of the curve.
    """
    ordered = sorted(took_ns)
    if not ordered:
        return {}
    told = {name: _at(ordered, fraction) for name, fraction in NAMED.items()}
    for index, share in enumerate(SHARES_BEYOND):
        if share * len(ordered) >= 10:
            told[curve_key(index)] = _at(ordered, 1 - share)
    return told


def curve_key(index: int) -> str:
    """The name of the latency beyond which SHARES_BEYOND[index] of all calls lie."""
    return f"beyond{index}"


def _at(ordered: Sequence[int], fraction: float) -> float:
    rank = max(math.ceil(fraction * len(ordered)), 1)  # nearest rank
    return ordered[rank - 1] / 1000


def medians(rounds: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Of each figure, over the rounds that have it."""
    columns: dict[str, list[float]] = {}
    for figures in rounds:
        for name, value in figures.items():
            columns.setdefault(name, []).append(value)
    return {name: statistics.median(values) for name, values in columns.items()}


def noise(values: Sequence[float]) -> float:
    """The spread between rounds, over the median."""
    middle = statistics.median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def worst_step(values: Sequence[float]) -> float:
    """The least share of the best so far that a value falls to; 1 where it only grows."""
    best, worst = 0.0, 1.0
    for value in values:
        best = max(best, value)
        worst = min(worst, value / best) if best else worst
    return worst

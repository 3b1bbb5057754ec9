"""Many latencies in little memory: counted in buckets within a hundredth of what they are.

Knows percentiles and corrections, not where the figures come from.
Source: HdrHistogram (Gil Tene): recordValueWithExpectedInterval is `add_corrected`
"""

from typing import Final

from machnet_rpc._buckets import at_percent, bucket_count, bucket_of, largest_of

BITS: Final = 7
PERCENTS: Final = (50.0, 75.0, 90.0, 99.0, 99.9, 99.99)


class Histogram:
    """Counts of latencies. Units: nanoseconds in, microseconds in what is shown."""

    def __init__(self) -> None:
        self.total: int = 0
        self.least_ns: int = 0
        self.longest_ns: int = 0
        self._sum_ns = 0
        self._counts = [0] * bucket_count(BITS)

    def __repr__(self) -> str:
        return f"<Histogram of {self.total}, the longest {self.longest_ns} ns>"

    def add(self, took_ns: int) -> None:
        """Counts one."""
        took_ns = max(took_ns, 0)
        self._counts[bucket_of(took_ns, BITS)] += 1
        self._sum_ns += took_ns
        self.least_ns = min(self.least_ns, took_ns) if self.total else took_ns
        self.longest_ns = max(self.longest_ns, took_ns)
        self.total += 1

    def add_corrected(self, took_ns: int, interval_ns: int) -> None:
        """Counts one, and those that would have been made meanwhile, one each `interval_ns`.

        Whoever waits for one answer before the next call does not make them, and so would not see
        what they would have waited.
        """
        self.add(took_ns)
        for missed_ns in range(took_ns - interval_ns, interval_ns - 1, -interval_ns):
            self.add(missed_ns)

    def at(self, percent: float) -> float:
        """What `percent` of all do not exceed."""
        return min(at_percent(self._counts, percent, BITS), self.longest_ns) / 1e3

    def summary(self) -> dict[str, float]:
        """The figures that people look at; empty without any latency."""
        if self.total == 0:
            return {}
        figures = {"min": self.least_ns / 1e3, "mean": self._sum_ns / self.total / 1e3}
        figures |= {f"p{percent:g}": self.at(percent) for percent in PERCENTS}
        figures["max"] = self.longest_ns / 1e3
        return {name: round(figure, 1) for name, figure in figures.items()}

    def curve(self) -> tuple[list[float], list[float]]:
        """Shares of calls that took longer, from all to almost none, and the latency of each."""
        shares: list[float] = []
        latencies: list[float] = []
        left = self.total
        for index, count in enumerate(self._counts):
            if count:
                shares.append(left / self.total)
                latencies.append(min(largest_of(index, BITS), self.longest_ns) / 1e3)
                left -= count
        return shares, latencies

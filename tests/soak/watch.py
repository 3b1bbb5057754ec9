"""What each process of `make soak` holds as time goes by, and whether that has stopped to grow."""

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

RESIDENT_SHARE_MAX: Final = 0.03  # by which memory may grow from the second third to the last
RESIDENT_KIB_MAX: Final = 2048  # or by so much, if that is more
SAMPLES_MIN: Final = 30  # fewer say nothing of growth: caches fill, threads begin


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process held at one time, and what became of its calls since the one before."""

    seconds: float  # since the start
    resident_kib: int
    descriptors: int
    threads: int
    calls: int = 0
    p50_us: float = 0.0
    p99_us: float = 0.0
    p999_us: float = 0.0


@dataclass(slots=True)
class Life:
    """One process."""

    name: str
    pid: int
    samples: list[Sample] = field(default_factory=list[Sample])
    calls: int = 0
    late: int = 0
    wrong: dict[str, int] = field(default_factory=dict[str, int])

    def hear(self, told: dict[str, Any]) -> None:
        """Adds what a client says of its calls."""
        self.calls += told["calls"]
        self.late += told["late"]
        for what, count in told["wrong"].items():
            self.wrong[what] = self.wrong.get(what, 0) + count

    def take(self, seconds: float, told: dict[str, Any]) -> None:
        """Adds a sample; `told` is what a client says of its calls since the one before."""
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines()
        )
        self.samples.append(
            Sample(
                seconds,
                int(status["VmRSS"].split()[0]),
                len(os.listdir(f"/proc/{self.pid}/fd")),
                int(status["Threads"]),
                told.get("calls", 0),
                *(told.get(name, 0.0) for name in ("p50_us", "p99_us", "p999_us")),
            )
        )

    def problems(self) -> list[str]:
        """What is not as it should be, each in a sentence."""
        found = [f"{self.name}: {count} times {what}" for what, count in self.wrong.items()]
        if self.late:
            found.append(f"{self.name}: {self.late} calls outlived their deadline")
        return found + [f"{self.name}: {each}" for each in grown(self.samples)]


def thirds(samples: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """The second third and the last; in the first, caches fill. All, twice, of fewer than three."""
    third = len(samples) // 3
    return samples[third : 2 * third] or samples, samples[2 * third :]


def medians(samples: Sequence[Sample], name: str) -> tuple[float, float]:
    """Of a figure, in the second third and in the last."""
    before, after = (
        statistics.median(getattr(each, name) for each in part) for part in thirds(samples)
    )
    return before, after


def grown(samples: Sequence[Sample]) -> list[str]:
    """What grew from the second third of the time to the last."""
    if len(samples) < SAMPLES_MIN:
        return []
    found: list[str] = []
    before, after = medians(samples, "resident_kib")
    if after - before > max(RESIDENT_KIB_MAX, RESIDENT_SHARE_MAX * before):
        found.append(f"memory grew from {before:,.0f} to {after:,.0f} KiB")
    for name in ("descriptors", "threads"):
        # The least: visitors come and go, and have some meanwhile.
        least, then = (min(getattr(each, name) for each in part) for part in thirds(samples))
        if then > least:
            found.append(f"{name} grew from {least} to {then}")
    return found

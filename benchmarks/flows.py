"""What a packet costs with many flows in turn, and with few: `python -m benchmarks.flows`.

Processor time of the C program tests/transport_engine/csrc/engine/message_cost.c: two applications
and one engine in one thread. Short runs of few and of many flows alternate; shown is the best of
each, and of their ratios the median.
"""

import argparse
import json
import statistics
import subprocess
from dataclasses import dataclass

from tests.c_builds import RELEASE

PROGRAM = "tests/transport_engine/csrc/message_cost"
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run, in nanoseconds of processor time."""

    per_call: float
    per_packet: float


def measured(program: str, flows: int, window: int, size_bytes: int, calls: int) -> Cost:
    """One run."""
    argv = [program, *map(str, (window, flows, size_bytes, calls))]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)
    said = json.loads(done.stdout)
    return Cost(said["cpu_ns"] / said["calls"], said["cpu_ns"] / said["datagrams"])


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description="What a packet costs with many flows in turn.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--window", type=int, default=32)
    parser.add_argument("--size", type=int, default=1024, metavar="BYTES")
    parser.add_argument("--flows", type=int, nargs=2, default=(10, 10_000), metavar="N")
    given = parser.parse_args()
    program = str(RELEASE.program(PROGRAM))
    costs: dict[int, list[Cost]] = {flows: [] for flows in given.flows}
    for _ in range(given.rounds):
        for flows, found in costs.items():
            found.append(measured(program, flows, given.window, given.size, given.calls))
    print(f"{given.size} bytes, {given.window} in flight; ns of processor time")
    for flows, found in costs.items():
        call, packet = (min(cost.per_call for cost in found), min(c.per_packet for c in found))
        print(f"{flows:>7,} flows  {call:7.0f} a call  {packet:7.0f} a packet")
    few, many = costs.values()
    pairs = list(zip(few, many, strict=True))
    by_packet = statistics.median(b.per_packet / a.per_packet for a, b in pairs)
    by_call = statistics.median(b.per_call / a.per_call for a, b in pairs)
    print(f"ratio {by_packet:.2f}x a packet, {by_call:.2f}x a call")


if __name__ == "__main__":
    main()

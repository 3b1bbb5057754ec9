"""What a second engine thread adds: `python -m benchmarks.cores`.

Each thread drives an engine and, within it, a client and a server of its own
(tests/transport_engine/csrc/engine/team_calls.c), so that generators take no processor from engines
and two processors are enough. Rates are calls a second of the time for which a thread ran, summed
over threads. Rounds of one and two threads alternate; shown are medians.
"""

import argparse
import json
import statistics
import subprocess

from tests.c_builds import RELEASE

PROGRAM = "tests/transport_engine/csrc/team_calls"
KINDS = {"1 thread": ["1"], "2 threads": ["2"], "2 threads, all handed over": ["2", "crossing"]}


def rate(program: str, kind: list[str], calls: int, window: int, size_bytes: int) -> float:
    """Calls a second of one run."""
    argv = [program, kind[0], str(calls), str(window), str(size_bytes), *kind[1:]]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120)
    return float(json.loads(done.stdout)["calls_per_second"])


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description="What a second engine thread adds.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--window", type=int, default=32)
    parser.add_argument("--size", type=int, default=1024, metavar="BYTES")
    arguments = parser.parse_args()
    program = str(RELEASE.program(PROGRAM))
    rates: dict[str, list[float]] = {name: [] for name in KINDS}
    for _ in range(arguments.rounds):
        for name, kind in KINDS.items():
            found = rate(program, kind, arguments.calls, arguments.window, arguments.size)
            rates[name].append(found)
    first = statistics.median(rates["1 thread"])
    print(f"{arguments.size} bytes, {arguments.window} in flight at each thread")
    for name, each in rates.items():
        middle = statistics.median(each)
        spread = f"{min(each) / 1e3:.0f} to {max(each) / 1e3:.0f}"
        print(f"{name:27} {middle / 1e3:7.0f} k calls/s ({spread})  {middle / first:.2f}x")


if __name__ == "__main__":
    main()

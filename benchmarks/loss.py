"""What does a lost packet cost? `make loss`: engines in memory, with and without loss.

Two engines over a netif in memory that loses packets by seed, 1 KiB each way, every byte checked
(tests/transport_engine/csrc/engine/engine_calls.c). Every round runs every loss rate once. Rates
are medians over the rounds, shares of the loss-free rate the medians of each round's own; the
noise is the spread of the loss-free rate, over its median. Then every window meets every loss
rate. Exit status 1 if a call was not answered once and whole, or a share is below its bar.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass

from benchmarks import page
from tests.c_builds import RELEASE

PROGRAM = "tests/transport_engine/csrc/engine_calls"
SIZE_BYTES = 1024
BARS = {0: 1.0, 100: 0.95, 1_000: 0.90, 10_000: 0.60}  # share of the loss-free rate, by loss in ppm
WINDOWS = (1, 2, 8, 32, 64, 256)
PROFILES = ("rack", "cloud")
RUN_TIMEOUT_S = 180.0
COLUMNS = (
    *("lost", "in flight", "calls/s", "of loss-free", "bar", "packets lost", "packets resent"),
    "probes",
)


@dataclass(frozen=True, slots=True)
class Setting:
    """How the engines are set; the seed differs between rounds."""

    profile: str
    congestion: str
    calls: int


@dataclass(frozen=True, slots=True)
class Run:
    """What the program said."""

    calls: int
    seconds: float
    packets: int
    lost: int
    resent: int
    spurious: int
    probes: int
    timeouts: int
    receive_calls: int  # of the kernel; of a netif in memory there are none
    send_calls: int

    @property
    def calls_per_s(self) -> float:
        """The rate."""
        return self.calls / self.seconds


class RunFailedError(Exception):
    """A call was lost, came twice or was damaged, or the program died; says which."""


def run_once(setting: Setting, loss_ppm: int, window: int, seed: int) -> Run:
    """One run of the program."""
    numbers = (loss_ppm, window, SIZE_BYTES, setting.calls, seed, PROFILES.index(setting.profile))
    argv = [str(RELEASE.program(PROGRAM)), *map(str, numbers), setting.congestion]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
    if done.returncode != 0:
        raise RunFailedError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return Run(**json.loads(done.stdout))


def interleaved(setting: Setting, window: int, rounds: int) -> dict[int, list[Run]]:
    """Every loss rate once in every round."""
    runs: dict[int, list[Run]] = defaultdict(list)
    for seed in range(1, rounds + 1):
        for loss_ppm in BARS:
            runs[loss_ppm].append(run_once(setting, loss_ppm, window, seed))
    return runs


def shares(runs: dict[int, list[Run]]) -> dict[int, float]:
    """Of the loss-free rate, by loss."""
    return {
        loss_ppm: statistics.median(
            run.calls_per_s / clean.calls_per_s for run, clean in zip(many, runs[0], strict=True)
        )
        for loss_ppm, many in runs.items()
    }


def row(loss_ppm: int, window: int, many: list[Run], share: float) -> list[str]:
    """Runs of one kind as cells; only one call in flight has a bar."""
    rate = statistics.median(run.calls_per_s for run in many)
    bar = f"{BARS[loss_ppm]:.0%}" if window == 1 and loss_ppm > 0 else "–"
    counts = (sum(getattr(run, name) for run in many) for name in ("lost", "resent", "probes"))
    cells = [f"{loss_ppm / 1e4:g} %", str(window), f"{rate:,.0f}", f"{share:.1%}", bar]
    return [*cells, *(f"{count:,}" for count in counts)]


def noise(many: list[Run]) -> float:
    """The spread of the rate over its median."""
    rates = [run.calls_per_s for run in many]
    return (max(rates) - min(rates)) / statistics.median(rates)


def main() -> int:
    """Measures and prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="with one call in flight")
    parser.add_argument("--calls", type=int, default=200_000, help="of each run")
    parser.add_argument("--profile", choices=PROFILES, default="rack")
    parser.add_argument("--congestion", default="swift")
    parser.add_argument("--write", action="store_true", help=page.HELP)
    given = parser.parse_args()
    setting = Setting(given.profile, given.congestion, given.calls)
    rows: list[list[str]] = []
    missed: list[str] = []
    spread = 0.0
    for window in WINDOWS:
        try:
            runs = interleaved(setting, window, given.rounds if window == 1 else 1)
        except RunFailedError as failed:
            print(failed, file=sys.stderr)
            return 1
        by_loss = shares(runs)
        rows += [row(loss, window, many, by_loss[loss]) for loss, many in runs.items()]
        if window == 1:
            spread = noise(runs[0])
            missed = [f"{loss} ppm" for loss, bar in BARS.items() if by_loss[loss] < bar]
        print(*(" ".join(cells) for cells in rows[-len(BARS) :]), sep="\n", flush=True)
    table = f"1 KiB calls, `{given.congestion}`, profile {given.profile}, one thread; "
    table += f"{page.machine()}. One in flight: medians of {given.rounds} rounds, noise "
    table += f"{spread:.0%}.\n\n{page.markdown(COLUMNS, rows)}"
    print(f"\n{table}")
    if given.write:
        page.write("loss", table)
    if missed:
        print(f"below the bar: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

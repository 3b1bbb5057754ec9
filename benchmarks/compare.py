"""How fast is an echo on each rung, beside grpc.aio and plain streams? `make bench`.

Every round runs every contender once, so that a slow phase of the machine is shared by all. What
stands in the table are medians over the rounds, and the spread between rounds as the noise.
"""

import argparse
import json
import os
import select
import socket
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from benchmarks import page
from benchmarks.contender import Place
from benchmarks.contenders import CONTENDERS

ROOT = Path(__file__).resolve().parent.parent
BASELINE = "grpc.aio"
COLUMNS = (
    *("in flight", "transport", "calls/s", "noise", "× gRPC"),
    *("p50 µs", "p99 µs", "p99.9 µs", "CPU µs/call"),
)
WINDOWS = (1, 32)
START_TIMEOUT_S = 30.0
RUN_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run's figures; CPU is that of client, server and everything beside them."""

    calls_per_s: float
    p50_us: float
    p99_us: float
    p999_us: float
    cpu_us_per_call: float


class RunFailedError(Exception):
    """A run gave no figures; says why."""


def run_once(name: str, window: int) -> Run:
    """Starts what the contender needs, makes the load, and stops everything again."""
    contender = CONTENDERS[name]()
    with tempfile.TemporaryDirectory(prefix="mrpc-bench-") as folder:
        place = Place(_free_port(), Path(folder))
        with contender.beside(place) as pids:
            server = None if contender.one_process else _start("server", name, place, window)
            try:
                if server is not None and _line(server, START_TIMEOUT_S) != "ready":
                    raise RunFailedError("the server did not start")
                before_s = sum(map(_cpu_s, pids))
                measured = _measure(name, place, window)
                cpu_s = measured["cpu_s"] + sum(map(_cpu_s, pids)) - before_s
                if server is not None:
                    cpu_s += _finish(server)["cpu_s"]
            finally:
                if server is not None:
                    _end(server)
    return Run(
        measured["calls_per_s"],
        measured["p50_us"],
        measured["p99_us"],
        measured["p999_us"],
        cpu_s * 1e6 / measured["calls"],
    )


def _measure(name: str, place: Place, window: int) -> dict[str, float]:
    client = _start("client", name, place, window)
    try:
        return _figures(_line(client, RUN_TIMEOUT_S))
    finally:
        _end(client)


def _start(role: str, name: str, place: Place, window: int) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "benchmarks.worker", role, name]
    argv += [str(place.port), str(place.folder), str(window)]
    return subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _line(process: subprocess.Popen[str], timeout_s: float) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], timeout_s)
    return process.stdout.readline().strip() if readable else ""


def _figures(line: str) -> dict[str, float]:
    if not line:
        raise RunFailedError("no figures in time")
    figures: dict[str, float] = json.loads(line)
    return figures


def _finish(server: subprocess.Popen[str]) -> dict[str, float]:
    assert server.stdin is not None
    server.stdin.close()
    return _figures(_line(server, STOP_TIMEOUT_S))


def _end(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    """A port that is free for TCP and for UDP."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        port: int = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        return port


def _cpu_s(pid: int) -> float:
    """CPU time that a process used so far; user and system are fields 14 and 15 of stat."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def compare(names: Sequence[str], rounds: int) -> dict[tuple[int, str], list[Run]]:
    """All runs, by calls in flight and contender; one that fails is left out, and said so."""
    runs: dict[tuple[int, str], list[Run]] = defaultdict(list)
    for number in range(1, rounds + 1):
        for window in WINDOWS:
            for name in names:
                try:
                    run = run_once(name, window)
                except (RunFailedError, OSError) as error:
                    print(f"{name}, {window} in flight: {error}", file=sys.stderr)
                    continue
                runs[window, name].append(run)
                done = f"round {number}/{rounds}  {name:16} {window:3} in flight"
                print(f"{done}  {run.calls_per_s:9.0f} calls/s", flush=True)
    return runs


def markdown(runs: Mapping[tuple[int, str], Sequence[Run]]) -> str:
    """The table for docs/performance.md."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---:|---|" + "---:|" * (len(COLUMNS) - 2)]
    for (window, name), many in runs.items():
        baseline = runs.get((window, BASELINE))
        lines.append(_row(window, name, many, baseline))
    return "\n".join(lines)


def _row(window: int, name: str, many: Sequence[Run], baseline: Sequence[Run] | None) -> str:
    median = Run(*(statistics.median(getattr(run, f.name) for run in many) for f in fields(Run)))
    rates = [run.calls_per_s for run in many]
    noise = (max(rates) - min(rates)) / median.calls_per_s
    ratio = "–"
    if baseline:
        ratio = f"{median.calls_per_s / statistics.median(run.calls_per_s for run in baseline):.1f}"
    times = (median.p50_us, median.p99_us, median.p999_us, median.cpu_us_per_call)
    cells = [str(window), name, f"{median.calls_per_s:,.0f}", f"{noise:.0%}", ratio]
    return "| " + " | ".join([*cells, *(f"{time:,.0f}" for time in times)]) + " |"


def main() -> int:
    """Runs the comparison and prints its table; with --write also into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--write", action="store_true", help=page.HELP)
    given = parser.parse_args()
    names: list[str] = []
    for name in given.only:
        missing = CONTENDERS[name]().missing()
        if missing is None:
            names.append(name)
        else:
            print(f"without {name}: {missing}", file=sys.stderr)
    table = f"1 KiB echo; {page.machine()}; medians of {given.rounds} rounds.\n\n"
    table += markdown(compare(names, given.rounds))
    print(f"\n{table}")
    if given.write:
        page.write("echo", table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Many processes that call one server on few processors: `python -m benchmarks.crowd`.

Each client is a process of its own with one call in flight: in a closed loop, or so many a second
at random times, where each call counts from when it was made. Nothing is pinned. Medians of
interleaved rounds; p50 is that of the client in the middle, p99 and p99.9 are the worst client's.
"""

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Generator
from pathlib import Path
from time import perf_counter, perf_counter_ns, process_time

from benchmarks.contender import Place
from benchmarks.contenders import CONTENDERS
from benchmarks.distribution import percentiles_us
from benchmarks.load import Load
from benchmarks.processes import cpu_s
from benchmarks.runs import ROOT, free_port
from benchmarks.tasks import Task
from benchmarks.worker import Job, ready, say, serve

NAMES = ("direct", "uvloop protocol, TCP", "uvloop protocol, UNIX")
TIMEOUT_S = 60.0
PERCENTILES = ("p50_us", "p99_us", "p999_us")


async def load(job: Job, rate: float, seconds: float) -> dict[str, float]:
    """What a client came to: its calls, the CPU time of its process, percentiles."""
    contender = CONTENDERS[job.contender]()
    took_ns = array("q")
    async with contender.client(job.place) as call:
        payload = contender.payload(1024)
        await call(payload)
        ready()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        before_s, now_s = process_time(), perf_counter()
        due_s, end_s = now_s, now_s + seconds
        while now_s < end_s:
            if rate:
                due_s += random.expovariate(rate)
                await asyncio.sleep(max(due_s - now_s, 0))
            begun_ns = perf_counter_ns()
            await call(payload)
            took_ns.append(perf_counter_ns() - begun_ns)
            now_s = perf_counter()
        used_s = process_time() - before_s
    return {"calls": len(took_ns), "cpu_s": used_s} | percentiles_us(took_ns)


@contextlib.contextmanager
def process(*words: str) -> Generator[subprocess.Popen[str]]:
    """One that plays a role, ready, until the end of the context."""
    argv = [sys.executable, "-m", "benchmarks.crowd", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        try:
            if running.stdout.readline() != "ready\n":
                raise OSError(f"{words[1]} did not start")
            yield running
        finally:
            with contextlib.suppress(BrokenPipeError):
                running.stdin.close()
            try:
                running.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                running.kill()


def run(name: str, clients: int, rate: float, seconds: float) -> dict[str, float]:
    """One run. Errors: OSError."""
    contender = CONTENDERS[name]()
    with tempfile.TemporaryDirectory(prefix="mrpc-bench-") as folder:
        place = Place(free_port(), Path(folder))
        job = Job("server", name, place, Task((Load(1),))).packed()
        with contextlib.ExitStack() as stack:
            stack.enter_context(contender.beside(place))
            server = stack.enter_context(process("--role", "server", "--job", job))
            words = ("--role", "client", "--job", job, "--seconds", f"{seconds}")
            crowd = [
                stack.enter_context(process(*words, "--rate", f"{rate}")) for _ in range(clients)
            ]
            before_s, begun_s = cpu_s(server.pid), time.monotonic()
            for each in crowd:
                print("go", file=each.stdin, flush=True)
            said = [json.loads(each.stdout.readline()) for each in crowd if each.stdout]
            used_s, elapsed_s = cpu_s(server.pid) - before_s, time.monotonic() - begun_s
    calls = sum(each["calls"] for each in said)
    worst = {key: max(each[key] for each in said) for key in PERCENTILES}
    worst["p50_us"] = statistics.median(each["p50_us"] for each in said)
    cpu = (used_s + sum(each["cpu_s"] for each in said)) * 1e6 / calls
    return {"calls_per_s": calls / elapsed_s, **worst, "cpu_us": cpu}


def main() -> int:
    """Plays a role, or prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, nargs="*", default=(1, 4, 12))
    parser.add_argument("--rates", type=float, nargs="*", default=(0, 1000), help="0: closed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    parser.add_argument("--role", choices=("server", "client"), help=argparse.SUPPRESS)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role:
        job = Job.unpacked(given.job)
        contender = CONTENDERS[job.contender]()
        with asyncio.Runner(loop_factory=contender.loop) as runner:
            if given.role == "server":
                runner.run(serve(contender, job.place))
            else:
                say(json.dumps(runner.run(load(job, given.rate, given.seconds))))
        return 0
    kinds = [
        (rate, clients, name) for rate in given.rates for clients in given.clients for name in NAMES
    ]
    rounds = [
        [run(name, clients, rate, given.seconds) for rate, clients, name in kinds]
        for _ in range(given.rounds)
    ]
    print("| each | clients | | calls/s | p50 µs | p99 µs | p99.9 µs | CPU µs/call |")
    print("|---|---:|---|---:|---:|---:|---:|---:|")
    for number, (rate, clients, name) in enumerate(kinds):
        figures = [each[number] for each in rounds]
        middle = {key: statistics.median(each[key] for each in figures) for key in figures[0]}
        each = f"{rate:,.0f}/s" if rate else "at once"
        times = " | ".join(f"{middle[key]:,.0f}" for key in PERCENTILES)
        cells = f"{each} | {clients} | {name} | {middle['calls_per_s']:,.0f} | {times}"
        print(f"| {cells} | {middle['cpu_us']:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

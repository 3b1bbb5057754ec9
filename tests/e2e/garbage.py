"""Hostile applications beside an honest one, on an engine under sanitizers.

`python -m tests.e2e.garbage --seconds 600` runs every strategy of tests/e2e/csrc/strategies.c for
its share of the time, and prints what the engine counted.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.e2e.guests import Watched, guest, watched_engine
from tests.e2e.processes import Running
from transport_engine import read_stats

KINDS: Final = ("position", "record", "memory")
STREAM_SECONDS: Final = 36_000  # until it is told to end
STREAM_RATE: Final = 1000  # messages a second
SETTLE_SECONDS: Final = 5.0


@dataclass(slots=True)
class Seen:
    """What came of one strategy."""

    expected: str  # a kind of violation, "none" or "any"
    rounds: int
    strokes: int
    quarantined: Counter[str] = field(default_factory=Counter)


def strategies() -> list[str]:
    """Their names."""
    listed = subprocess.run([guest("garbage"), "list"], check=True, capture_output=True, text=True)
    return listed.stdout.splitlines()


def stats_of(engine: Watched) -> dict[str, int]:
    """The engine's counters now."""
    return asyncio.run(read_stats(engine.socket))


def besiege(engine: Watched, names: list[str], seconds_each: float, seed: int) -> dict[str, Seen]:
    """Each strategy in turn, beside a stream whose every byte is checked.

    Errors: AssertionError where the engine, the stream or a garbage writer ends badly.
    """
    found: dict[str, Seen] = {}
    program = guest("garbage")
    stream = Running([guest("stream"), str(engine.socket), str(STREAM_SECONDS), str(STREAM_RATE)])
    try:
        stream.line()
        for name in names:
            before = stats_of(engine)
            argv = [program, str(engine.socket), str(seconds_each), str(seed), name]
            done = subprocess.run(
                argv, check=False, capture_output=True, text=True, timeout=60 + 4 * seconds_each
            )
            assert engine.is_alive(), f"{name}: {engine.said()}"
            assert done.returncode == 0, f"{name}: {done.stderr}{engine.said()}"
            said = json.loads(done.stdout)
            after = until_held(engine, channels=1)
            grown = {
                kind: after[f"quarantined_{kind}"] - before[f"quarantined_{kind}"] for kind in KINDS
            }
            found[name] = Seen(said["expected"], said["rounds"], said["strokes"], Counter(grown))
            assert stream.process.poll() is None, f"{name}: the stream ended"
        stream.process.terminate()
        said = stream.line()
        while "end" not in said:
            said = stream.line()
        assert said["messages"] > 0
    finally:
        status = stream.stop()
    assert status == 0
    return found


def until_held(engine: Watched, channels: int) -> dict[str, int]:
    """Waits until the engine holds so many channels, and if none, nothing else; its counters.

    Errors: AssertionError if it does not come to that.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        stats = stats_of(engine)
        held = {"channels": stats["channels_open"] - channels}
        if channels == 0:
            held |= {name: stats[name] for name in ("listeners_open", "flows_open")}
            held["blocks"] = stats["pool_blocks"] - stats["pool_blocks_free"]
            held["mappings"] = engine.mappings()
            held["descriptors"] = engine.descriptors() - engine.descriptors_idle
        if not any(held.values()):
            return stats
        assert time.monotonic() < deadline, held
        time.sleep(0.02)


def throughput(engine: Watched, neighbour: list[str], seconds: float) -> float:
    """Messages a second of a stream that sends all it can, beside a neighbour that is killed."""
    beside = subprocess.Popen(neighbour, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        stream = Running([guest("stream"), str(engine.socket), str(seconds)])
        said = stream.line()
        while "end" not in said:
            said = stream.line(seconds + 30.0)
        assert stream.stop() == 0
        assert beside.poll() is None
    finally:
        beside.kill()
        beside.wait()
    rate: float = said["messages"] / said["seconds"]
    return rate


def share(engine: Watched, rounds: int, seconds: float) -> dict[str, Any]:
    """A stream's throughput beside garbage, and beside a neighbour that only computes, in turns."""
    busy = [sys.executable, "-c", "while True: pass"]
    garbage = [guest("garbage"), str(engine.socket), str(STREAM_SECONDS), "1", "all of these"]
    beside_busy: list[float] = []
    beside_garbage: list[float] = []
    for _ in range(rounds):
        beside_busy.append(throughput(engine, busy, seconds))
        beside_garbage.append(throughput(engine, garbage, seconds))
    return {
        "beside_busy": [round(rate) for rate in beside_busy],
        "beside_garbage": [round(rate) for rate in beside_garbage],
        "share": round(statistics.median(beside_garbage) / statistics.median(beside_busy), 3),
    }


def surprises(seen: dict[str, Seen]) -> list[str]:
    """Strategies of which the engine made something else than it should."""
    return [
        f"{name}: {dict(+each.quarantined)} in {each.rounds} rounds, expected {each.expected}"
        for name, each in seen.items()
        if each.expected != "any" and set(+each.quarantined) != ({each.expected} - {"none"})
    ]


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all strategies together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="without sanitizers")
    arguments = parser.parse_args()
    names = strategies()
    with (
        tempfile.TemporaryDirectory() as folder,
        watched_engine(Path(folder), is_sanitized=not arguments.plain) as engine,
    ):
        seen = besiege(engine, names, arguments.seconds / len(names), arguments.seed)
        until_held(engine, channels=0)
    figures: dict[str, Any] = {
        "strategies": len(seen),
        "rounds": sum(each.rounds for each in seen.values()),
        "strokes": sum(each.strokes for each in seen.values()),
        "quarantined": dict(sum((each.quarantined for each in seen.values()), Counter())),
        "surprises": surprises(seen),
    }
    for name, each in seen.items():
        print(f"{name:40} {each.rounds:6} rounds  {dict(+each.quarantined)}", file=sys.stderr)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())

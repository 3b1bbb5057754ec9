"""kill -9 of an application at every instruction of what it does with its channel.

A phase (attach, send, receive, detach) with its rings at a level (empty, half, full) is run with
one more instruction each time. After each death the engine must have everything back, and let
the next application in. Each processor has an engine of its own to kill at, and takes the next
point when it is free. `python -m tests.e2e.instruction_kills` kills at all of them.
"""

import argparse
import json
import math
import os
import queue
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgpack

from tests.e2e.garbage import until_held
from tests.e2e.guests import Watched, guest, watched_engine
from tests.e2e.processes import Running
from transport_engine import messages

# Little of everything, so that it is soon full.
LIMITS: Final = "message_bytes_max = 65536\ncredit_bytes = 262144\npool_bytes = 4194304"
ALL_STEPS: Final = 10_000_000
STREAM_SECONDS: Final = 36_000
STREAM_RATE: Final = 200
GONE_SECONDS_MAX: Final = 5.0


class Moment(NamedTuple):
    """A phase and the level of the rings in it."""

    phase: str
    level: str


MOMENTS: Final = (
    Moment("attach", "empty"),
    *(
        Moment(phase, level)
        for phase in ("send", "receive", "detach")
        for level in ("empty", "half", "full")
    ),
)


class Report(NamedTuple):
    """The instructions of each moment, and how often an application was killed at one."""

    steps: dict[Moment, int]
    kills: int


class Killer:
    """Kills applications of one engine, beside a stream whose every byte is checked.

    Tracer and traced share one processor: a step that crosses to another takes longer.
    """

    def __init__(self, engine: Watched, processor: int) -> None:
        self._stepped = subprocess.Popen(
            [guest("stepped"), str(engine.socket)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.sched_setaffinity(self._stepped.pid, {processor})
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.connect(str(engine.socket))
        argv = [guest("stream"), str(engine.socket), str(STREAM_SECONDS), str(STREAM_RATE)]
        self.stream = Running(argv)
        self.stream.line()
        self.kills = 0

    def close(self) -> None:
        """Ends everything that was started; errors of the stream are raised."""
        self._control.close()
        assert self._stepped.stdin is not None
        assert self._stepped.stdout is not None
        self._stepped.stdin.close()
        try:
            self._stepped.wait(10)
        finally:
            self._stepped.kill()
            self._stepped.stdout.close()
        self.stream.process.terminate()
        said = self.stream.line()
        while "end" not in said:
            said = self.stream.line()
        assert self.stream.stop() == 0

    def stats(self) -> dict[str, int]:
        """The engine's counters."""
        self._control.send(messages.pack_request(messages.Stats(id=1)))
        answer: Any = msgpack.unpackb(self._control.recv(messages.MESSAGE_BYTES_MAX))
        found: dict[str, int] = answer["result"]["stats"]
        return found

    def steps_of(self, moment: Moment) -> int:
        """How many instructions the phase takes."""
        steps, is_over = self._run(moment, ALL_STEPS)
        assert is_over
        return steps

    def kill(self, moment: Moment, steps: int) -> None:
        """Kills an application there, and waits until the engine holds nothing of it.

        Errors: AssertionError if that does not come true, or the stream has ended.
        """
        self._run(moment, steps)
        self.kills += 1
        deadline = time.monotonic() + GONE_SECONDS_MAX
        stats = self.stats()
        while stats["channels_open"] != 1 or stats["listeners_open"] != 1:
            assert time.monotonic() < deadline, f"{moment} at {steps}: {stats}"
            stats = self.stats()
        assert stats["channels_quarantined"] == 0, f"{moment} at {steps}"
        assert self.stream.process.poll() is None, f"{moment} at {steps}: the stream ended"

    def _run(self, moment: Moment, steps: int) -> tuple[int, bool]:
        assert self._stepped.stdin is not None
        assert self._stepped.stdout is not None
        self._stepped.stdin.write(f"{moment.phase} {moment.level} {steps}\n")
        self._stepped.stdin.flush()
        line = self._stepped.stdout.readline()
        assert line, f"{moment} at {steps}: no answer"
        said = json.loads(line)
        return said["steps"], said["is_over"]


@contextmanager
def killer(folder: Path, processor: int) -> Generator[Killer]:
    """A killer with its engine; at the end the engine is as it was in the beginning."""
    folder.mkdir()
    with watched_engine(folder, is_sanitized=False, limits=LIMITS) as engine:
        made = Killer(engine, processor)
        try:
            yield made
        finally:
            made.close()
        until_held(engine, channels=0)


def kill_all_over(folder: Path, kills_min: float = math.inf) -> Report:
    """Kills at all instructions, or evenly spread at so many, on all processors at once.

    Errors: AssertionError if an engine has not everything back, or ends.
    """
    processors = sorted(os.sched_getaffinity(0))
    idle: queue.SimpleQueue[Killer] = queue.SimpleQueue()

    def kill(moment: Moment, point: int) -> None:
        free = idle.get()
        try:
            free.kill(moment, point)
        finally:
            idle.put(free)

    # The pool ends last: who waits for an application is woken by the end of its killer.
    with ThreadPoolExecutor(len(processors)) as pool, ExitStack() as stack:
        folders = [folder / f"engine-{processor}" for processor in processors]
        killers = list(map(stack.enter_context, map(killer, folders, processors)))
        steps = {moment: killers[0].steps_of(moment) for moment in MOMENTS}
        share = min((kills_min + len(MOMENTS)) / sum(steps.values()), 1.0)
        for each in killers:
            idle.put(each)
        deaths = [(each, point) for each in MOMENTS for point in points(steps[each], share)]
        list(pool.map(kill, *zip(*deaths, strict=True)))
    return Report(steps, sum(each.kills for each in killers))


def points(steps: int, share: float) -> Iterable[int]:
    """Evenly spread instructions of a phase, the first and the last among them."""
    count = max(round(steps * share), 2)
    return sorted({round(index * (steps - 1) / (count - 1)) for index in range(count)})


def main() -> int:
    """Kills at every instruction, or at some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=float, default=math.inf, help="at least; default: all")
    kills_min: float = parser.parse_args().kills
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = kill_all_over(Path(folder), kills_min)
    seconds = round(time.monotonic() - began)
    steps = {" ".join(moment): count for moment, count in report.steps.items()}
    print(json.dumps({"kills": report.kills, "seconds": seconds, "instructions": steps}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

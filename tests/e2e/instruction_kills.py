"""kill -9 of an application at every instruction of what it does with its channel.

A phase (attach, send, receive, detach) with its rings at a level (empty, half, full) is run with
one more instruction each time. After each death the engine must have everything back, and let
the next application in. `python -m tests.e2e.instruction_kills` kills at all of them.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
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


class Killer:
    """Kills applications of one engine, beside a stream whose every byte is checked."""

    def __init__(self, engine: Watched) -> None:
        self._engine = engine
        self._stepped = subprocess.Popen(
            [guest("stepped"), str(engine.socket)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
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
        self._stepped.wait(10)
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
def killer(folder: Path) -> Generator[Killer]:
    """A killer with its engine; at the end the engine is as it was in the beginning."""
    with watched_engine(folder, is_sanitized=False, limits=LIMITS) as engine:
        made = Killer(engine)
        try:
            yield made
        finally:
            made.close()
        until_held(engine, channels=0)


def points(steps: int, share: float) -> Iterable[int]:
    """Evenly spread instructions of a phase, the first and the last among them."""
    count = max(round(steps * share), 2)
    return sorted({round(index * (steps - 1) / (count - 1)) for index in range(count)})


def main() -> int:
    """Kills at every instruction, or at a share of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of all instructions")
    share: float = parser.parse_args().share
    figures: dict[str, int] = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, killer(Path(folder)) as made:
        for moment in MOMENTS:
            steps = made.steps_of(moment)
            for point in points(steps, share):
                made.kill(moment, point)
            figures[" ".join(moment)] = steps
            print(f"{moment}: {steps} instructions, {made.kills} kills", file=sys.stderr)
        kills = made.kills
    seconds = round(time.monotonic() - began)
    print(json.dumps({"kills": kills, "seconds": seconds, "instructions": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Applications that come and go by the thousand, half of them killed: what the engine is left with.

`python -m tests.e2e.attachments --times 10000` prints descriptors, hugepages and memory before and
after.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.e2e.garbage import stats_of, until_held
from tests.e2e.guests import Watched, watched_engine
from transport_engine import Endpoint, attach
from transport_engine._native import lib

RING_BYTES: Final[int] = lib.TE_RING_BYTES_MIN
AT_ONCE: Final = 8
WARM_UP: Final = 100  # after which allocators and caches have what they want


@dataclass(frozen=True, slots=True)
class Held:
    """What the engine's process holds."""

    descriptors: int
    mappings: int
    resident_kib: int
    hugepages_kib: int

    @classmethod
    def by(cls, engine: Watched) -> "Held":
        """Once nobody is attached."""
        until_held(engine, channels=0)
        resident, huge = (engine.status_kib(name) for name in ("VmRSS", "HugetlbPages"))
        return cls(engine.descriptors(), engine.mappings(), resident, huge)


async def _live(path: Path) -> None:
    """Attaches, listens, opens a flow to itself and leaves."""
    application = await attach(path, RING_BYTES)
    port = await application.listen(0)
    await application.connect(Endpoint(application.local.address, port), token=1)
    await application.close()


async def _live_until_killed(path: Path, ready_fd: int) -> None:
    application = await attach(path, RING_BYTES)
    port = await application.listen(0)
    await application.connect(Endpoint(application.local.address, port), token=1)
    os.write(ready_fd, b"!")
    await asyncio.Event().wait()


def _fork_and_kill(path: Path) -> None:
    """A batch of applications, each killed as soon as it says that it is attached."""
    reading, writing = os.pipe()
    children: list[int] = []
    for _ in range(AT_ONCE):
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(_live_until_killed(path, writing))
            finally:
                os._exit(1)
        children.append(child)
    ready = 0
    while ready < AT_ONCE:
        ready += len(os.read(reading, AT_ONCE))
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)


async def _leave_in_order(path: Path) -> None:
    for _ in range(AT_ONCE):
        await _live(path)


def come_and_go(engine: Watched, times: int) -> tuple[Held, Held]:
    """So many attachments, half of them killed; what was held before and after."""
    _rounds(engine, WARM_UP)
    before = Held.by(engine)
    _rounds(engine, times)
    return before, Held.by(engine)


def _rounds(engine: Watched, times: int) -> None:
    for _ in range(-(-times // (2 * AT_ONCE))):
        _fork_and_kill(engine.socket)
        asyncio.run(_leave_in_order(engine.socket))
        assert engine.is_alive(), engine.said()


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10_000)
    times: int = parser.parse_args().times
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        watched_engine(Path(folder), is_sanitized=False) as engine,
    ):
        before, after = come_and_go(engine, times)
        flows = stats_of(engine)["handshakes_started"]
    figures = {"before": asdict(before), "after": asdict(after), "handshakes": flows}
    print(json.dumps({"times": times, "seconds": round(time.monotonic() - began), **figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The same where others are busy: beside each end, on its processor, a process that never waits.

It is of the same session, so that the kernel shares the processor out among equals.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator

from benchmarks.contender import Call, Contender, Place
from benchmarks.rivals_sockets import ProtocolTcp
from benchmarks.rungs import Inline, SharedSidecar

CPU_SECONDS_MAX = 120  # of such a process, if nobody ends it
_BUSY = f"""
import resource
resource.setrlimit(resource.RLIMIT_CPU, ({CPU_SECONDS_MAX}, {CPU_SECONDS_MAX}))
while True:
    pass
"""


@contextlib.contextmanager
def busy_processors() -> Generator[None]:
    """As many such processes as this one may use processors."""
    with contextlib.ExitStack() as stack:
        for _ in os.sched_getaffinity(0):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", _BUSY]))
            stack.callback(process.kill)
        yield


class Contended(Contender):
    """Beside another contender's ends."""

    @contextlib.asynccontextmanager
    async def server(self, place: Place) -> AsyncGenerator[None]:
        """With somebody who is busy."""
        with busy_processors():
            async with super().server(place):
                yield

    @contextlib.asynccontextmanager
    async def client(self, place: Place) -> AsyncGenerator[Call]:
        """With somebody who is busy."""
        with busy_processors():
            async with super().client(place) as call:
                yield call


class DirectContended(Contended, SharedSidecar):
    """On the direct rung."""


class InlineContended(Contended, Inline):
    """An engine in each process, over kernel UDP."""


class TcpContended(Contended, ProtocolTcp):
    """The hand-written protocol, which sleeps whenever it waits."""

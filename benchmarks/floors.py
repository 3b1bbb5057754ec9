"""Floors: bare rings in shared memory through a C extension, and a copy of memory.

What Python and memory allow, before there is any safety, error or sleep. The extension (floor.c,
floor_between.c) is built on first use.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import itertools
import os
import selectors
import shlex
import subprocess
import sysconfig
import time
from collections.abc import AsyncGenerator, Callable, Generator
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.contender import BlockingContender, Call, Contender, Pipeline, Place

HERE = Path(__file__).parent
SOURCES = (HERE / "floor.c", HERE / "floor_between.c")
HEADER = HERE / "floor_between.h"
BUILT = HERE.parent / "build/bench"
LOOKS = 64  # at a ring, in one call
LOOKS_PER_EPOLL = 64
BUILD_TIMEOUT_S = 120.0


@cache
def extension() -> Any:
    """The C extension, as new as its sources. Errors: OSError with what the compiler said."""
    BUILT.mkdir(parents=True, exist_ok=True)
    library = BUILT / f"bench_floor{sysconfig.get_config_var('EXT_SUFFIX')}"
    with (BUILT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        newest_s = max(each.stat().st_mtime for each in (*SOURCES, HEADER))
        if not library.exists() or library.stat().st_mtime < newest_s:
            _compile(library)
    spec = importlib.util.spec_from_file_location("bench_floor", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _compile(library: Path) -> None:
    compiler = shlex.split(os.environ.get("CC", "gcc"))
    flags = ["-std=c11", "-O3", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    include = sysconfig.get_path("include")
    argv = [*compiler, *flags, f"-I{include}", "-o", str(library), *map(str, SOURCES)]
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S
    )
    if done.returncode != 0:
        raise OSError(f"{shlex.join(argv)}: {done.stderr}")


def open_ring(place: Place, *, is_server: bool) -> Any:
    """One end; the server makes the file."""
    slots = 1 << max(6, (2 * place.window_max - 1).bit_length())
    path = place.folder / "ring"
    with path.open("w+b" if is_server else "r+b") as file:
        if is_server:
            slot_bytes = place.size_bytes_max + 2 * 64
            file.truncate(2 * slots * slot_bytes)
        return extension().open(file.fileno(), slots, place.size_bytes_max, is_server)


class Spinning(selectors.EpollSelector):
    """Looks at a ring while the loop has nothing else to do, and at descriptors now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.deliver: Callable[[], bool] = lambda: False
        self._looks = 0

    def select(self, timeout: float | None = None) -> Any:
        if self.deliver():
            timeout = 0
        deadline_s = None if timeout is None else time.monotonic() + timeout
        while True:
            self._looks += 1
            if self._looks % LOOKS_PER_EPOLL == 0:
                ready = super().select(0)
                if ready:
                    return ready
            if timeout == 0 or (deadline_s is not None and time.monotonic() >= deadline_s):
                return []
            if self.deliver():
                return []


class RingSpin(Contender):
    """asyncio on both sides; the loop's selector polls the ring."""

    def __init__(self) -> None:
        self._selector = Spinning()

    def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(self._selector)

    @contextlib.asynccontextmanager
    async def server(self, place: Place) -> AsyncGenerator[None]:
        """Answers within the poll."""
        ring = open_ring(place, is_server=True)
        send, receive = extension().send, extension().receive

        def deliver() -> bool:
            arrived = receive(ring, LOOKS)
            for number, body in arrived:
                send(ring, number, body)
            return bool(arrived)

        self._selector.deliver = deliver
        yield
        self._selector.deliver = lambda: False

    @contextlib.asynccontextmanager
    async def client(self, place: Place) -> AsyncGenerator[Call]:
        """Futures by number."""
        ring = open_ring(place, is_server=False)
        send, receive = extension().send, extension().receive
        waiting: dict[int, asyncio.Future[bytes]] = {}
        new_future = asyncio.get_running_loop().create_future
        numbers = itertools.count()

        def deliver() -> bool:
            arrived = receive(ring, LOOKS)
            for number, body in arrived:
                waiting.pop(number).set_result(body)
            return bool(arrived)

        def call(payload: bytes) -> asyncio.Future[bytes]:
            number = next(numbers) & 0xFFFFFFFF
            waiting[number] = future = new_future()
            send(ring, number, payload)
            return future

        self._selector.deliver = deliver
        yield call
        self._selector.deliver = lambda: False


class _RingPipeline:
    def __init__(self, ring: Any) -> None:
        self._ring = ring
        self._arrived: list[tuple[int, bytes]] = []
        self._send, self._receive = extension().send, extension().receive

    def send(self, payload: bytes) -> None:
        self._send(self._ring, 0, payload)

    def receive(self) -> bytes:
        while not self._arrived:
            self._arrived = self._receive(self._ring, LOOKS)
            self._arrived.reverse()
        return self._arrived.pop()[1]


class RingSync(BlockingContender):
    """The same rings without an event loop; both sides spin."""

    def serve(self, place: Place, ready: Callable[[], None]) -> None:
        ring = open_ring(place, is_server=True)
        send, receive = extension().send, extension().receive
        ready()
        while True:
            for number, body in receive(ring, LOOKS):
                send(ring, number, body)

    @contextlib.contextmanager
    def pipeline(self, place: Place) -> Generator[Pipeline]:
        yield _RingPipeline(open_ring(place, is_server=False))


class _Copy:
    def __init__(self, size_bytes: int) -> None:
        self._target = memoryview(bytearray(size_bytes))
        self._payload = b""

    def send(self, payload: bytes) -> None:
        self._target[: len(payload)] = payload
        self._payload = payload

    def receive(self) -> bytes:
        return self._payload


class Memcpy(BlockingContender):
    """No call at all: one copy of the payload, in one process."""

    one_process = True

    @contextlib.contextmanager
    def pipeline(self, place: Place) -> Generator[Pipeline]:
        yield _Copy(place.size_bytes_max)

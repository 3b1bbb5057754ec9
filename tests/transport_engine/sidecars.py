"""A sidecar within the test's process: engine, control plane and socket, and who talks to it."""

import asyncio
import contextlib
import os
import resource
import socket
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import msgpack

from transport_engine import (
    Engine,
    EngineConfig,
    Limits,
    SidecarAttachment,
    attach,
    messages,
)
from transport_engine._native import lib
from transport_engine.channel import READABLE
from transport_engine.config import SidecarConfig
from transport_engine.control import ControlServer
from transport_engine.policy import Policy
from transport_engine.rendezvous import Rendezvous

SECONDS_MAX = 5.0
CHANNELS_MAX = 4
RING_BYTES = lib.TE_RING_BYTES_MIN
POLICY = Policy.of(SidecarConfig())


class Sidecar:
    """Engine, control plane and socket, for one test."""

    def __init__(self, path: Path, policy: Policy = POLICY) -> None:
        self.path = path
        limits = Limits(
            channels_max=CHANNELS_MAX,
            flows_max=16,
            pool_bytes=16 << 20,
            message_bytes_max=4 << 20,
            handshake_timeout_seconds=0.1,
        )
        self.engine = Engine(EngineConfig(limits=limits))
        self.engine.start()
        for tenant in (policy.owner, *policy.tenants):
            self.engine.set_share(tenant.share, tenant.terms)
        self.place = Rendezvous(path)
        self.server = ControlServer(self.engine, policy, self.place.socket)
        self.server.start()

    def close(self) -> None:
        self.server.close()
        self.place.close()
        self.engine.close()

    async def application(self) -> SidecarAttachment:
        return await attach(self.path, RING_BYTES)

    def raw(self) -> socket.socket:
        """An application that says what it likes."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(str(self.path))
        connection.setblocking(False)
        return connection


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def no_more_descriptors() -> Generator[None]:
    """This process gets none while the block runs."""
    lowest = os.dup(0)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def no_thread(*_: object) -> None:
    """In place of threading.Thread.start: what it does where there is none."""
    raise RuntimeError("can't start new thread")


async def until(claim: Callable[[], bool]) -> None:
    """Lets the loop run until it is so; bounded."""
    deadline = time.monotonic() + SECONDS_MAX
    while not claim():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.001)


async def records(attachment: SidecarAttachment, count: int) -> list[tuple[tuple[int, ...], bytes]]:
    """Sleeps on the doorbell until that many records came."""
    found: list[tuple[tuple[int, ...], bytes]] = []
    loop = asyncio.get_running_loop()
    channel = attachment.channel
    while len(found) < count:
        found += channel.receive()
        channel.ring()
        if len(found) >= count or channel.arm(READABLE) != 0:
            continue
        rang = asyncio.Event()
        loop.add_reader(channel.fileno(), rang.set)
        async with asyncio.timeout(SECONDS_MAX):
            await rang.wait()
        loop.remove_reader(channel.fileno())
        channel.awake()
    return found


async def heard(connection: socket.socket) -> Any:
    """The next answer on a raw connection; None where it was closed."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(SECONDS_MAX):
        data = await loop.sock_recv(connection, messages.MESSAGE_BYTES_MAX)
    return msgpack.unpackb(data) if data else None

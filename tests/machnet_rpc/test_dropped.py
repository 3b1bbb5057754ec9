"""Clients and servers that nobody closed, as those of threads that ended, leave nothing."""

import asyncio
import gc
import os
import threading
import warnings
from collections.abc import Callable

import pytest
import uvloop

from machnet_rpc import Server, connect, sync
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from tests.machnet_rpc.server_thread import SECONDS_MAX, serving
from tests.machnet_rpc.tap import Tap, TapDesk
from tests.machnet_rpc.waiting import until_seen
from transport_engine.channel import Channel
from transport_engine.config import EngineConfig
from transport_engine.engine import Engine

TIMES = 3

Drop = Callable[[str, Via], None]


def drop_blocking(address: str, via: Via) -> None:
    client = sync.connect(address, via=via, timeout=SECONDS_MAX)
    client.open()
    assert client.call(Ledger.echo, b"1") == b"1"


def drop_with_its_thread(address: str, via: Via) -> None:
    local = threading.local()

    def work() -> None:
        local.client = sync.connect(address, via=via, timeout=SECONDS_MAX)
        local.client.open()
        local.echo = local.client.method(Ledger.echo)
        assert local.echo(b"1") == b"1"
        local.items = local.client.stream(Tap.run, 1000)
        next(local.items)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


async def use(address: str, via: Via) -> None:
    client = connect(address, via=via, timeout=SECONDS_MAX)
    await client.open()
    assert await client.call(Ledger.echo, b"1") == b"1"


def drop_with_its_loop(address: str, via: Via) -> None:
    asyncio.run(use(address, via))


def drop_with_a_loop_of_uvloop(address: str, via: Via) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(use(address, via))


def drop_a_server(address: str, via: Via) -> None:
    del address

    async def listen() -> None:
        await Server(LedgerBook()).listen("127.0.0.1:0", via=via)

    asyncio.run(listen())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("via", ["inline", "sidecar", "direct"], indirect=True)
@pytest.mark.parametrize(
    "drop",
    [drop_blocking, drop_with_its_thread, drop_with_its_loop, drop_with_a_loop_of_uvloop],
)
def test_clients_that_nobody_closed_leave_nothing(drop: Drop, via: Via, book: LedgerBook) -> None:
    with serving([book, TapDesk()], "127.0.0.1:0", via) as here, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of sockets and loops
        drop(here.address, via)
        gc.collect()
        until_seen(lambda: here.server.handlers_running == 0)
        threads, before = threading.active_count(), descriptors()
        for _ in range(TIMES):
            drop(here.address, via)
        gc.collect()
        until_seen(lambda: threading.active_count() <= threads)
        gc.collect()
        until_seen(lambda: descriptors() <= before)


@pytest.mark.parametrize("via", ["inline", "sidecar"], indirect=True)
def test_nor_does_a_server(via: Via) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        drop_a_server("", via)
        gc.collect()
        before = descriptors()
        for _ in range(TIMES):
            drop_a_server("", via)
        gc.collect()
        assert descriptors() <= before


def test_a_child_leaves_its_parents_engine_alone() -> None:
    engine = Engine(EngineConfig())
    channel: Channel
    _, channel = engine.attach()
    child = os.fork()
    if child == 0:
        try:
            channel.__del__()
            engine.__del__()
        finally:
            os._exit(channel.closed or repr(engine) != "<Engine udp polled>")
    assert os.waitpid(child, 0)[1] == 0
    channel.close()
    engine.close()

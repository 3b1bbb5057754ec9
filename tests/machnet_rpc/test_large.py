"""Large messages: every size arrives whole, small calls go on beside them, and peers may vanish."""

import asyncio
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from machnet_rpc import (
    Client,
    DeadlineExceeded,
    ResourceExhausted,
    RpcError,
    connect,
    rpc,
    serve,
    service,
    sync,
)
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.waiting import until

MIB = 1 << 20
PIECE = 1 << 16
RINGS = (MIB // 2, MIB)  # of a pair, of an engine
STRIDE = PIECE + 48
SIZES = sorted(
    {0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * MIB + 17}
    | {ring + by for ring in RINGS for by in (-1, 0, 1)}
    | {ring // STRIDE * PIECE + by for ring in RINGS for by in (-1, 0, 1)}
)


@service("bulk")
class Bulk:
    @rpc(timeout=20.0, idempotent=True)
    async def echo(self, data: bytes) -> bytes:
        raise NotImplementedError

    @rpc(timeout=20.0, idempotent=True)
    async def through(self, data: memoryview) -> memoryview:
        raise NotImplementedError

    @rpc(timeout=20.0)
    async def swallow(self, data: memoryview) -> int:
        raise NotImplementedError


class BulkServer(Bulk):
    def __init__(self) -> None:
        self.sums: list[int] = []

    @rpc
    async def echo(self, data: bytes) -> bytes:
        return data

    @rpc
    async def through(self, data: memoryview) -> memoryview:
        return data

    @rpc
    async def swallow(self, data: memoryview) -> int:
        self.sums.append(hash(bytes(data)))
        return len(data)


@pytest.fixture
def bulk() -> BulkServer:
    return BulkServer()


@pytest.fixture
async def client(via: Via, bulk: BulkServer) -> AsyncIterator[Client]:
    async with (
        serve(bulk, "127.0.0.1:0", via=via, grace=0.2) as server,
        connect(server.address, via=via) as client,
    ):
        yield client


async def test_contents_of_every_size(client: Client, bulk: BulkServer) -> None:
    stub = client.stub(Bulk)
    for size in SIZES:
        payload = random.Random(size).randbytes(size)
        assert await stub.echo(payload) == payload
        assert await stub.through(memoryview(payload)) == payload
        assert await stub.swallow(memoryview(bytearray(payload))) == size
        assert bulk.sums.pop() == hash(payload)


async def test_the_largest_message_and_one_byte_more(client: Client) -> None:
    stub = client.stub(Bulk)
    await stub.echo(b"")
    connection = client._keeper.connection
    assert connection is not None
    size = connection.message_bytes_max
    payload = random.Random(1).randbytes(size)
    assert await stub.through(memoryview(payload)) == payload
    with pytest.raises(ResourceExhausted, match=f"{size + 1} bytes") as caught:
        await stub.through(memoryview(payload + b"!"))
    assert caught.value.executed == "no"
    assert await stub.echo(b"goes on") == b"goes on"


async def test_both_directions_at_once(client: Client) -> None:
    """Each side waits for room while the other sends as well."""
    stub = client.stub(Bulk)
    payloads = [random.Random(seed).randbytes(2 * MIB + seed) for seed in range(6)]
    answers = await asyncio.gather(*(stub.echo(each) for each in payloads))
    assert answers == payloads
    views = await asyncio.gather(*(stub.through(memoryview(each)) for each in payloads))
    assert views == payloads


async def test_small_calls_go_on_beside_large_ones(client: Client) -> None:
    """And no turn of the loop takes long; the bounds are wide, for machines that do much else."""
    stub = client.stub(Bulk)
    large = random.Random(1).randbytes(4 * MIB)
    is_over = False
    took_s: list[float] = []
    gaps_s: list[float] = []

    async def small() -> None:
        while not is_over:
            begun = time.perf_counter()
            assert await stub.echo(b"small") == b"small"
            took_s.append(time.perf_counter() - begun)
            await asyncio.sleep(0.0005)

    async def watch() -> None:
        while not is_over:
            begun = time.perf_counter()
            await asyncio.sleep(0)
            gaps_s.append(time.perf_counter() - begun)
            await asyncio.sleep(0.001)

    others = [asyncio.ensure_future(small()), asyncio.ensure_future(watch())]
    swallowed = 0
    while swallowed < 10 or len(took_s) < 10:
        assert await stub.swallow(memoryview(large)) == len(large)
        swallowed += 1
        assert swallowed < 500, "small calls do not get through"
    is_over = True
    await asyncio.gather(*others)
    assert sorted(took_s)[len(took_s) // 2] < 1.0
    assert sorted(gaps_s)[len(gaps_s) // 2] < 0.25


async def test_what_the_caller_changes_after_it_gave_up(client: Client, bulk: BulkServer) -> None:
    """What waits for room is what it was when the call was made."""
    stub = client.stub(Bulk)
    await stub.echo(b"")
    payload = bytearray(random.Random(1).randbytes(3 * MIB))
    before = hash(bytes(payload))
    calls = [asyncio.ensure_future(stub.swallow(memoryview(payload))) for _ in range(2)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    payload[:] = bytes(len(payload))
    await asyncio.gather(*calls, return_exceptions=True)
    assert await stub.echo(b"goes on") == b"goes on"
    assert all(each == before for each in bulk.sums)


async def test_deadlines_within_a_message(client: Client) -> None:
    stub = client.stub(Bulk)
    large = bytes(4 * MIB)
    assert await stub.swallow(memoryview(large)) == len(large)
    late = client.using(timeout=0.002).stub(Bulk)
    for _ in range(5):
        outcomes = await asyncio.gather(
            *(late.swallow(memoryview(large)) for _ in range(4)), return_exceptions=True
        )
        for outcome in outcomes:
            assert outcome == len(large) or isinstance(outcome, RpcError), outcome
            if isinstance(outcome, DeadlineExceeded):
                assert outcome.executed in ("no", "maybe")
        assert await stub.echo(b"goes on") == b"goes on"


PEER = """
import asyncio, os, signal, sys
from pathlib import Path
from typing import Any
from tests.machnet_rpc.test_large import Bulk, BulkServer
from machnet_rpc import connect, serve

async def main():
    path, address = Path(sys.argv[1]), sys.argv[2]
    if address == "serve":
        async with serve(BulkServer(), "127.0.0.1:0", via=path) as server:
            print(server.address, flush=True)
            await asyncio.Event().wait()
    async with connect(address, via=path) as client:
        stub = client.stub(Bulk)
        await stub.echo(b"")
        print("ready", flush=True)
        while True:
            await stub.swallow(memoryview(bytes(8 << 20)))

asyncio.run(main())
"""


def peer(direct: Path, address: str) -> "subprocess.Popen[str]":
    """A process at the other end of a pair."""
    argv = [sys.executable, "-c", PEER, str(direct), address]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def said(process: "subprocess.Popen[str]") -> str:
    """The next line of a peer."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: "subprocess.Popen[str]") -> None:
    """Ends a peer, whatever state it is in."""
    process.kill()
    process.communicate()


async def test_a_server_that_dies_within_a_message(direct: Path) -> None:
    process = peer(direct, "serve")
    try:
        address = await asyncio.to_thread(said, process)
        async with connect(address, via=direct, wait=False) as client:
            stub = client.stub(Bulk)
            await stub.echo(b"")
            large = memoryview(bytes(8 * MIB))
            calls = [asyncio.ensure_future(stub.swallow(large)) for _ in range(4)]
            await asyncio.sleep(0)
            process.kill()
            async with asyncio.timeout(10):
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
        for outcome in outcomes:
            assert isinstance(outcome, RpcError) or outcome == len(large)
        assert any(isinstance(outcome, RpcError) for outcome in outcomes)
    finally:
        end(process)


def _have_come(bulk: BulkServer, count: int) -> bool:
    return len(bulk.sums) >= count


async def test_clients_that_die_within_a_message(direct: Path, bulk: BulkServer) -> None:
    async with (
        serve(bulk, "127.0.0.1:0", via=direct) as server,
        connect(server.address, via=direct) as good,
    ):
        stub = good.stub(Bulk)
        for _ in range(2):
            process = peer(direct, server.address)
            try:
                assert await asyncio.to_thread(said, process) == "ready"
                seen = len(bulk.sums)
                await until(partial(_have_come, bulk, seen + 2), 10.0)
            finally:
                end(process)
            assert await stub.echo(b"goes on") == b"goes on"
        pump = server._pump
        assert pump is not None
        await until(lambda: len(list(pump.connections)) == 1, 10.0)
        assert server.handlers_running == 0


@pytest.mark.parametrize("via", ["direct"], indirect=True)
async def test_memory_is_flat(client: Client) -> None:
    stub = client.stub(Bulk)
    large = memoryview(bytes(8 * MIB))
    for count in (20, 100):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(count):
            assert await stub.swallow(large) == len(large)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 32 << 10


def test_the_blocking_client_gets_views_as_well(direct: Path) -> None:
    addresses: list[str] = []
    ready, done = threading.Event(), threading.Event()

    async def serves() -> None:
        async with serve(BulkServer(), "127.0.0.1:0", via=direct) as server:
            addresses.append(server.address)
            ready.set()
            await asyncio.to_thread(done.wait, 20.0)

    thread = threading.Thread(target=asyncio.run, args=(serves(),))
    thread.start()
    try:
        assert ready.wait(10.0)
        with sync.connect(addresses[0], via=direct) as client:
            through = client.stub(Bulk).through
            for size in SIZES:
                payload = random.Random(size).randbytes(size)
                view: Any = through(memoryview(payload))
                assert isinstance(view, memoryview)
                assert view == payload
    finally:
        done.set()
        thread.join()

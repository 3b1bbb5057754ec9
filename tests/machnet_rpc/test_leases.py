"""Views that are lent: valid in the handler, an error after it, and never somebody else's bytes."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from machnet_rpc import Client, connect, keep, rpc, serve, service
from machnet_rpc._native import crossing
from machnet_rpc._transports.ladder import Via

pytestmark = pytest.mark.parametrize("via", ["memory", "inline", "direct"], indirect=True)

MIB = 1 << 20
SIZES = [0, 1, 5000, 65_536, 65_537, 3 * MIB]


@service("lending")
class Lending:
    @rpc(timeout=20.0)
    async def take(self, data: memoryview) -> int:
        raise NotImplementedError

    @rpc(timeout=20.0)
    async def give(self, size: int) -> memoryview:
        raise NotImplementedError

    @rpc(timeout=20.0)
    async def fail(self, data: memoryview) -> None:
        raise NotImplementedError

    @rpc(timeout=20.0)
    async def wait(self, data: memoryview) -> int:
        raise NotImplementedError


class Lender(Lending):
    """Lets one view after the other escape, each as `how` says."""

    def __init__(self) -> None:
        self.how: Any = lambda view: view
        self.escaped: Any = None
        self.go_on = asyncio.Event()

    @rpc
    async def take(self, data: memoryview) -> int:
        self.escaped = self.how(data)
        return sum(data[:100])

    @rpc
    async def give(self, size: int) -> memoryview:
        return memoryview(random.Random(size).randbytes(size))

    @rpc
    async def fail(self, data: memoryview) -> None:
        self.escaped = data
        raise ValueError("on purpose")

    @rpc
    async def wait(self, data: memoryview) -> int:
        first = bytes(data)
        await self.go_on.wait()
        return int(bytes(data) == first)


@pytest.fixture
def lender() -> Lender:
    return Lender()


@pytest.fixture
async def client(via: Via, lender: Lender) -> AsyncIterator[Client]:
    async with (
        serve(lender, "127.0.0.1:0", via=via, grace=0.2) as server,
        connect(server.address, via=via) as client,
    ):
        yield client


def payload_of(seed: int, size: int = 3 * MIB) -> bytes:
    return random.Random(seed).randbytes(size)


async def overwrite(client: Client, lender: Lender) -> None:
    """Large messages into whatever memory is free."""
    lender.how = lambda view: None
    escaped = lender.escaped
    for seed in range(3):
        await client.stub(Lending).take(memoryview(payload_of(100 + seed)))
    lender.escaped = escaped


@pytest.mark.parametrize("size", SIZES)
async def test_an_escaped_view_raises(client: Client, lender: Lender, size: int) -> None:
    payload = payload_of(1, size)
    assert await client.stub(Lending).take(memoryview(payload)) == sum(payload[:100])
    with pytest.raises(ValueError, match="released memoryview"):
        bytes(lender.escaped)
    with pytest.raises(ValueError, match="released memoryview"):
        keep(lender.escaped)


async def test_the_view_of_a_handler_that_failed_raises(client: Client, lender: Lender) -> None:
    with pytest.raises(Exception, match="on purpose"):
        await client.stub(Lending).fail(memoryview(payload_of(1)))
    with pytest.raises(ValueError, match="released memoryview"):
        bytes(lender.escaped)


@pytest.mark.parametrize("size", SIZES)
async def test_what_was_kept_stays(client: Client, lender: Lender, size: int) -> None:
    payload = payload_of(2, size)
    lender.how = keep
    await client.stub(Lending).take(memoryview(payload))
    await overwrite(client, lender)
    assert lender.escaped == payload
    assert lender.escaped.readonly


async def test_a_small_part_that_is_kept_does_not_hold_the_rest(
    client: Client, lender: Lender
) -> None:
    payload = payload_of(3)
    lender.how = lambda view: keep(view[10:20])
    await client.stub(Lending).take(memoryview(payload))
    assert lender.escaped == payload[10:20]
    assert len(lender.escaped.obj) == 10


@pytest.mark.parametrize("how", ["slice", "array", "array of a slice"])
async def test_memory_that_somebody_sees_is_not_used_again(
    client: Client, lender: Lender, how: str
) -> None:
    numpy = pytest.importorskip("numpy")
    ways: dict[str, Any] = {
        "slice": lambda view: view[5:],
        "array": lambda view: numpy.frombuffer(view, "u1")[5:],
        "array of a slice": lambda view: numpy.frombuffer(view[5:], "u1"),
    }
    payload = payload_of(4)
    lender.how = ways[how]
    await client.stub(Lending).take(memoryview(payload))
    await overwrite(client, lender)
    assert bytes(lender.escaped) == payload[5:]


async def test_calls_at_once_have_memory_of_their_own(client: Client, lender: Lender) -> None:
    stub = client.stub(Lending)
    calls = [asyncio.ensure_future(stub.wait(memoryview(payload_of(n)))) for n in range(4)]
    await asyncio.sleep(0.05)
    await overwrite(client, lender)
    lender.go_on.set()
    assert await asyncio.gather(*calls) == [1] * 4


async def test_results_belong_to_the_caller(client: Client) -> None:
    stub = client.stub(Lending)
    views = [await stub.give(size) for size in SIZES]
    views += [await stub.give(3 * MIB + n) for n in range(4)]
    sizes = [*SIZES, *(3 * MIB + n for n in range(4))]
    for view, size in zip(views, sizes, strict=True):
        assert isinstance(view, memoryview)
        assert view == payload_of(size, size)


async def test_memory_is_used_again_once_nobody_sees_it(client: Client, lender: Lender) -> None:
    if crossing is None or client.transport.rung == "memory":
        pytest.skip("messages cross in Python here, into memory of their own")
    stub = client.stub(Lending)
    await stub.take(memoryview(payload_of(1)))
    blocks, size_bytes = crossing.pool()
    assert blocks >= 1
    for seed in range(5):
        await stub.take(memoryview(payload_of(seed)))
    assert crossing.pool() == (blocks, size_bytes)


async def test_the_pool_is_bounded(client: Client) -> None:
    if crossing is None or client.transport.rung == "memory":
        pytest.skip("messages cross in Python here, into memory of their own")
    stub = client.stub(Lending)
    views = [await stub.give(n * 65_536 + 1) for n in range(1, 20)]
    views.clear()
    count, size_bytes = crossing.pool()
    assert count <= 8
    assert size_bytes <= 32 * MIB


async def test_arrays_are_sent_from_where_they_lie(client: Client) -> None:
    numpy = pytest.importorskip("numpy")
    stub = client.stub(Lending)
    square = numpy.arange(1_000_000, dtype="i4").reshape(1000, 1000)
    for array in (square, square[::2], square.T, square[:0]):
        expected = sum(array.tobytes()[:100])
        assert await stub.take(memoryview(array)) == expected

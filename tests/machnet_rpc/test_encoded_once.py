"""Arguments are encoded once: a call that waits, or is made again, sends what it was made with."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from machnet_rpc import (
    CallInfo,
    Client,
    Next,
    NotFound,
    RetryPolicy,
    connect,
    rpc,
    serve,
    service,
    sync,
)
from machnet_rpc._transports.ladder import Via
from machnet_rpc.context import CURRENT
from tests.machnet_rpc.server_thread import serving
from transport_engine.config import EngineConfig

QUICK = RetryPolicy(first_pause=0.001, longest_pause=0.002)


@service("once")
class Once:
    @rpc(timeout=5.0, idempotent=True)
    async def put(self, data: memoryview) -> bytes:
        raise NotImplementedError

    @rpc(timeout=5.0, idempotent=True)
    async def total(self, numbers: Iterable[int]) -> int:
        raise NotImplementedError

    @rpc(timeout=5.0, idempotent="keyed")
    async def total_keyed(self, numbers: Iterable[int]) -> int:
        raise NotImplementedError

    @rpc(timeout=5.0)
    async def refuse(self, numbers: list[int]) -> int:
        raise NotImplementedError


class Cutting(Once):
    """Ends the flow of as many calls as it is told, once somebody says so."""

    def __init__(self) -> None:
        self.cuts = 0
        self.came = asyncio.Event()
        self.go_on = asyncio.Event()

    async def _cut(self) -> None:
        if self.cuts:
            self.cuts -= 1
            self.came.set()
            await self.go_on.wait()
            call = CURRENT.get()
            assert call is not None
            call.connection.close()
            await asyncio.sleep(5.0)

    @rpc
    async def put(self, data: memoryview) -> bytes:
        first = bytes(data)
        await self._cut()
        return first

    @rpc
    async def total(self, numbers: Iterable[int]) -> int:
        await self._cut()
        return sum(numbers)

    @rpc(idempotent="keyed")
    async def total_keyed(self, numbers: Iterable[int]) -> int:
        return sum(numbers)

    @rpc
    async def refuse(self, numbers: list[int]) -> int:
        raise NotFound("on purpose")


@pytest.fixture
def cutting() -> Cutting:
    return Cutting()


async def passing(call: CallInfo, request: dict[str, Any], following: Next) -> Any:
    return await following(request)


@pytest.fixture(params=["alone", "middleware"])
async def client(
    request: pytest.FixtureRequest, via: Via, cutting: Cutting
) -> AsyncIterator[Client]:
    middleware = [passing] if request.param == "middleware" else []
    async with (
        serve(cutting, "127.0.0.1:0", via=via, grace=0.0) as server,
        connect(server.address, via=via, retries=QUICK, middleware=middleware) as client,
    ):
        yield client


def numbers() -> Iterator[int]:
    yield from range(5)


@pytest.mark.parametrize("via", ["memory", "inline"], indirect=True)
@pytest.mark.parametrize("kind", [bytearray, memoryview])
@pytest.mark.parametrize("size", [5, 100_000])
async def test_a_call_is_made_again_with_what_it_was_made_with(
    client: Client, cutting: Cutting, kind: Callable[[bytearray], Any], size: int
) -> None:
    cutting.cuts = 1
    memory = bytearray(b"a" * size)
    call = asyncio.ensure_future(client.stub(Once).put(kind(memory)))
    await cutting.came.wait()
    memory[:] = b"b" * size
    cutting.go_on.set()
    assert await call == b"a" * size


@pytest.mark.parametrize("via", ["memory", "inline"], indirect=True)
async def test_items_may_share_one_buffer(client: Client, cutting: Cutting) -> None:
    words = [b"aaa", b"bbb", b"ccc"]

    def refilled() -> Iterator[memoryview]:
        memory = bytearray(3)
        for word in words:
            memory[:] = word
            yield memoryview(memory)

    cutting.cuts = 1
    many = asyncio.ensure_future(client.call_many(Once.put, refilled()))
    await cutting.came.wait()
    cutting.go_on.set()
    assert await many == words


@pytest.mark.parametrize("via", ["memory", "inline"], indirect=True)
async def test_items_may_be_used_up(client: Client, cutting: Cutting) -> None:
    assert await client.call_many(Once.total, [numbers(), numbers()]) == [10, 10]
    cutting.cuts = 1
    many = asyncio.ensure_future(client.call_many(Once.total, [numbers(), numbers()]))
    await cutting.came.wait()
    cutting.go_on.set()
    assert await many == [10, 10]
    assert await client.call_many(Once.total_keyed, [numbers(), numbers()]) == [10, 10]


@pytest.mark.parametrize("via", ["memory", "inline"], indirect=True)
async def test_an_item_that_has_changed_does_not_hide_the_error(client: Client) -> None:
    def growing() -> Iterator[Any]:
        items: list[Any] = [1]
        yield items
        items.append("no number")

    (end,) = await client.call_many(Once.refuse, growing(), return_exceptions=True)
    assert isinstance(end, NotFound)
    assert end.executed == "yes"


@pytest.fixture(params=["inline", "direct"])
def way(request: pytest.FixtureRequest) -> Via:
    if request.param == "inline":
        return EngineConfig()
    socket: Path = request.getfixturevalue(request.param)
    return socket


@pytest.mark.parametrize("method", [Once.total, Once.total_keyed], ids=["usual", "keyed"])
def test_a_blocking_call_that_waits_for_its_flow(way: Via, method: Any) -> None:
    with (
        serving(Cutting(), "127.0.0.1:0", way) as server,
        sync.connect(server.address, via=way) as client,
    ):
        assert client.method(method)(numbers()) == 10
        assert client.method(method)(numbers()) == 10


def test_a_blocking_call_that_is_made_again(way: Via) -> None:
    cutting = Cutting()
    cutting.go_on.set()
    with (
        serving(cutting, "127.0.0.1:0", way) as server,
        sync.connect(server.address, via=way, retries=QUICK) as client,
    ):
        total = client.method(Once.total)
        assert total(numbers()) == 10
        cutting.cuts = 1
        assert total(numbers()) == 10

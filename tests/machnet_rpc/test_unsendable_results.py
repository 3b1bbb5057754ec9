"""Results that cannot be sent, or raise while they are read, end their own calls alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, cast

import pytest

from machnet_rpc import (
    Client,
    Code,
    InvalidArgument,
    NotFound,
    RpcError,
    connect,
    rpc,
    serve,
    service,
)
from machnet_rpc._transports.ladder import Via

pytestmark = pytest.mark.parametrize("via", ["memory", "inline"], indirect=True)


def refused(*_: object) -> Any:
    raise RuntimeError("nothing is said")


Untold: Any = type("Untold", (), {"__class__": property(refused), "__repr__": refused})


@service("frames")
class Frames:
    @rpc
    async def put(self, frame: memoryview) -> int:
        raise NotImplementedError

    @rpc
    async def last(self) -> memoryview:
        raise NotImplementedError

    @rpc(idempotent="keyed")
    async def last_once(self) -> bytes:
        raise NotImplementedError

    @rpc
    def lasts(self) -> AsyncIterator[memoryview]:
        raise NotImplementedError

    @rpc
    async def count(self, how: str) -> Iterable[int]:
        raise NotImplementedError


RAISED: dict[str, BaseException] = {
    "undeclared": KeyError("a"),
    "code": NotFound("a"),
    "cancelled": asyncio.CancelledError("a"),
    "exit": GeneratorExit("a"),
}


def counted(how: str) -> Iterator[int]:
    yield 1
    if how in RAISED:
        raise RAISED[how]


class Store(Frames):
    """Keeps the view that it was lent, and gives it when its lease has ended."""

    def __init__(self) -> None:
        self.view = memoryview(b"")

    @rpc
    async def put(self, frame: memoryview) -> int:
        self.view = frame
        return len(frame)

    @rpc
    async def last(self) -> memoryview:
        return self.view

    @rpc(idempotent="keyed")
    async def last_once(self) -> bytes:
        return cast(bytes, self.view)

    @rpc
    async def lasts(self) -> AsyncIterator[memoryview]:
        yield self.view

    @rpc
    async def count(self, how: str) -> Iterable[int]:
        return cast(Iterable[int], Untold()) if how == "untold" else counted(how)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def client(via: Via, store: Store) -> AsyncIterator[Client]:
    async with (
        serve(store, "127.0.0.1:0", via=via, grace=0.2) as server,
        connect(server.address, via=via, timeout=5.0) as client,
    ):
        yield client


WAYS: dict[str, Callable[[Frames], Any]] = {
    "unary": lambda stub: stub.last(),
    "keyed": lambda stub: stub.last_once(),
    "stream": lambda stub: anext(cast(Any, stub.lasts())),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_view_whose_lease_has_ended_is_no_result(
    client: Client, way: str, size: int
) -> None:
    stub = client.stub(Frames)
    await stub.put(memoryview(bytes(size)))
    connection = client._keeper.connection
    with pytest.raises(RpcError, match=r"(result|item) is wrong") as caught:
        await WAYS[way](stub)
    assert (caught.value.code, caught.value.executed) == (Code.INTERNAL, "yes")
    assert "released" in caught.value.message
    assert await stub.count("") == [1]
    assert client._keeper.connection is connection


@pytest.mark.parametrize("way", WAYS)
async def test_nor_is_what_tells_nothing_of_itself(client: Client, store: Store, way: str) -> None:
    store.view = Untold()
    with pytest.raises(RpcError, match="is wrong: must be bytes, not Untold"):
        await WAYS[way](client.stub(Frames))
    assert await client.stub(Frames).count("") == [1]


async def test_a_released_view_is_no_argument(client: Client) -> None:
    view = memoryview(b"a")
    view.release()
    with pytest.raises(InvalidArgument, match=r"frame: memoryview .* released") as caught:
        await client.stub(Frames).put(view)
    assert caught.value.executed == "no"
    ends = await client.call_many(
        Frames.put, [memoryview(b"a"), view, memoryview(b"abc")], return_exceptions=True
    )
    assert [end if isinstance(end, int) else type(end) for end in ends] == [1, InvalidArgument, 3]


CODES = {
    "undeclared": Code.UNKNOWN,
    "code": Code.NOT_FOUND,
    "cancelled": Code.CANCELLED,
    "exit": Code.UNKNOWN,
    "untold": Code.UNKNOWN,
}


@pytest.mark.parametrize("how", CODES)
async def test_an_iterable_that_raises_is_a_handler_that_does(client: Client, how: str) -> None:
    stub = client.stub(Frames)
    assert await stub.count("") == [1]
    connection = client._keeper.connection
    with pytest.raises(RpcError) as caught:
        await stub.count(how)
    assert (caught.value.code, caught.value.executed) == (CODES[how], "yes")
    assert await stub.count("") == [1]
    assert client._keeper.connection is connection

"""Keyed calls whose replies a database keeps, in the transactions of what they did."""

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest

from machnet_rpc import (
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    MemoryNetwork,
    RetryPolicy,
    RpcError,
    Unavailable,
    connect,
    rpc,
    serve,
)
from tests.machnet_rpc.conftest import ADDRESS
from tests.machnet_rpc.shop import Replies, Shop, ShopServer, SoldOut, StoredShop
from tests.machnet_rpc.waiting import until

QUICK = RetryPolicy(first_pause=0.001, longest_pause=0.002)


@pytest.fixture
def shop() -> ShopServer:
    return ShopServer()


@pytest.fixture
def replies() -> Iterator[Replies]:
    replies = Replies()
    with closing(replies.database):
        yield replies


async def test_a_reply_outlives_its_server(network: MemoryNetwork, replies: Replies) -> None:
    stored = StoredShop(replies)
    stored.cuts = 1
    async with connect(ADDRESS, via=network, retries=QUICK) as client:
        async with serve(stored, ADDRESS, via=network, grace=0.0, replies=replies) as server:
            call = asyncio.create_task(client.stub(Shop).place("a"))
            await until(lambda: stored.ran)
            await server.close(0.0)
        after = StoredShop(replies)
        async with serve(after, ADDRESS, via=network, replies=replies):
            assert await call == "1 a"
            place = client.stub(Shop).place.using(key="k")
            assert [await place("b"), await place("b")] == ["1 b", "1 b"]
    assert (replies.orders(), after.ran, replies.committed) == (["a", "b"], 1, 0)


async def test_a_store_is_given_what_the_handler_does_not_store(
    network: MemoryNetwork, shop: ShopServer, replies: Replies
) -> None:
    for _ in range(2):
        async with (
            serve(shop, ADDRESS, via=network, replies=replies),
            connect(ADDRESS, via=network) as client,
        ):
            assert await client.stub(Shop).place.using(key="k")("a") == "1 a as order 1"
            with pytest.raises(FailedPrecondition, match="other arguments"):
                await client.stub(Shop).place.using(key="k")("b")
    assert (shop.placed, replies.committed) == (["a"], 1)


@pytest.mark.parametrize("is_asked", [True, False])
async def test_a_handler_that_a_store_holds_up_has_not_started(
    network: MemoryNetwork, shop: ShopServer, *, is_asked: bool
) -> None:
    """Only once the store has no reply does the handler start, of which its caller then hears."""
    may_find = asyncio.Event()

    class Slow(Replies):
        async def find(self, key: str) -> bytes | None:
            await may_find.wait()
            return await super().find(key)

    shop.may_end.clear()
    if not is_asked:
        may_find.set()
    slow = Slow()
    async with (
        serve(shop, ADDRESS, via=network, replies=slow, grace=0.0) as server,
        connect(ADDRESS, via=network, retries=None) as client,
    ):
        failing = asyncio.create_task(client.stub(Shop).place.using(timeout=0.2)("a"))
        given = asyncio.create_task(client.stub(Shop).place("b"))
        with pytest.raises(DeadlineExceeded) as late:
            await failing
        await server.close(0.0)
        with pytest.raises(Cancelled) as stopped:
            await given
    told = ("maybe", "sent", "maybe") if is_asked else ("yes", "handler started", "yes")
    assert (late.value.executed, late.value.stage, stopped.value.executed) == told
    assert shop.placed == ([] if is_asked else ["a", "b"])
    slow.database.close()


async def test_a_declared_failure_is_stored_and_others_are_not(
    network: MemoryNetwork, shop: ShopServer, replies: Replies
) -> None:
    for attempt in range(2):
        async with (
            serve(StoredShop(replies), ADDRESS, via=network, replies=replies),
            connect(ADDRESS, via=network) as client,
        ):
            with pytest.raises(SoldOut):
                await client.stub(Shop).place.using(key="k")("nothing")
        assert (replies.committed, replies.orders(), attempt) == (1, [], attempt)
    async with (
        serve(shop, ADDRESS, via=network, replies=replies),
        connect(ADDRESS, via=network) as client,
    ):
        shop.raises = lambda: KeyError("a bug")
        with pytest.raises(RpcError, match="a bug"):
            await client.stub(Shop).place.using(key="l")("a")
        shop.raises = None
        assert await client.stub(Shop).place.using(key="l")("a") == "1 a as order 2"


async def test_two_servers_of_one_store_execute_once(
    network: MemoryNetwork, replies: Replies
) -> None:
    """The second finds out by the database that the first was quicker."""

    class Slow(StoredShop):
        @rpc
        async def place(self, item: str, count: int = 1) -> str:
            await asyncio.sleep(0.02)  # both have asked the store by then
            return await super().place(item, count)

    other = ADDRESS.replace("7000", "7001")
    async with (
        serve(Slow(replies), ADDRESS, via=network, replies=replies),
        serve(Slow(replies), other, via=network, replies=replies),
        connect(ADDRESS, via=network) as one,
        connect(other, via=network) as two,
    ):
        calls = (each.stub(Shop).place.using(key="k")("a") for each in (one, two))
        assert await asyncio.gather(*calls) == ["1 a", "1 a"]
    assert replies.orders() == ["a"]


async def test_a_store_that_does_not_work_is_told(
    network: MemoryNetwork, shop: ShopServer, replies: Replies
) -> None:
    async with (
        serve(shop, ADDRESS, via=network, replies=replies),
        connect(ADDRESS, via=network, retries=None) as client,
    ):
        place = client.stub(Shop).place.using(key="k")
        replies.is_broken = True
        with pytest.raises(Unavailable, match="cannot be read: disk I/O error") as before:
            await place("a")
        assert (before.value.executed, shop.placed) == ("no", [])
        replies.is_broken = False
        shop.may_end.clear()
        call = asyncio.create_task(place("a"))
        await until(lambda: shop.placed)
        replies.is_broken = True
        shop.may_end.set()
        with pytest.raises(Internal, match="store of replies does not work") as after:
            await call
        assert after.value.executed == "maybe"


async def test_garbage_in_a_store_is_told(
    network: MemoryNetwork, shop: ShopServer, replies: Replies
) -> None:
    replies.database.execute("insert into replies values ('shop/place:k', x'c1')")
    async with (
        serve(shop, ADDRESS, via=network, replies=replies),
        connect(ADDRESS, via=network, retries=None) as client,
    ):
        with pytest.raises(Unavailable, match="not msgpack") as caught:
            await client.stub(Shop).place.using(key="k")("a")
    assert (caught.value.executed, shop.placed) == ("no", [])

"""Keyed calls: executed once for each key, however often they are sent, and what that costs."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from idl import pack
from machnet_rpc import (
    Aborted,
    Cancelled,
    Client,
    ContractError,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    Limits,
    MemoryNetwork,
    NotFound,
    ResourceExhausted,
    RetryPolicy,
    RpcError,
    Unavailable,
    connect,
    current_call,
    rpc,
    serve,
    service,
    sync,
)
from machnet_rpc._transports.ladder import Via
from machnet_rpc.testing import VirtualClock
from tests.machnet_rpc.conftest import ADDRESS, only_memory
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from tests.machnet_rpc.server_thread import serving
from tests.machnet_rpc.shop import Shop, ShopServer, SoldOut
from tests.machnet_rpc.waiting import until

QUICK = RetryPolicy(first_pause=0.001, longest_pause=0.002)


@pytest.fixture
def shop() -> ShopServer:
    return ShopServer()


@pytest.fixture
async def client(via: Via, shop: ShopServer) -> AsyncIterator[Client]:
    async with (
        serve(shop, "127.0.0.1:0", via=via, grace=0.0) as server,
        connect(server.address, via=via, retries=QUICK) as client,
    ):
        yield client


async def test_a_key_is_executed_once(client: Client, shop: ShopServer) -> None:
    place = client.stub(Shop).place.using(key="order-17")
    first = await place("apples", 2)
    assert [await place("apples", 2) for _ in range(3)] == [first] * 3
    assert await client.using(key="order-17").call(Shop.place, "apples", 2) == first
    assert (shop.placed, shop.keys) == (["apples"], ["shop/place:order-17"])


async def test_each_call_without_a_key_has_its_own(client: Client, shop: ShopServer) -> None:
    stub = client.stub(Shop)
    assert await stub.place("a") != await stub.place("a")
    assert len(set(shop.keys)) == 2


async def test_a_call_whose_key_runs_waits_for_it(client: Client, shop: ShopServer) -> None:
    shop.may_end.clear()
    place = client.stub(Shop).place.using(key="k")
    calls = [asyncio.create_task(place("a")) for _ in range(5)]
    await until(lambda: shop.placed)
    await asyncio.sleep(0)
    shop.may_end.set()
    assert len(set(await asyncio.gather(*calls))) == 1
    assert shop.placed == ["a"]


async def test_a_lost_reply_is_given_again(client: Client, shop: ShopServer) -> None:
    shop.cuts = 2
    assert await client.stub(Shop).place("a") == "1 a as order 1"
    assert shop.placed == ["a"]


async def test_the_handler_goes_on_when_its_flow_dies(client: Client, shop: ShopServer) -> None:
    shop.cuts = 1
    shop.may_end.clear()
    call = asyncio.create_task(client.stub(Shop).place("a"))
    retries = client._retries
    assert retries is not None
    await until(lambda: retries.made)
    shop.may_end.set()
    assert await call == "1 a as order 1"
    assert (shop.placed, shop.ended) == (["a"], 1)


async def test_other_arguments_need_another_key(client: Client, shop: ShopServer) -> None:
    place = client.stub(Shop).place.using(key="k")
    await place("a")
    with pytest.raises(FailedPrecondition, match="used before with other arguments") as caught:
        await place("b")
    assert (caught.value.executed, shop.placed) == ("no", ["a"])


@pytest.mark.parametrize("failure", ["declared", "code", "undeclared"])
@only_memory
async def test_a_failure_is_an_answer_too(client: Client, shop: ShopServer, failure: str) -> None:
    errors = {"declared": SoldOut("no a"), "code": NotFound("what?"), "undeclared": KeyError("x")}
    shop.raises = lambda: errors[failure]
    place = client.stub(Shop).place.using(key="k")
    said: list[str] = []
    for _ in range(2):
        with pytest.raises((SoldOut, NotFound, RpcError)) as caught:
            await place("a")
        said.append(str(caught.value))
        shop.raises = None
    assert (said[0], shop.placed) == (said[1], ["a"])


@only_memory
async def test_who_aborts_may_try_again_under_the_key(client: Client, shop: ShopServer) -> None:
    shop.raises = lambda: Aborted("a conflict")
    place = client.stub(Shop).place.using(key="k")
    with pytest.raises(Aborted):
        await place("a")
    shop.raises = None
    assert await place("a") == "1 a as order 2"


@only_memory
async def test_arguments_that_are_refused_leave_the_key_new(
    client: Client, shop: ShopServer
) -> None:
    keyed = client.using(key="k")
    await keyed.call(Shop.place, "a")
    for wrong in ("x" * 20_000, "\udc80"):
        with pytest.raises(InvalidArgument) as unsent:
            await client.stub(Shop).place.using(key=wrong)("a")
        assert (unsent.value.executed, unsent.value.stage) == ("no", "encoding")
        with pytest.raises(InvalidArgument):
            await client.using(key=wrong).call("shop/place", {"item": "a"})
    for wrong in ("", "x" * 257):
        with pytest.raises(InvalidArgument, match="1 to 256 characters") as caught:
            await client.stub(Shop).place.using(key=wrong)("a")
        assert caught.value.executed == "no"
    assert shop.placed == ["a"]


@only_memory
async def test_a_call_by_name_is_executed_each_time(client: Client, shop: ShopServer) -> None:
    for _ in range(2):
        await client.call("shop/place", {"item": "a"})
    assert shop.placed == ["a", "a"]


@only_memory
async def test_a_call_by_name_may_have_a_key(client: Client, shop: ShopServer) -> None:
    shop.cuts = 1
    keyed = client.using(key="k", metadata={"tenant": "a"})
    said = [await keyed.call("shop/place", {"item": "a"}) for _ in range(2)]
    assert (said, shop.placed) == (["1 a as order 1"] * 2, ["a"])
    with pytest.raises(FailedPrecondition):
        await keyed.call("shop/place", {"item": "b"})
    raw = client.using(key="l")
    got = [await raw.call("shop/place", pack({"item": "c"})) for _ in range(2)]
    assert got == [pack("1 c as order 2")] * 2


@service("shop")
class PlainShop:
    """What an older server has."""

    @rpc
    async def place(self, item: str, count: int = 1) -> str:
        raise NotImplementedError


class PlainServer(PlainShop):
    def __init__(self) -> None:
        self.ran = 0

    @rpc
    async def place(self, item: str, count: int = 1) -> str:
        self.ran += 1
        return item


async def test_a_server_without_keys_refuses_them(via: Via) -> None:
    plain = PlainServer()
    async with (
        serve(plain, "127.0.0.1:0", via=via) as server,
        connect(server.address, via=via, retries=QUICK) as client,
    ):
        with pytest.raises(FailedPrecondition, match="not keyed here") as caught:
            await client.stub(Shop).place("a")
        assert (caught.value.executed, plain.ran) == ("no", 0)
        assert await client.stub(PlainShop).place("a") == "a"


async def test_what_an_ended_server_knew_is_not_done_again(
    network: MemoryNetwork, shop: ShopServer
) -> None:
    """The call ran, and its server went with the reply: the next one must not run it again."""
    shop.cuts = 1
    shop.may_end.clear()
    async with connect(ADDRESS, via=network, retries=QUICK) as client:
        async with serve(shop, ADDRESS, via=network, grace=0.0) as server:
            call = asyncio.create_task(client.stub(Shop).place("a"))
            await until(lambda: shop.placed)
            await server.close(0.0)
        after = ShopServer()
        async with serve(after, ADDRESS, via=network, grace=0.0):
            with pytest.raises(FailedPrecondition, match="sent before") as caught:
                await call
            assert await client.stub(Shop).place("b") == "1 b as order 1"
    assert (caught.value.executed, after.placed) == ("maybe", ["b"])
    assert caught.value.attempts == 2


async def test_a_server_that_lost_its_engine_remembers(
    network: MemoryNetwork, shop: ShopServer
) -> None:
    shop.may_end.clear()
    async with (
        serve(shop, ADDRESS, via=network, grace=0.0) as server,
        connect(ADDRESS, via=network, retries=QUICK) as client,
    ):
        call = asyncio.create_task(client.stub(Shop).place("a"))
        await until(lambda: shop.placed)
        link = server._link
        link.die()  # type: ignore[union-attr]
        await until(lambda: server._link is not link)
        retries = client._retries
        assert retries is not None
        await until(lambda: retries.made)
        assert server.handlers_running == 1
        shop.may_end.set()
        assert await call == "1 a as order 1"
        assert shop.placed == ["a"]


def test_what_was_forgotten_is_not_done_again(network: MemoryNetwork, shop: ShopServer) -> None:
    """The reply is lost, and forgotten before the call is sent again, late in its time."""

    class Late(RetryPolicy):
        def pause(self, attempts: int) -> float:
            return 4.0  # of the call's 5 s

    async def main() -> None:
        shop.cuts = 1
        async with (
            VirtualClock(),
            serve(shop, ADDRESS, via=network, limits=Limits(keyed_replies=1)),
            connect(ADDRESS, via=network, retries=Late()) as client,
        ):
            call = asyncio.create_task(client.stub(Shop).place("a"))
            await asyncio.sleep(1.0)
            async with connect(ADDRESS, via=network) as other:
                await other.stub(Shop).place("b")
            with pytest.raises(FailedPrecondition, match="sent before") as caught:
                await call
        assert (caught.value.executed, shop.placed) == ("maybe", ["a", "b"])

    asyncio.run(main())


@only_memory
async def test_a_handler_that_nobody_waits_for_is_cut_short(
    client: Client, shop: ShopServer
) -> None:
    shop.may_end.clear()
    place = client.stub(Shop).place.using(key="k")
    first, second = (asyncio.create_task(place("a")) for _ in range(2))
    await until(lambda: shop.placed)
    first.cancel()
    await asyncio.sleep(0.01)
    with pytest.raises(DeadlineExceeded):  # joins, and gives up
        await place.using(timeout=0.02, key="k")("a")
    assert not second.done()
    second.cancel()
    await asyncio.sleep(0.01)
    shop.may_end.set()
    with pytest.raises(Cancelled, match="cancelled before its end") as caught:
        await place("a")
    assert (caught.value.executed, shop.placed, shop.ended) == ("maybe", ["a"], 0)


async def test_a_lost_caller_is_waited_for_until_its_deadline(
    network: MemoryNetwork, shop: ShopServer
) -> None:
    shop.cuts = 1
    shop.may_end.clear()
    async with serve(shop, ADDRESS, via=network, grace=0.0) as server:
        async with connect(ADDRESS, via=network, retries=None) as client:
            with pytest.raises(Unavailable):
                await client.stub(Shop).place.using(timeout=0.2)("a")
        begun = time.monotonic()
        assert server.handlers_running == 1
        await until(lambda: not server.handlers_running)
        assert time.monotonic() - begun < 2.0
    assert shop.ended == 0


async def test_calls_that_wait_are_bounded(network: MemoryNetwork, shop: ShopServer) -> None:
    shop.may_end.clear()
    async with (
        serve(shop, ADDRESS, via=network, limits=Limits(handlers=2)),
        connect(ADDRESS, via=network, retries=None) as client,
    ):
        place = client.stub(Shop).place.using(key="k")
        calls = [asyncio.create_task(place("a")) for _ in range(2)]
        await until(lambda: shop.placed)
        await asyncio.sleep(0.01)
        with pytest.raises(ResourceExhausted) as caught:
            await place("a")
        assert (caught.value.executed, caught.value.is_passing) == ("no", True)
        shop.may_end.set()
        assert len(set(await asyncio.gather(*calls))) == 1


@only_memory
async def test_many_keyed_calls_have_a_key_each(client: Client, shop: ShopServer) -> None:
    shop.cuts = 2
    got = await client.call_many(cast(Any, Shop.place), ["a", "b", "c"], in_flight_max=1)
    assert got == ["1 a as order 1", "1 b as order 2", "1 c as order 3"]
    assert len(set(shop.keys)) == 3


def test_the_blocking_client_sends_keys(via: Via) -> None:
    shop = ShopServer()
    shop.cuts = 1
    with (
        serving(shop, "127.0.0.1:0", via) as server,
        sync.connect(server.address, via=via, retries=QUICK) as client,
    ):
        # It has run for a minute: a call that meets the end of the flow that was cut is new to it.
        server.server._keyed._table.remembers_ns -= 60_000_000_000
        place = client.method(Shop.place)
        assert place("a") == "1 a as order 1"
        assert place.using(key="k")("b") == place.using(key="k")("b") == "1 b as order 2"
        named = client.using(key="l")
        for _ in range(2):
            assert named.call("shop/place", {"item": "c"}) == "1 c as order 3"
    assert shop.placed == ["a", "b", "c"]


async def test_a_method_without_keys_has_none(network: MemoryNetwork, book: LedgerBook) -> None:
    async with serve(book, ADDRESS, via=network), connect(ADDRESS, via=network) as client:
        with pytest.raises(ContractError, match="no key"):
            client.stub(Ledger).nothing.using(key="k")
    with pytest.raises(LookupError):
        current_call()


def test_only_unary_methods_are_keyed(network: MemoryNetwork) -> None:
    @service("streams")
    class Streams:
        @rpc(idempotent="keyed")
        def rows(self) -> AsyncIterator[int]:
            raise NotImplementedError

    @service("oneway")
    class Oneway:
        @rpc(idempotent="keyed", oneway=True)
        async def tell(self) -> None:
            raise NotImplementedError

    for contract in (Streams, Oneway):
        with pytest.raises(ContractError, match="must be unary"):
            connect(ADDRESS, via=network).stub(contract)
    with pytest.raises(ContractError, match='True, False or "keyed"'):
        rpc(idempotent="often")  # type: ignore[call-overload]

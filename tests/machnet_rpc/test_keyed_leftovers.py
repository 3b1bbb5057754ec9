"""Keyed calls that end at any point leave nothing behind, and none is executed twice at once."""

import asyncio
import random
from typing import Any

import pytest

from machnet_rpc import (
    CallInfo,
    Cancelled,
    DeadlineExceeded,
    Limits,
    MemoryNetwork,
    Next,
    RetryPolicy,
    RpcError,
    connect,
    current_call,
    rpc,
    serve,
)
from machnet_rpc.context import CURRENT
from tests.machnet_rpc.conftest import ADDRESS
from tests.machnet_rpc.shop import Shop, ShopServer
from tests.machnet_rpc.waiting import until

CALLS = 400
KEYS = 40


class Quitter(Shop):
    @rpc
    async def place(self, item: str, count: int = 1) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel("enough")
        await asyncio.sleep(60)
        return item


async def test_a_handler_that_cancels_itself_was_executed(network: MemoryNetwork) -> None:
    async with (
        serve(Quitter(), ADDRESS, via=network),
        connect(ADDRESS, via=network) as client,
    ):
        for _ in range(2):
            with pytest.raises(Cancelled, match="before its end: enough") as caught:
                await client.stub(Shop).place.using(key="k")("a")
            assert caught.value.executed == "yes"


async def test_middleware_that_calls_again_calls_with_the_same_key(network: MemoryNetwork) -> None:
    async def twice(_: CallInfo, request: Any, following: Next) -> Any:
        return await following(request), await following(request)

    shop = ShopServer()
    async with (
        serve(shop, ADDRESS, via=network),
        connect(ADDRESS, via=network, middleware=[twice]) as client,
    ):
        for _ in range(2):
            answers: Any = await client.stub(Shop).place("a")
            assert answers[0] == answers[1]
    assert len(shop.placed) == len(set(shop.keys)) == 2


class RandomShop(Shop):
    """Takes its time, and cuts some of its callers off."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.running: set[str] = set()
        self.ended: dict[str, int] = {}
        self.wrong: list[str] = []

    @rpc
    async def place(self, item: str, count: int = 1) -> str:
        key = current_call().key
        assert key is not None
        if key in self.running or key in self.ended:
            self.wrong.append(key)
        self.running.add(key)
        try:
            if self._chance.random() < 0.1:
                call = CURRENT.get()
                assert call is not None
                call.connection.close()
            for _ in range(self._chance.randrange(4)):
                await asyncio.sleep(self._chance.choice((0.0, 0.001, 0.005)))
        finally:
            self.running.discard(key)
            self.ended[key] = self.ended.get(key, 0) + 1
        return item


@pytest.mark.parametrize("seed", range(3))
async def test_ends_at_random_points_leave_nothing(network: MemoryNetwork, seed: int) -> None:
    chance = random.Random(seed)
    shop = RandomShop(chance)
    answered = 0
    async with (
        serve(shop, ADDRESS, via=network, limits=Limits(handlers=30)) as server,
        connect(ADDRESS, via=network, retries=RetryPolicy(first_pause=0.001)) as client,
    ):

        async def one() -> None:
            nonlocal answered
            key = str(chance.randrange(KEYS))
            timeout = chance.choice((0.001, 0.005, 2.0, 2.0))
            try:
                async with asyncio.timeout(chance.choice((0.002, 5.0, 5.0))):
                    assert await client.stub(Shop).place.using(key=key, timeout=timeout)(key) == key
                answered += 1
            except (RpcError, TimeoutError):
                pass

        for _ in range(CALLS // 50):
            await asyncio.gather(*(one() for _ in range(50)))
        await until(lambda: not server.handlers_running)
        keyed = server._keyed
        await until(lambda: not keyed._places)
        assert not list(keyed._table.running())
        connection = client._keeper.connection
        assert connection is None or not connection.outgoing
        with pytest.raises(DeadlineExceeded):
            await client.stub(Shop).place.using(timeout=1e-9)("late")
    assert shop.wrong == []
    assert answered > CALLS // 10

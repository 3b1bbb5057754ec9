"""What a server admits holds for calls of every kind, and is refused before a handler starts."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from machnet_rpc import Limits, MemoryNetwork, ResourceExhausted, connect, rpc, serve, service
from tests.machnet_rpc.conftest import ADDRESS
from tests.machnet_rpc.waiting import until
from transport_engine.config import EngineConfig
from transport_engine.config import Limits as EngineLimits


@service("every")
class Every:
    @rpc
    async def plain(self, text: str) -> str:
        raise NotImplementedError

    @rpc(idempotent="keyed")
    async def once(self, text: str) -> str:
        raise NotImplementedError

    @rpc
    def given(self, text: str) -> AsyncIterator[str]:
        raise NotImplementedError

    @rpc
    async def taken(self, items: AsyncIterable[str], text: str) -> str:
        raise NotImplementedError


class EveryServer(Every):
    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.begun: list[str] = []

    async def _answered(self, text: str) -> str:
        self.begun.append(text)
        await self.goes_on.wait()
        return text

    @rpc
    async def plain(self, text: str) -> str:
        return await self._answered(text)

    @rpc
    async def once(self, text: str) -> str:
        return await self._answered(text)

    @rpc
    async def given(self, text: str) -> AsyncIterator[str]:
        yield await self._answered(text)

    @rpc
    async def taken(self, items: AsyncIterable[str], text: str) -> str:
        return await self._answered(text)


async def nothing() -> AsyncIterator[str]:
    no_items: list[str] = []
    for item in no_items:
        yield item


async def first(items: AsyncIterator[str]) -> str:
    return await anext(items)


Call = Callable[[Every, str], Coroutine[Any, Any, str]]
KINDS: dict[str, Call] = {
    "plain": lambda stub, text: stub.plain(text),
    "keyed": lambda stub, text: stub.once(text),
    "items": lambda stub, text: first(stub.given(text)),
    "upload": lambda stub, text: stub.taken(nothing(), text),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_no_more_handlers_than_are_admitted(network: MemoryNetwork, kind: str) -> None:
    call, desk, limits = KINDS[kind], EveryServer(), Limits(handlers=2)
    async with (
        serve(desk, ADDRESS, via=network, limits=limits),
        connect(ADDRESS, via=network, retries=None) as client,
    ):
        stub = client.stub(Every)
        both = [asyncio.create_task(call(stub, text)) for text in ("a", "b")]
        await until(lambda: len(desk.begun) == 2)
        with pytest.raises(ResourceExhausted, match="2 calls are being handled") as caught:
            await call(stub, "c")
        assert (caught.value.executed, caught.value.is_passing) == ("no", True)
        desk.goes_on.set()
        assert await asyncio.gather(*both) == ["a", "b"]
        assert await call(stub, "d") == "d"
        assert desk.begun == ["a", "b", "d"]


@pytest.mark.parametrize("kind", KINDS)
async def test_no_longer_arguments_than_are_admitted(network: MemoryNetwork, kind: str) -> None:
    call, desk, limits = KINDS[kind], EveryServer(), Limits(request_bytes=100)
    desk.goes_on.set()
    async with (
        serve(desk, ADDRESS, via=network, limits=limits),
        connect(ADDRESS, via=network, retries=None) as client,
    ):
        stub = client.stub(Every)
        assert await call(stub, "x" * 50) == "x" * 50
        with pytest.raises(ResourceExhausted, match="and the server takes 100") as caught:
            await call(stub, "x" * 101)
        assert (caught.value.executed, len(desk.begun)) == ("no", 1)


async def test_a_kept_reply_that_a_caller_cannot_take_was_executed() -> None:
    narrow = EngineConfig(limits=EngineLimits(message_bytes_max=1024))
    desk = EveryServer()
    desk.goes_on.set()
    async with (
        serve(desk, "127.0.0.1:0", via=EngineConfig()) as server,
        connect(server.address, via=EngineConfig()) as client,
        connect(server.address, via=narrow) as other,
    ):
        text = "x" * 1000 + "y" * 30
        assert await client.stub(Every).once.using(key="k")(text) == text
        with pytest.raises(ResourceExhausted, match="too large for this caller") as caught:
            await other.stub(Every).once.using(key="k")(text)
        assert (caught.value.executed, len(desk.begun)) == ("yes", 1)

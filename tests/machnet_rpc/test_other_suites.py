"""Cases of the suites of other RPC projects, and of asyncio and anyio, that no other file has.

Source: ideas of the tests of grpcio (tests_aio), grpc-java, grpclib, redis-py and anyio
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from machnet_rpc import (
    Cancelled,
    Client,
    DeadlineExceeded,
    Sender,
    Server,
    connect,
    rpc,
    serve,
    service,
)
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.leftovers import nothing_left
from tests.machnet_rpc.waiting import until

WINDOW = 64
WITHIN: ContextVar[str] = ContextVar("within", default="")


@service("cases")
class Cases:
    @rpc
    def echo(self, items: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        raise NotImplementedError

    @rpc
    def echo_nothing(self, items: AsyncIterator[None]) -> AsyncIterator[None]:
        raise NotImplementedError

    @rpc
    def count(self, until: int) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc
    def scoped(self, scope: str) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc
    async def total(self, items: AsyncIterator[int]) -> int:
        raise NotImplementedError

    @rpc
    async def wait(self, seconds: float) -> str:
        raise NotImplementedError

    @rpc
    async def close_server(self, grace: float) -> None:
        raise NotImplementedError


SCOPES: dict[str, Callable[[], Any]] = {
    "timeout": lambda: asyncio.timeout(60),
    "task_group": asyncio.TaskGroup,
    "anyio_scope": lambda: anyio.move_on_after(60),
    "anyio_task_group": anyio.create_task_group,
}


class Desk(Cases):
    def __init__(self) -> None:
        self.server: Server | None = None
        self.begun: list[str] = []
        self.ends: list[str] = []

    @rpc
    async def echo(self, items: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for item in items:
            yield item

    @rpc
    async def echo_nothing(self, items: AsyncIterator[None]) -> AsyncIterator[None]:
        async for item in items:
            yield item

    @rpc
    async def count(self, until: int) -> AsyncIterator[int]:
        for number in range(until):
            yield number

    @rpc
    async def scoped(self, scope: str) -> AsyncIterator[int]:
        token = WITHIN.set(scope)
        self.begun.append(scope)
        try:
            async with AsyncExitStack() as stack:
                entered: Any = SCOPES[scope]()
                if isinstance(entered, AbstractAsyncContextManager):
                    await stack.enter_async_context(entered)
                else:
                    stack.enter_context(entered)
                for number in range(1_000_000):
                    yield number
        finally:
            WITHIN.reset(token)
            self.ends.append(scope)

    @rpc
    async def total(self, items: AsyncIterator[int]) -> int:
        return sum([item async for item in items])

    @rpc
    async def wait(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    @rpc
    async def close_server(self, grace: float) -> None:
        assert self.server is not None
        await self.server.close(grace)


@pytest.fixture
def book() -> Desk:  # what the fixture `server` serves
    return Desk()


async def times(count: int, item: Any) -> AsyncIterator[Any]:
    for _ in range(count):
        yield item


@pytest.mark.parametrize("count", [0, 1, WINDOW, WINDOW + 1, 300])
async def test_items_of_no_bytes_are_items(client: Client, count: int) -> None:
    stub = client.stub(Cases)
    assert [item async for item in stub.echo(times(count, b""))] == [b""] * count
    assert [item async for item in stub.echo_nothing(times(count, None))] == [None] * count


async def leave(client: Client, scope: str) -> None:
    async with client.stream(Cases.scoped, scope) as numbers:
        assert await anext(numbers) == 0


async def be_cancelled(client: Client, scope: str) -> None:
    async with asyncio.timeout(0.2), client.stream(Cases.scoped, scope) as numbers:
        assert await anext(numbers) == 0
        await asyncio.sleep(60)


async def be_late(client: Client, scope: str) -> None:
    async with client.using(timeout=0.2).stream(Cases.scoped, scope) as numbers:
        assert await anext(numbers) == 0
        await asyncio.sleep(0.25)
        async for _ in numbers:
            pass


@pytest.mark.parametrize(
    ("end", "error"),
    [(leave, None), (be_cancelled, TimeoutError), (be_late, DeadlineExceeded)],
    ids=["leave", "be_cancelled", "be_late"],
)
@pytest.mark.parametrize("scope", SCOPES)
async def test_what_a_handler_entered_around_its_items_is_left_where_it_was_entered(
    client: Client,
    server: Server,
    book: Desk,
    scope: str,
    end: Callable[..., Any],
    error: type[Exception] | None,
) -> None:
    with nullcontext() if error is None else pytest.raises(error):
        await end(client, scope)
    await until(lambda: nothing_left(client, server))
    assert book.ends == book.begun


async def test_a_stream_feeds_another_call(client: Client) -> None:
    stub = client.stub(Cases)
    assert await stub.total(stub.count(300)) == sum(range(300))
    begun = client.stream(Cases.count, 5)
    assert await anext(begun) == 0
    assert await stub.total(begun) == 10
    assert await stub.total(begun) == 0
    with pytest.raises(DeadlineExceeded):
        await stub.total(client.using(timeout=0.0).stream(Cases.count, 5))


async def _send_all(sender: Sender[bytes], sent: list[bytes]) -> None:
    for number in range(1_000_000):
        await sender.send(b"%d" % number)
        sent.append(b"%d" % number)


async def test_who_sends_without_reading_waits_and_loses_nothing(client: Client) -> None:
    sender = Sender[bytes]()
    async with client.stream(Cases.echo, sender) as items:
        sent: list[bytes] = []
        sending = asyncio.ensure_future(_send_all(sender, sent))
        await until(lambda: len(sent) >= 2 * WINDOW)
        sending.cancel()
        await asyncio.wait([sending])
        assert [await anext(items) for _ in sent] == sent
        await sender.send(b"last")
        sender.close()
        assert [item async for item in items] == [b"last"]


async def test_a_reader_that_gives_up_at_any_moment_loses_no_item(client: Client) -> None:
    sender, expected = Sender[bytes](), 0
    async with client.stream(Cases.echo, sender) as items:
        for number in range(100):
            await sender.send(b"%d" % number)
            reading = asyncio.ensure_future(anext(items))
            for _ in range(number % 7):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
            if not reading.cancelled():
                assert int(reading.result()) == expected
                expected += 1
            while expected < number - WINDOW // 2:
                assert int(await anext(items)) == expected
                expected += 1
        sender.close()
        assert [int(item) async for item in items] == list(range(expected, 100))


@pytest.mark.parametrize("graces", [(60.0, 0.0), (0.0, 60.0), (60.0, 0.1, 60.0)])
async def test_of_several_closes_the_shortest_grace_counts(
    via: Via, graces: tuple[float, ...]
) -> None:
    async with (
        serve(Desk(), "127.0.0.1:0", via=via, grace=0.0) as server,
        connect(server.address, via=via) as client,
    ):
        waiting = asyncio.ensure_future(client.stub(Cases).wait(60.0))
        await until(lambda: server.handlers_running)
        async with asyncio.timeout(30):
            await asyncio.gather(*(server.close(grace) for grace in graces))
        with pytest.raises(Cancelled):
            await waiting


async def test_a_handler_that_closes_its_server_is_cancelled_by_that(
    server: Server, client: Client, book: Desk
) -> None:
    book.server = server
    with pytest.raises(Cancelled) as caught:
        await client.stub(Cases).close_server(0.1)
    assert caught.value.executed == "yes"

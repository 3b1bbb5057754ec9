"""Cancelling, deadlines and shutdown: handlers stop, every call ends, nothing is left."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from machnet_rpc import (
    CallInfo,
    Cancelled,
    Client,
    DeadlineExceeded,
    MemoryNetwork,
    Next,
    RpcError,
    Server,
    Service,
    Unavailable,
    connect,
    serve,
)
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from tests.machnet_rpc.tap import Drop, Source, Tap, TapDesk
from tests.machnet_rpc.waiting import until


async def test_cancelling_a_call_cancels_its_handler(client: Client, book: LedgerBook) -> None:
    call = asyncio.ensure_future(client.stub(Ledger).sleep.using(timeout=9)(9))
    await until(lambda: book.journal == ["start"])
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: book.journal == ["start", "cancelled"])


def call_by_stub(client: Client) -> Coroutine[Any, Any, Any]:
    return client.stub(Ledger).sleep.using(timeout=9)(9)


def call_by_contract(client: Client) -> Coroutine[Any, Any, Any]:
    return client.using(timeout=9).call(Ledger.sleep, 9)


def call_by_name(client: Client) -> Coroutine[Any, Any, Any]:
    return client.using(timeout=9).call("ledger/sleep", 9)


def call_with_metadata(client: Client) -> Coroutine[Any, Any, Any]:
    return client.stub(Ledger).sleep.using(timeout=9, metadata={"a": "b"})(9)


def call_many(client: Client) -> Coroutine[Any, Any, Any]:
    return client.using(timeout=9).call_many(Ledger.sleep, [9], in_flight_max=1)


@pytest.mark.parametrize(
    "begin",
    [call_by_stub, call_by_contract, call_by_name, call_with_metadata, call_many],
)
async def test_closing_a_calls_coroutine_cancels_its_handler(
    client: Client, book: LedgerBook, begin: Callable[[Client], Coroutine[Any, Any, Any]]
) -> None:
    await client.stub(Ledger).echo(b"the flow is open")
    call = begin(client)
    call.send(None)
    await until(lambda: book.journal == ["start"])
    call.close()
    await until(lambda: book.journal == ["start", "cancelled"])


async def test_closing_a_coroutine_that_passes_middleware_cancels_its_handlers(
    via: Via, server: Server, book: LedgerBook
) -> None:
    async def passed(_: CallInfo, request: Any, following: Next) -> Any:
        return await following(request)

    async with connect(server.address, via=via, timeout=9.0, middleware=[passed]) as client:
        await client.stub(Ledger).echo(b"the flow is open")
        call = client.stub(Ledger).sleep(9)
        call.send(None)
        await until(lambda: book.journal == ["start"])
        call.close()
        await until(lambda: book.journal == ["start", "cancelled"])
        many = client.call_many(Ledger.sleep, [9], in_flight_max=1)
        many.send(None)
        await until(lambda: book.journal == ["start", "cancelled", "start"])
        many.close()
        await until(lambda: book.journal == ["start", "cancelled"] * 2)


async def test_closing_an_uploads_coroutine_cancels_its_handler(
    via: Via,
) -> None:
    async def waits() -> AsyncIterator[Drop]:
        try:
            yield Drop(1, "took")
            await asyncio.sleep(60)
        finally:
            closed.append("source")

    closed: list[str] = []
    desk = TapDesk()
    async with (
        serve(desk, "127.0.0.1:0", via=via, grace=0.2) as server,
        connect(server.address, via=via, timeout=9.0) as client,
    ):
        await client.stub(Tap).first(Source(1).items())
        call = client.stub(Tap).total(waits())
        call.send(None)
        await until(lambda: desk.journal == ["took"])
        call.close()
        await until(lambda: desk.journal == ["took", "total is cancelled"] and closed)


async def test_a_deadline_cancels_the_handler(client: Client, book: LedgerBook) -> None:
    await client.stub(Ledger).echo(b"the flow is open")
    with pytest.raises(DeadlineExceeded):
        await client.stub(Ledger).sleep.using(timeout=0.3)(9)
    await until(lambda: book.journal == ["start", "cancelled"])


async def test_a_contracts_own_timeout_holds(via: Via, server: Server) -> None:
    async with connect(server.address, via=via) as client:
        await client.stub(Ledger).echo(b"the flow is open")
        with pytest.raises(DeadlineExceeded):
            await client.stub(Ledger).sleep(9)


@pytest.mark.parametrize("seed", range(3))
async def test_cancelling_at_any_point_leaves_nothing(
    client: Client, server: Server, seed: int
) -> None:
    pick = random.Random(seed)
    ledger = client.stub(Ledger)
    await ledger.nothing()

    async def one() -> str:
        calls = (
            lambda: ledger.echo(b"e" * pick.choice([0, 100, 200_000])),
            lambda: ledger.sleep.using(timeout=pick.random() / 50)(pick.random() / 25),
        )
        call = asyncio.ensure_future(pick.choice(calls)())
        for _ in range(pick.randrange(12)):
            await asyncio.sleep(0)
        if pick.random() < 0.7:
            call.cancel()
        try:
            await call
        except asyncio.CancelledError:
            return "cancelled"
        except RpcError:
            return "failed"
        return "answered"

    ends: list[str] = []
    for _ in range(30):
        ends += await asyncio.gather(*(one() for _ in range(20)))
    assert set(ends) == {"cancelled", "failed", "answered"}
    connection, pump = client._keeper.connection, client._keeper.pump
    assert connection is not None
    assert pump is not None
    assert server._pump is not None
    await until(lambda: server.handlers_running == 0 and not pump.port.outbox)
    assert connection.outgoing == 0
    assert len(pump.deadlines) == len(server._pump.deadlines) == 0
    assert sum(each.incoming for each in server._pump.connections) == 0
    assert await ledger.echo(b"still") == b"still"


async def test_closing_lets_calls_under_way_end(via: Via) -> None:
    book = LedgerBook()
    async with AsyncExitStack() as stack:
        async with serve(book, "127.0.0.1:0", via=via, grace=5) as server:
            client = await stack.enter_async_context(connect(server.address, via=via))
            call = asyncio.ensure_future(client.stub(Ledger).sleep.using(timeout=5)(0.05))
            await until(lambda: book.journal == ["start"])
        assert (await call).startswith("127.0.0.1")
        with pytest.raises(Unavailable) as caught:
            await client.using(timeout=0.3).stub(Ledger).nothing()
        assert caught.value.executed == "no"


async def test_closing_cancels_what_outlasts_the_grace(via: Via) -> None:
    book = LedgerBook()
    async with AsyncExitStack() as stack:
        async with serve(book, "127.0.0.1:0", via=via, grace=0.01) as server:
            client = await stack.enter_async_context(connect(server.address, via=via))
            call = asyncio.ensure_future(client.stub(Ledger).sleep.using(timeout=5)(5))
            await until(lambda: book.journal == ["start"])
        with pytest.raises(Cancelled, match="shuts down") as caught:
            await call
        assert caught.value.executed == "yes"
        assert book.journal == ["start", "cancelled"]


async def test_closing_the_client_ends_its_calls(
    via: Via, server: Server, book: LedgerBook
) -> None:
    async with connect(server.address, via=via) as client:
        call = asyncio.ensure_future(client.stub(Ledger).sleep.using(timeout=5)(5))
        await until(lambda: book.journal)
    with pytest.raises(Unavailable):
        await call
    with pytest.raises(Unavailable, match="the client is closed"):
        await client.call("ledger/nothing")


async def test_closing_the_client_ends_calls_that_wait_for_a_flow(
    network: MemoryNetwork,
) -> None:
    async with connect("127.0.0.1:1", via=network) as client:
        call = asyncio.ensure_future(client.call("ledger/nothing"))
        await asyncio.sleep(0.01)
    with pytest.raises(Unavailable, match="the client is closed") as caught:
        await call
    assert caught.value.executed == "no"


@pytest.mark.parametrize("timeout", [0, -1, -0.5, 1e-12])
async def test_no_time_left_is_said_before_anything_is_sent(
    client: Client, book: LedgerBook, timeout: float
) -> None:
    late = client.using(timeout=timeout)
    assert await client.call(Ledger.echo, b"connected") == b"connected"
    for call in (client.stub(Ledger).nothing.using(timeout=timeout), late.stub(Ledger).nothing):
        with pytest.raises(DeadlineExceeded) as caught:
            await call()
        assert caught.value.executed == "no"
    with pytest.raises(DeadlineExceeded):
        await late.call(Ledger.echo, b"late")
    assert book.journal == []


async def stubborn() -> AsyncIterator[int]:
    yield 0
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    while True:
        yield 1


stubborn_tap = Service("stubborn")


@stubborn_tap.rpc
async def count() -> AsyncIterator[int]:
    async for number in stubborn():
        yield number


@stubborn_tap.rpc
async def first(numbers: AsyncIterator[int]) -> int:
    return await anext(numbers)


async def test_who_swallows_a_cancel_is_ended_by_the_next_item(network: MemoryNetwork) -> None:
    async with (
        asyncio.timeout(60),
        serve(stubborn_tap, "127.0.0.1:0", via=network) as server,
        connect(server.address, via=network) as client,
    ):
        assert await client.call(first, stubborn()) == 0
        async with client.stream(count) as numbers:
            assert await anext(numbers) == 0
        await until(lambda: server.handlers_running == 0)


clumsy = Service("clumsy")


async def waiting_in_vain() -> AsyncIterator[int]:
    yield 0
    try:
        await asyncio.sleep(60)
    finally:
        raise ValueError("of a finally")


@clumsy.rpc
async def wait() -> int:
    return sum([number async for number in waiting_in_vain()])


@clumsy.rpc
async def give() -> AsyncIterator[int]:
    async for number in waiting_in_vain():
        yield number


@clumsy.rpc
async def take(numbers: AsyncIterator[int]) -> int:
    return sum([number + await anext(numbers) async for number in waiting_in_vain()])


@clumsy.rpc
async def beside(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
    async def read() -> None:
        async for number in numbers:
            assert number == 0

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        yield 0
        await asyncio.sleep(60)


async def test_that_its_call_has_ended_is_no_news(
    network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        asyncio.timeout(60),
        serve(clumsy, "127.0.0.1:0", via=network) as server,
        connect(server.address, via=network) as client,
    ):
        async with client.stream(beside, stubborn()) as numbers:
            assert await anext(numbers) == 0
        await until(lambda: server.handlers_running == 0)
    assert not caplog.records


async def numbers_given(client: Client) -> list[int]:
    return [number async for number in client.using(timeout=0.2).stream(give)]


@pytest.mark.parametrize("method", ["wait", "give", "take"])
async def test_what_a_handler_raises_when_it_is_cancelled_is_logged(
    network: MemoryNetwork, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    async with (
        asyncio.timeout(60),
        serve(clumsy, "127.0.0.1:0", via=network) as server,
        connect(server.address, via=network) as client,
    ):
        late = client.using(timeout=0.2)
        calls: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "wait": lambda: late.call(wait),
            "give": lambda: numbers_given(client),
            "take": lambda: late.call(take, stubborn()),
        }
        with pytest.raises(DeadlineExceeded):
            await calls[method]()
        await until(lambda: server.handlers_running == 0)
    said = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert said == [f"clumsy/{method} raised ValueError"]

"""Calls with streams: shapes, ends on either side, and what is left after them."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from machnet_rpc import (
    Cancelled,
    Client,
    DeadlineExceeded,
    Internal,
    MemoryNetwork,
    NotFound,
    RpcError,
    Sender,
    Server,
    Unavailable,
    connect,
    serve,
)
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.conftest import only_memory
from tests.machnet_rpc.leftovers import nothing_left
from tests.machnet_rpc.tap import Drop, Source, Tap, TapDesk
from tests.machnet_rpc.waiting import until


@pytest.fixture
def desk() -> TapDesk:
    return TapDesk()


@pytest.fixture
async def server(via: Via, desk: TapDesk) -> AsyncIterator[Server]:
    async with serve(desk, "127.0.0.1:0", via=via, grace=0.2) as server:
        yield server


@pytest.fixture
async def client(via: Via, server: Server) -> AsyncIterator[Client]:
    async with connect(server.address, via=via, timeout=5.0) as client:
        yield client
        await until(lambda: nothing_left(client, server))


# -- shapes --


async def test_a_server_streams_far_beyond_its_window(client: Client) -> None:
    numbers = [int.from_bytes(item[:4], "big") async for item in client.stub(Tap).run(1000, 10)]
    assert numbers == list(range(1000))


async def test_items_larger_than_the_window(client: Client) -> None:
    sizes = [len(item) async for item in client.stub(Tap).run(5, 3_000_000)]
    assert sizes == [3_000_004] * 5


async def test_an_empty_stream_is_a_stream(client: Client) -> None:
    assert [item async for item in client.stub(Tap).run(0)] == []
    assert await client.stub(Tap).total(Source(0).items()) == 0


async def test_a_client_streams_far_beyond_its_window(client: Client) -> None:
    source = Source(1000)
    assert await client.stub(Tap).total(source.items(), start=5) == 499_505
    assert await client.call(Tap.total, drops=Source(3).items()) == 3
    assert source.is_closed


async def test_both_directions_at_once(client: Client) -> None:
    drops = [drop async for drop in client.stream(Tap.echo, Source(300).items(), "y")]
    assert drops == [Drop(number, "y") for number in range(300)]


async def test_a_conversation_by_hand_and_its_half_close(client: Client) -> None:
    sender = Sender[Drop]()
    async with client.stub(Tap).echo.using(timeout=3)(sender, label="z") as drops:
        for number in range(5):
            await sender.send(Drop(number))
            assert await anext(drops) == Drop(number, "z")
        sender.close()
        assert [drop async for drop in drops] == []
    with pytest.raises(Cancelled, match="has ended"):
        await sender.send(Drop(9))


async def test_a_call_without_an_answer(client: Client, desk: TapDesk) -> None:
    for text in ("a", "b"):
        await client.stub(Tap).note(text)
    await until(lambda: sorted(desk.journal) == ["a", "b"])


async def test_a_call_without_an_answer_outlives_its_caller(
    via: Via, server: Server, desk: TapDesk
) -> None:
    async with connect(server.address, via=via) as client:
        await client.call(Tap.note, "later", seconds=0.05)
    await until(lambda: desk.journal == ["later"])
    await until(lambda: server.handlers_running == 0)


@only_memory
async def test_what_a_call_without_an_answer_raises_is_logged(
    client: Client, desk: TapDesk, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "machnet_rpc"):
        await client.stub(Tap).note("fail")
        await until(lambda: "tap/note raised ValueError" in caplog.text)
    await client.stub(Tap).note.using(timeout=0.05)("late", 9)
    await until(lambda: nothing_left(client))


# -- early exits of the caller --


async def leave_the_loop(client: Client) -> None:
    async for _ in client.stub(Tap).drip():
        break


async def leave_the_block(client: Client) -> None:
    async with client.stub(Tap).drip() as items:
        assert await anext(items) == 0


async def close_it(client: Client) -> None:
    items = client.stub(Tap).drip()
    assert await anext(items) == 0
    await items.aclose()
    await items.aclose()
    assert [item async for item in items] == []


async def forget_it(client: Client) -> None:
    items = client.stub(Tap).drip()
    assert await anext(items) == 0
    knot: list[object] = [items]
    knot.append(knot)
    del items, knot
    gc.collect()


async def raise_inside(client: Client) -> None:
    async def consume() -> None:
        async with client.stub(Tap).drip() as items:
            async for _ in items:
                raise LookupError

    with pytest.raises(LookupError):
        await consume()


async def cancel_the_reader(client: Client) -> None:
    async def consume() -> None:
        async for _ in client.stub(Tap).drip():
            reading.set()

    reading = asyncio.Event()
    task = asyncio.ensure_future(consume())
    await reading.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "leave",
    [leave_the_loop, leave_the_block, close_it, forget_it, raise_inside, cancel_the_reader],
)
async def test_leaving_early_ends_the_handler(
    client: Client, desk: TapDesk, leave: Callable[[Client], object]
) -> None:
    await leave(client)  # type: ignore[misc]
    await until(lambda: desk.journal == ["drip is cancelled", "drip is closed"])


async def test_leaving_a_producer_that_waits_for_credit_closes_it(
    client: Client, desk: TapDesk
) -> None:
    async for _ in client.stub(Tap).run(1_000_000):
        break
    await until(lambda: desk.journal == ["run is closed"])
    assert desk.produced < 200


async def test_cancelling_an_upload_cancels_its_handler_and_closes_its_source(
    client: Client, desk: TapDesk
) -> None:
    source = Source(3, waits=True)
    call = asyncio.ensure_future(client.stub(Tap).total(source.items()))
    await until(lambda: len(desk.journal) == 3)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: source.is_closed and desk.journal[-1] == "total is cancelled")


async def test_leaving_while_the_flow_opens_ends_the_call(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_flow, usable = asyncio.Event(), client._keeper.usable

    async def usable_later(deadline_ns: int, *, wait: bool) -> Connection:
        await open_flow.wait()
        return await usable(deadline_ns, wait=wait)

    monkeypatch.setattr(client._keeper, "usable", usable_later)
    connection = await usable(1 << 62, wait=True)
    connection.is_usable = False
    stream = client.stream(Tap.run, 1000, 10)
    reader = asyncio.create_task(anext(stream, None))
    await asyncio.sleep(0)
    await stream.aclose()
    connection.is_usable = True
    open_flow.set()
    assert await reader is None
    assert connection.outgoing == 0


async def test_a_source_that_raises_ends_the_call_with_that(client: Client, desk: TapDesk) -> None:
    async def broken() -> AsyncIterator[Drop]:
        yield Drop(1)
        raise LookupError("no more drops")

    with pytest.raises(LookupError, match="no more drops"):
        await client.stub(Tap).total(broken())
    with pytest.raises(LookupError, match="no more drops"):
        assert [drop async for drop in client.stub(Tap).echo(broken(), "y")]
    await until(lambda: "total is cancelled" in desk.journal or desk.journal == [])


async def test_a_source_may_raise_what_is_no_exception(client: Client) -> None:
    class Overruled(BaseException):
        pass

    async def overruled() -> AsyncIterator[Drop]:
        yield Drop(1)
        raise Overruled

    with pytest.raises(Overruled):
        await client.stub(Tap).total(overruled())


# -- early exits of the server --


async def test_a_server_that_takes_one_item_closes_the_source(client: Client) -> None:
    source = Source()
    assert await client.stub(Tap).first(source.items()) == Drop(0, "x")
    assert source.is_closed
    waiting = Source(1, waits=True)
    assert await client.stub(Tap).first(waiting.items()) == Drop(0, "x")
    assert waiting.is_closed
    assert source.given < 200


@pytest.mark.parametrize("after", [0, 3, 200])
@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("not found", NotFound),
        ("declared", KeyError),
        ("undeclared", RpcError),
        ("wrong item", Internal),
    ],
)
@only_memory
async def test_errors_come_after_the_items_before_them(
    client: Client, after: int, how: str, kind: type[Exception]
) -> None:
    taken: list[int] = []

    async def consume() -> None:
        async for item in client.stub(Tap).fail(after, how):
            taken.append(item)  # noqa: PERF401 (what came before the error counts)

    with pytest.raises(kind) as caught:
        await consume()
    assert taken == list(range(after))
    if isinstance(caught.value, RpcError):
        assert caught.value.executed == "yes"
        assert caught.value.method == "tap/fail"


# -- deadlines, shutdown, death --


async def test_a_deadline_covers_the_whole_stream(client: Client, desk: TapDesk) -> None:
    await client.stub(Tap).note("the flow is open")
    items = client.stub(Tap).drip.using(timeout=0.2)()
    assert await anext(items) == 0
    with pytest.raises(DeadlineExceeded) as caught:
        await anext(items)
    assert caught.value.executed == "yes"
    assert [item async for item in items] == []
    source = Source(1, waits=True)
    with pytest.raises(DeadlineExceeded):
        await client.stub(Tap).total.using(timeout=0.2)(source.items())
    assert source.is_closed
    await until(lambda: {"drip is closed", "total is cancelled"} <= set(desk.journal))


async def test_a_reader_may_give_up_waiting_and_go_on(client: Client) -> None:
    sender = Sender[Drop]()
    async with client.stub(Tap).echo(sender, "y") as drops:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(drops), 0.01)
        await sender.send(Drop(1))
        assert await anext(drops) == Drop(1, "y")


async def test_a_reader_that_gives_up_while_a_failure_is_looked_into_is_told_it_later(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_known = asyncio.Event()

    async def learn(*_: object) -> None:
        await is_known.wait()

    monkeypatch.setattr(client._explaining._last_words, "learn", learn)
    async with client.stub(Tap).fail(1, "not found") as items:
        assert await anext(items) == 0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(items), 0.01)
        is_known.set()
        with pytest.raises(NotFound, match="no more"):
            await anext(items)
        with pytest.raises(StopAsyncIteration):
            await anext(items)


async def test_a_reader_that_is_cancelled_outside_of_a_block_ends_the_call(
    client: Client, server: Server
) -> None:
    items = client.stub(Tap).drip()
    assert await anext(items) == 0
    reading = asyncio.ensure_future(drained(items))
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading  # and the task is held, with its frames
    await until(lambda: server.handlers_running == 0)
    with pytest.raises(Cancelled, match="enter the stream by `async with`"):
        await anext(items)
    await items.aclose()


async def drained(items: AsyncIterator[int]) -> None:
    async for _ in items:
        pass


async def test_a_closing_server_lets_streams_end_and_cancels_those_that_do_not(
    via: Via, desk: TapDesk
) -> None:
    async with serve(desk, "127.0.0.1:0", via=via, grace=0.05) as server:
        client = connect(server.address, via=via, timeout=5.0)
        await client.open()
        items = client.stub(Tap).drip()
        assert await anext(items) == 0
    with pytest.raises(Cancelled, match="shuts down"):
        await anext(items)
    await client.close()
    assert desk.journal == ["drip is cancelled", "drip is closed"]


async def test_a_closing_client_ends_its_streams(via: Via, server: Server, desk: TapDesk) -> None:
    source = Source(1, waits=True)
    async with connect(server.address, via=via) as client:
        items = client.stub(Tap).echo(source.items(), "y")
        assert await anext(items) == Drop(0, "y")
    with pytest.raises(Unavailable):
        await anext(items)
    assert source.is_closed
    await until(lambda: server.handlers_running == 0)


@only_memory
async def test_a_dead_engine_ends_streams_after_what_arrived(
    network: MemoryNetwork, server: Server, desk: TapDesk
) -> None:
    async with connect(server.address, via=network) as client:
        items = client.stub(Tap).drip(3)
        assert await anext(items) == 0
        await asyncio.sleep(0.01)
        pump = client._keeper.pump
        assert pump is not None
        pump.link.die()  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)
        assert [await anext(items), await anext(items)] == [1, 2]
        with pytest.raises(Unavailable) as caught:
            await anext(items)
        assert caught.value.executed == "yes"
        await until(lambda: desk.journal == ["drip is cancelled", "drip is closed"])

"""Calls with streams: shapes, ends on either side, and what is left after them."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable

import pytest

from machnet_rpc import (
    Cancelled,
    Client,
    ContractError,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    Limits,
    MemoryNetwork,
    NotFound,
    ResourceExhausted,
    RpcError,
    Sender,
    Server,
    Unavailable,
    Unimplemented,
    connect,
    rpc,
    serve,
    service,
)
from machnet_rpc._transports.ladder import Via
from machnet_rpc.testing import local
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


async def test_a_source_that_raises_ends_the_call_with_that(client: Client, desk: TapDesk) -> None:
    async def broken() -> AsyncIterator[Drop]:
        yield Drop(1)
        raise LookupError("no more drops")

    with pytest.raises(LookupError, match="no more drops"):
        await client.stub(Tap).total(broken())
    with pytest.raises(LookupError, match="no more drops"):
        assert [drop async for drop in client.stub(Tap).echo(broken(), "y")]
    await until(lambda: "total is cancelled" in desk.journal or desk.journal == [])


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
    assert caught.value.executed == "maybe"
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
        assert caught.value.executed == "maybe"
        await until(lambda: desk.journal == ["drip is cancelled", "drip is closed"])


# -- what is wrong is said --


@only_memory
async def test_wrong_arguments_and_items(client: Client, desk: TapDesk) -> None:
    tap = client.stub(Tap)
    with pytest.raises(InvalidArgument, match="count: must be int"):
        tap.run("many")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'drops' is missing"):
        await tap.total()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="given twice"):
        tap.echo(Source(1).items(), drops=Source(1).items(), label="")  # type: ignore[misc]
    with pytest.raises(TypeError, match="must be an async iterable, not list"):
        await tap.total([Drop(1)])  # type: ignore[arg-type]

    async def wrong() -> AsyncIterator[Drop]:
        yield Drop(1)
        yield "drop"  # type: ignore[misc]

    with pytest.raises(InvalidArgument, match="an item to send: must be Drop") as caught:
        await tap.total(wrong())
    assert caught.value.method == "tap/total"
    with pytest.raises(ContractError, match="tap/drip is server_stream"):
        await client.call_many(Tap.drip, [1])  # type: ignore[arg-type]


@only_memory
async def test_items_that_the_server_does_not_understand(client: Client) -> None:
    @service("tap")
    class OtherTap:
        @rpc
        async def total(self, drops: AsyncIterable[int]) -> int:
            raise NotImplementedError

    async def numbers() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(InvalidArgument, match=r"drops\[0\]: "):
        await client.stub(OtherTap).total(numbers())


@only_memory
async def test_two_kinds_of_one_method_do_not_meet(client: Client) -> None:
    @service("tap")
    class OtherTap:
        @rpc
        async def drip(self, first: int = 1) -> int:
            raise NotImplementedError

        @rpc
        def note(self, text: str) -> AsyncIterator[str]:
            raise NotImplementedError

    with pytest.raises(Unimplemented, match="drip is server_stream here, not unary"):
        await client.stub(OtherTap).drip()
    with pytest.raises(Unimplemented, match="note is oneway here, not server_stream") as caught:
        await anext(client.stub(OtherTap).note("x"))
    assert caught.value.executed == "no"


@only_memory
async def test_two_readers_of_one_stream_are_told(client: Client) -> None:
    items = client.stub(Tap).drip(0)
    first = asyncio.ensure_future(anext(items))
    await asyncio.sleep(0.01)
    with pytest.raises(RuntimeError, match="another task"):
        await anext(items)
    first.cancel()
    await items.aclose()


async def test_limits_hold_for_items(network: MemoryNetwork, desk: TapDesk) -> None:
    limits = Limits(request_bytes=100, reply_bytes=1000, stream_items=4)
    async with local(desk, limits=limits) as client:
        tap = client.stub(Tap)
        with pytest.raises(ResourceExhausted, match="the item is 1004 bytes, and at most 1000"):
            await anext(tap.run(1, 1000))

        async def long() -> AsyncIterator[Drop]:
            yield Drop(1, "x" * 100)

        with pytest.raises(ResourceExhausted, match=r"drops\[0\] is 1\d\d bytes"):
            await tap.total(long())
        assert await tap.total(Source(100).items()) == 4950


class NoGenerator(TapDesk):
    async def drip(self, first: int = 1) -> AsyncIterator[int]:  # type: ignore[override]
        raise NotImplementedError


class OtherItems(TapDesk):
    @rpc
    async def run(self, count: int, size: int = 0) -> AsyncIterator[str]:  # type: ignore[override]
        yield ""


class OtherRequests(TapDesk):
    @rpc
    async def first(self, drops: AsyncIterable[int]) -> Drop | None:  # type: ignore[override]
        return None


class NoStream(TapDesk):
    @rpc
    async def first(self, drops: list[Drop]) -> Drop | None:  # type: ignore[override]
        return None


class Yields(TapDesk):
    @rpc
    async def total(  # type: ignore[override]
        self, drops: AsyncIterable[Drop], start: int = 0
    ) -> AsyncIterator[int]:
        yield 1


class TwoStreams:
    async def both(self, one: AsyncIterable[int], other: AsyncIterable[int]) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("implementation", "words"),
    [
        (NoGenerator(), "tap/drip answers with a stream, so it must be a `def`"),
        (OtherItems(), "tap/run is a stream of str, not of bytes"),
        (OtherRequests(), "tap/first: drops is a stream of int, not of Drop"),
        (NoStream(), r"tap/first: drops is list\[.*Drop\], not a stream of Drop"),
        (Yields(), "tap/total yields"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_implementations_are_checked_against_their_contract(
    implementation: object, words: str
) -> None:
    with pytest.raises(ContractError, match=words):
        Server(implementation)


def test_contracts_with_streams_are_checked() -> None:
    @service("odd")
    class Odd:
        @rpc(oneway=True)
        async def answer(self) -> int:
            raise NotImplementedError

    class OddDesk(Odd):
        pass

    with pytest.raises(ContractError, match="odd/answer is oneway, so it must return None"):
        Server(OddDesk())
    service("two")(TwoStreams).both = rpc(TwoStreams.both)  # type: ignore[method-assign,assignment]
    with pytest.raises(ContractError, match="at most one stream"):
        Server(type("Desk", (TwoStreams,), {})())


# -- senders --


async def test_a_sender_holds_no_more_than_its_room() -> None:
    sender = Sender[int](room=2)
    await sender.send(1)
    await sender.send(2)
    third = asyncio.ensure_future(sender.send(3))
    await asyncio.sleep(0)
    assert not third.done()
    assert repr(sender) == "<Sender open waiting=2>"
    assert [await anext(sender), await anext(sender)] == [1, 2]
    await third
    sender.close()
    with pytest.raises(RuntimeError, match="closed"):
        await sender.send(4)
    assert [item async for item in sender] == [3]
    with pytest.raises(ValueError, match="at least 1"):
        Sender(room=0)


async def test_a_sender_that_is_left_frees_whoever_sends() -> None:
    sender = Sender[int](room=1)
    await sender.send(1)
    blocked = asyncio.ensure_future(sender.send(2))
    cancelled = asyncio.ensure_future(sender.send(3))
    await asyncio.sleep(0)
    cancelled.cancel()
    await sender.aclose()
    with pytest.raises(Cancelled):
        await blocked
    assert repr(sender) == "<Sender left waiting=0>"

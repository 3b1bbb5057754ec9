"""What is wrong about streams is said: arguments, items, contracts, implementations, limits."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator

import pytest

from machnet_rpc import (
    Cancelled,
    Client,
    ContractError,
    InvalidArgument,
    Limits,
    ResourceExhausted,
    Sender,
    Server,
    Unimplemented,
    rpc,
    service,
)
from machnet_rpc.testing import test_client
from tests.machnet_rpc.tap import Drop, Source, Tap, TapDesk


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with test_client(TapDesk()) as client:
        yield client


async def test_wrong_arguments_and_items(client: Client) -> None:
    tap = client.stub(Tap)
    with pytest.raises(InvalidArgument, match="count: must be int"):
        tap.run("many")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tap/total: the stream 'drops' is missing"):
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


async def test_two_readers_of_one_stream_are_told(client: Client) -> None:
    items = client.stub(Tap).drip(0)
    first = asyncio.ensure_future(anext(items))
    await asyncio.sleep(0.01)
    with pytest.raises(RuntimeError, match="another task"):
        await anext(items)
    first.cancel()
    await items.aclose()


async def test_limits_hold_for_items() -> None:
    with pytest.raises(ValueError, match="from 1"):
        Limits(stream_items=0)
    limits = Limits(request_bytes=100, reply_bytes=1000, stream_items=4)
    async with test_client(TapDesk(), limits=limits) as client:
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


async def test_a_full_sender_that_is_closed_says_so_at_once() -> None:
    sender = Sender[int](room=1)
    await sender.send(1)
    blocked = asyncio.ensure_future(sender.send(2))
    await asyncio.sleep(0)
    sender.close()
    async with asyncio.timeout(60):
        with pytest.raises(RuntimeError, match="closed"):
            await blocked
        with pytest.raises(RuntimeError, match="closed"):
            await sender.send(3)
    assert [item async for item in sender] == [1]


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

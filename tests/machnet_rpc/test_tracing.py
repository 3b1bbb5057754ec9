"""That a trace follows calls on, to the calls that their handlers make."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest

from machnet_rpc import Client, InvalidArgument, connect, current_call, rpc, serve, service
from machnet_rpc._metadata import METADATA_BYTES_MAX
from machnet_rpc._options import Metadata
from machnet_rpc._transports.ladder import Via
from machnet_rpc.tracing import TraceContext, current_trace, propagate, within
from tests.machnet_rpc.waiting import until

TRACE, SPAN = "12345678901234567890123456789012", "1234567890123456"
ROOT = TraceContext(TRACE, SPAN, 1, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")


@service("front")
class Front:
    @rpc
    async def ask(self, how: str) -> None:
        raise NotImplementedError

    @rpc
    def watch(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        raise NotImplementedError


@service("back")
class Back:
    @rpc
    async def unary(self) -> int:
        raise NotImplementedError

    @rpc(idempotent="keyed")
    async def keyed(self) -> int:
        raise NotImplementedError

    @rpc
    def items(self) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc
    async def total(self, numbers: AsyncIterator[int]) -> int:
        raise NotImplementedError

    @rpc
    def both(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc(oneway=True)
    async def note(self) -> None:
        raise NotImplementedError


class BackDesk(Back):
    """Notes the trace of each call, and its metadata."""

    def __init__(self) -> None:
        self.seen: list[TraceContext | None] = []
        self.metadata: list[Metadata] = []

    def _note(self) -> int:
        assert current_call().trace == current_trace()
        self.seen.append(current_call().trace)
        self.metadata.append(current_call().metadata)
        return 1

    @rpc
    async def unary(self) -> int:
        return self._note()

    @rpc(idempotent="keyed")
    async def keyed(self) -> int:
        return self._note()

    @rpc
    async def items(self) -> AsyncIterator[int]:
        yield self._note()

    @rpc
    async def total(self, numbers: AsyncIterator[int]) -> int:
        return self._note() + sum([number async for number in numbers])

    @rpc
    async def both(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        self._note()
        async for number in numbers:
            yield number

    @rpc(oneway=True)
    async def note(self) -> None:
        self._note()


async def one() -> AsyncIterator[int]:
    yield 1


class FrontDesk(Front):
    """Asks the service behind it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.back = client.stub(Back)

    @rpc
    async def ask(self, how: str) -> None:
        back = self.back
        match how:
            case "unary":
                await back.unary()
            case "keyed":
                await back.keyed()
            case "items":
                assert [item async for item in back.items()] == [1]
            case "total":
                await back.total(one())
            case "both":
                assert [item async for item in back.both(one())] == [1]
            case "note":
                await back.note()
            case "by name":
                await self.client.call("back/unary")
            case "task":
                await asyncio.create_task(self._in_a_task())
            case "own":
                await back.unary.using(metadata={"traceparent": "mine"})()
            case "none":
                with within(None):
                    await back.unary()
            case _:
                await back.unary.using(metadata={"blob": bytes(int(how))})()

    async def _in_a_task(self) -> None:
        await self.back.unary()

    @rpc
    async def watch(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield number + await self.back.unary()


@asynccontextmanager
async def chain(via: Via, *, is_behind: bool = True) -> AsyncGenerator[tuple[Client, BackDesk]]:
    """A client of the front, which is a client of the back."""
    desk, behind = BackDesk(), [propagate] if is_behind else []
    async with (
        serve(desk, "127.0.0.1:0", via=via) as back,
        connect(back.address, via=via, middleware=behind) as asked,
        serve(FrontDesk(asked), "127.0.0.1:0", via=via, middleware=[propagate]) as front,
        connect(front.address, via=via, middleware=[propagate]) as client,
    ):
        yield client, desk


async def test_a_trace_follows_calls_of_every_kind(via: Via) -> None:
    hows = ["unary", "keyed", "items", "total", "both", "note", "by name", "task"]
    async with chain(via) as (client, desk):
        front = client.stub(Front)
        with within(ROOT):
            for how in hows:
                await front.ask(how)
            assert [item async for item in front.watch(one())] == [2]
        await until(lambda: len(desk.seen) == len(hows) + 1)
        assert desk.seen == [ROOT] * (len(hows) + 1)


async def test_without_a_trace_nothing_is_sent(via: Via) -> None:
    async with chain(via) as (client, desk):
        await client.stub(Front).ask("unary")
        for header in ("", "00-no-trace-01", f"ff-{TRACE}-{SPAN}-01"):
            asking = client.using(metadata={"traceparent": header, "tracestate": "foo=1"})
            await asking.stub(Front).ask("unary")
        with within(ROOT), within(None):
            await client.stub(Front).ask("unary")
        assert desk.seen == [None] * 5
        assert current_trace() is None


async def test_only_who_propagates_sends_it_on(network: Via) -> None:
    async with chain(network, is_behind=False) as (client, desk):
        with within(ROOT):
            await client.stub(Front).ask("unary")
        assert desk.seen == [None]


async def test_a_handler_may_leave_the_trace_or_say_another(network: Via) -> None:
    async with chain(network) as (client, desk):
        with within(ROOT):
            for how in ("none", "own", "unary"):
                await client.stub(Front).ask(how)
    assert desk.metadata == [{}, {"traceparent": "mine"}, ROOT.as_metadata()]


async def test_a_trace_fails_no_call(network: Via) -> None:
    async with chain(network) as (client, desk):
        with within(ROOT):
            await client.stub(Front).ask(str(METADATA_BYTES_MAX - 100))
            await client.stub(Front).ask(str(METADATA_BYTES_MAX - 2000))
            with pytest.raises(InvalidArgument):
                await client.stub(Front).ask(str(METADATA_BYTES_MAX))
        assert desk.seen == [None, ROOT]


async def test_a_server_does_not_belong_to_the_trace_that_it_was_started_in(network: Via) -> None:
    with within(ROOT):
        async with chain(network) as (client, desk):
            await client.stub(Front).ask("unary")
            with within(None):
                await client.stub(Front).ask("unary")
            assert desk.seen == [ROOT, None]

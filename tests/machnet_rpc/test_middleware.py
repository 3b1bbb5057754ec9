"""Middleware: one shape for both sides and all kinds of calls, and what it may do wrong."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from machnet_rpc import (
    Client,
    Code,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    RpcError,
    Server,
    Unauthenticated,
    connect,
    current_call,
    rpc,
    serve,
    service,
)
from machnet_rpc._transports.ladder import Via
from machnet_rpc.middleware import CallInfo, Middleware, Next, Request
from tests.machnet_rpc.leftovers import nothing_left
from tests.machnet_rpc.waiting import until

TOKEN = "token"


@service("shapes")
class Shapes:
    @rpc
    async def double(self, number: int) -> int:
        raise NotImplementedError

    @rpc(idempotent="keyed")
    async def book(self, number: int) -> int:
        raise NotImplementedError

    @rpc
    def count(self, until: int) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc
    async def total(self, numbers: AsyncIterator[int], start: int) -> int:
        raise NotImplementedError

    @rpc
    def doubled(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc(oneway=True)
    async def note(self, number: int) -> None:
        raise NotImplementedError


class Desk(Shapes):
    def __init__(self) -> None:
        self.noted: list[int] = []
        self.left = 0

    @rpc
    async def double(self, number: int) -> int:
        current_call().reply_metadata["handler"] = "double"
        return 2 * number

    @rpc(idempotent="keyed")
    async def book(self, number: int) -> int:
        return 2 * number

    @rpc
    async def count(self, until: int) -> AsyncIterator[int]:
        try:
            for number in range(until):
                yield number
        finally:
            self.left += 1

    @rpc
    async def total(self, numbers: AsyncIterator[int], start: int) -> int:
        return start + sum([number async for number in numbers])

    @rpc
    async def doubled(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield 2 * number

    @rpc(oneway=True)
    async def note(self, number: int) -> None:
        self.noted.append(number)


class Log:
    """What passed a middleware, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def named(self, name: str) -> Middleware:
        async def logged(call: CallInfo, request: Request, following: Next) -> Any:
            method = call.method.partition("/")[2]
            self.lines.append(f"{name} {call.side} {method} {call.kind} {sorted(request)}")
            try:
                return await following(request)
            finally:
                self.lines.append(f"{name} out")

        return logged


@asynccontextmanager
async def both(
    via: Via, desk: Desk, at_client: Sequence[Middleware] = (), at_server: Sequence[Middleware] = ()
) -> AsyncGenerator[tuple[Client, Server]]:
    async with (
        serve(desk, "127.0.0.1:0", via=via, middleware=at_server) as server,
        connect(server.address, via=via, timeout=5.0, middleware=at_client) as client,
    ):
        yield client, server
        await until(lambda: nothing_left(client, server))


async def numbers(*given: int) -> AsyncIterator[int]:
    for number in given:
        yield number


async def test_all_kinds_pass_both_sides(via: Via) -> None:
    desk, log = Desk(), Log()
    async with both(via, desk, [log.named("a")], [log.named("b")]) as (client, _):
        stub = client.stub(Shapes)
        assert await stub.double(4) == 8
        assert await stub.book(number=5) == 10
        assert [item async for item in stub.count(3)] == [0, 1, 2]
        assert await stub.total(numbers(1, 2), 10) == 13
        assert [item async for item in stub.doubled(numbers(1, 2))] == [2, 4]
        await stub.note(7)
        await until(lambda: desk.noted == [7])
        assert await client.call("shapes/double", 4) == 8
        assert await client.call(Shapes.double, 4) == 8
    sides = [line for line in log.lines if not line.endswith("out")]
    kinds = [
        "double unary ['number']",
        "book unary ['number']",
        "count server_stream ['until']",
        "total client_stream ['numbers', 'start']",
        "doubled bidirectional ['numbers']",
        "note oneway ['number']",
    ]
    assert sides[:12] == [f"{side} {kind}" for kind in kinds for side in ("a client", "b server")]
    assert sides[12:] == [
        "a client double unary ['request']",
        "b server double unary ['number']",
        "a client double unary ['number']",
        "b server double unary ['number']",
    ]


async def test_the_first_is_the_outermost(via: Via) -> None:
    log = Log()
    two = [log.named("outer"), log.named("inner")]
    async with both(via, Desk(), two, two) as (client, _):
        await client.stub(Shapes).double(1)
    assert [line.partition(" ")[0] for line in log.lines] == ["outer", "inner"] * 2 + [
        "inner",
        "outer",
    ] * 2


async def test_both_sides_know_the_server_and_who_called_by_name(via: Via) -> None:
    told: list[tuple[str, str, bool]] = []

    async def noting(call: CallInfo, request: Request, following: Next) -> Any:
        told.append((call.side, call.server, call.is_by_name))
        return await following(request)

    async with both(via, Desk(), [noting], [noting]) as (client, server):
        await client.stub(Shapes).double(1)
        await client.call("shapes/double", 1)
        assert told == [
            ("client", server.address, False),
            ("server", server.address, False),
            ("client", server.address, True),
            ("server", server.address, False),
        ]


async def adding(call: CallInfo, request: Request, following: Next) -> Any:
    """Changes arguments and results, of items as well."""
    given = await following({**request, "number": request["number"] + 1})
    return given + 100


async def test_requests_and_results_may_be_changed(via: Via) -> None:
    async with both(via, Desk(), [adding]) as (client, _):
        assert await client.stub(Shapes).double(1) == 104
        assert await client.call_many(Shapes.double, range(3)) == [102, 104, 106]
    async with both(via, Desk(), (), [adding]) as (client, _):
        assert await client.stub(Shapes).double(1) == 104


async def test_items_may_be_changed_and_left(via: Via) -> None:
    async def negative(call: CallInfo, request: Request, following: Next) -> Any:
        items = await following(request)

        async def changed() -> AsyncIterator[int]:
            async for item in items:
                yield -item

        return changed()

    desk = Desk()
    async with both(via, desk, [negative], [negative]) as (client, _):
        async with client.stub(Shapes).count(1_000_000) as items:
            assert [await anext(items) for _ in range(3)] == [0, 1, 2]
        await until(lambda: desk.left == 1)
        assert [item async for item in client.stub(Shapes).count(2)] == [0, 1]


async def test_a_token_is_asked_for(via: Via) -> None:
    async def trusting(call: CallInfo, request: Request, following: Next) -> Any:
        if call.metadata.get("authorization") != TOKEN:
            raise Unauthenticated("who are you?")
        return await following(request)

    async def presenting(call: CallInfo, request: Request, following: Next) -> Any:
        call.metadata["authorization"] = TOKEN
        return await following(request)

    async with both(via, Desk(), (), [trusting]) as (client, server):
        for each in (client, client.using(metadata={"authorization": "guess"})):
            with pytest.raises(Unauthenticated):
                await each.stub(Shapes).double(1)
            with pytest.raises(Unauthenticated):
                await anext(each.stub(Shapes).count(1))
            with pytest.raises(Unauthenticated):
                await each.call("shapes/double", 1)
        known = client.using(metadata={"authorization": TOKEN})
        assert await known.stub(Shapes).double(1) == 2
        assert await known.call("shapes/double", 1) == 2
        assert await client.stub(Shapes).double.using(metadata={"authorization": TOKEN})(1) == 2
        async with connect(server.address, via=via, middleware=[presenting]) as careful:
            assert await careful.stub(Shapes).double(1) == 2
            assert await careful.stub(Shapes).total(numbers(1), 1) == 2
            assert await careful.call("shapes/double", 1) == 2


async def test_metadata_come_back(via: Via) -> None:
    seen: list[dict[str, str | bytes]] = []

    async def looking(call: CallInfo, request: Request, following: Next) -> Any:
        try:
            return await following(request)
        finally:
            seen.append(dict(call.reply_metadata))

    async def stamping(call: CallInfo, request: Request, following: Next) -> Any:
        call.reply_metadata["stamp"] = b"\x01"
        return await following(request)

    async with both(via, Desk(), [looking], [stamping]) as (client, _):
        back: dict[str, str | bytes] = {}
        await client.stub(Shapes).double.using(reply_metadata=back)(1)
        assert back == seen.pop() == {"handler": "double", "stamp": b"\x01"}
        with pytest.raises(InvalidArgument):
            await client.call("shapes/double", "no number")


async def test_what_cannot_be_sent_is_told(via: Via) -> None:
    async def bad(call: CallInfo, request: Request, following: Next) -> Any:
        call.reply_metadata["number"] = 5  # type: ignore[assignment]
        return await following(request)

    async with both(via, Desk(), (), [bad]) as (client, _):
        stub = client.stub(Shapes)
        with pytest.raises(InvalidArgument, match="reserved"):
            stub.double.using(metadata={"mrpc-key": "1"})
        with pytest.raises(InvalidArgument, match="text or bytes"):
            client.using(metadata={"number": 5})  # type: ignore[dict-item]
        with pytest.raises(InvalidArgument, match="at most") as caught:
            await stub.double.using(metadata={"long": bytes(100_000)})(1)
        assert caught.value.executed == "no"
        with pytest.raises(Internal, match="metadata cannot be sent") as told:
            await stub.double(1)
        assert told.value.message.endswith("not 'number': 5")  # not "executed: no" of its own
        assert told.value.executed == "yes"


async def test_mistakes_of_middleware(via: Via) -> None:
    async def silent(call: CallInfo, request: Request, following: Next) -> Any:
        return None

    async def twice(call: CallInfo, request: Request, following: Next) -> Any:
        await following(request)
        return await following(request)

    async with both(via, Desk(), [silent]) as (client, _):
        with pytest.raises(Internal, match=r"silent gave NoneType, and no items"):
            await anext(client.stub(Shapes).count(1))
        with pytest.raises(InvalidArgument, match="twice"):
            await client.stub(Shapes).double(1, number=1)  # type: ignore[misc]
    async with both(via, Desk(), (), [silent]) as (client, _):
        with pytest.raises(Internal, match="the handler's result is wrong"):
            await client.stub(Shapes).double(1)
        with pytest.raises(RpcError, match="no items"):
            await anext(client.stub(Shapes).count(1))
    async with both(via, Desk(), (), [twice]) as (client, _):
        with pytest.raises(RpcError, match="called `next` twice") as caught:
            await client.stub(Shapes).double(1)
        assert caught.value.code is Code.UNKNOWN


async def test_what_repeats_a_key_is_answered_without(via: Via) -> None:
    log = Log()
    async with both(via, Desk(), (), [log.named("a")]) as (client, _):
        book = client.stub(Shapes).book.using(key="one")
        assert [await book(1), await book(1)] == [2, 2]
    assert log.lines == ["a server book unary ['number']", "a out"]


async def test_what_hangs_ends_at_the_deadline(via: Via) -> None:
    async def hanging(call: CallInfo, request: Request, following: Next) -> Any:
        await asyncio.sleep(60)

    async with both(via, Desk(), [hanging]) as (client, _):
        with pytest.raises(DeadlineExceeded, match="within its middleware"):
            await client.stub(Shapes).double.using(timeout=0.05)(1)
        with pytest.raises(DeadlineExceeded, match="within its middleware"):
            await anext(client.stub(Shapes).count.using(timeout=0.05)(1))
    async with both(via, Desk(), (), [hanging]) as (client, _):
        await client._keeper.usable(time.monotonic_ns() + 5_000_000_000, wait=True)
        with pytest.raises(DeadlineExceeded):
            await client.stub(Shapes).double.using(timeout=0.05)(1)


async def test_cancelling_passes_through(via: Via) -> None:
    cancelled: list[str] = []

    async def waiting(call: CallInfo, request: Request, following: Next) -> Any:
        try:
            await following(request)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(call.side)
            raise

    async with both(via, Desk(), (), [waiting]) as (client, server):
        call = asyncio.ensure_future(client.stub(Shapes).double(1))
        await until(lambda: server.handlers_running)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: cancelled == ["server"])

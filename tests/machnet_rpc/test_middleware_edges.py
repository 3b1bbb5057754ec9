"""Middleware at the edges of its freedom: time, what it gives, and when it looks."""

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from machnet_rpc import Client, Code, DeadlineExceeded, InvalidArgument, RpcError, Server, rpc
from machnet_rpc._transports.ladder import Via
from machnet_rpc.middleware import CallInfo, Middleware, Next, Request
from machnet_rpc.testing import VirtualClock, test_client
from tests.machnet_rpc.test_middleware import Desk, Shapes, both
from tests.machnet_rpc.waiting import until


@asynccontextmanager
async def known(
    via: Via, desk: Desk, at_client: Sequence[Middleware] = (), at_server: Sequence[Middleware] = ()
) -> AsyncGenerator[tuple[Client, Server]]:
    """Both sides, and a flow between them: what calls need that do not wait."""
    async with both(via, desk, at_client, at_server) as (client, server):
        await client._keeper.usable(time.monotonic_ns() + 5_000_000_000, wait=True)
        yield client, server


class Slow(Desk):
    @rpc
    async def double(self, number: int) -> int:
        await asyncio.sleep(60)
        return number


async def test_what_hangs_after_the_call_ends_at_the_deadline(via: Via) -> None:
    async def hanging(call: CallInfo, request: Request, following: Next) -> Any:
        assert await following(request) == 2
        await asyncio.sleep(60)

    async with known(via, Desk(), [hanging]) as (client, _):
        with pytest.raises(DeadlineExceeded, match="within its middleware"):
            await client.stub(Shapes).double.using(timeout=0.05)(1)
        with pytest.raises(DeadlineExceeded, match="within its middleware"):
            await client.using(timeout=0.05).call("shapes/double", 1)


async def test_a_call_that_ends_late_says_itself_how_far_it_came(via: Via) -> None:
    async def pausing(call: CallInfo, request: Request, following: Next) -> Any:
        await asyncio.sleep(0.001)
        return await following(request)

    async with known(via, Slow(), [pausing]) as (client, _):
        late = client.using(timeout=0.1)
        calls = [late.stub(Shapes).double(1), late.call("shapes/double", 1)]
        for end in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(end, DeadlineExceeded)
            assert (end.executed, end.stage) == ("yes", "handler started")


def test_a_call_that_ended_leaves_no_clock_behind() -> None:
    async def pausing(call: CallInfo, request: Request, following: Next) -> Any:
        await asyncio.sleep(0.001)
        return await following(request)

    async def main() -> None:
        told: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with VirtualClock(), test_client(Desk(), client_middleware=[pausing]) as client:
            assert await client.stub(Shapes).double.using(timeout=1.0)(1) == 2
            await asyncio.sleep(2.0)
        assert not told

    asyncio.run(main())


async def test_less_time_may_be_given(via: Via) -> None:
    async def hasty(call: CallInfo, request: Request, following: Next) -> Any:
        call.deadline_ns -= 4_950_000_000
        return await following(request)

    async with known(via, Slow(), [hasty]) as (client, _):
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(client.stub(Shapes).double(1), 2.0)


async def test_what_is_no_coroutine_may_be_given(via: Via) -> None:
    def early(call: CallInfo, request: Request, following: Next) -> asyncio.Future[int]:
        return asyncio.ensure_future(later())

    async def later() -> int:
        await asyncio.sleep(0)
        return 5

    for at_client, at_server in (([early], []), ([], [early])):
        async with known(via, Desk(), at_client, at_server) as (client, _):
            assert await client.stub(Shapes).double(1) == 5


async def test_what_a_server_is_told_is_there_whenever_it_looks(via: Via) -> None:
    seen: list[CallInfo] = []

    async def late(call: CallInfo, request: Request, following: Next) -> Any:
        given = await following(request)
        assert call.reply_metadata == {"handler": "double"}
        seen.append(replace(call))
        return given

    async with known(via, Desk(), (), [late]) as (client, server):
        named = client.using(metadata={"user": "ann"})
        assert await named.stub(Shapes).double(1) == 2
        call = seen.pop()
        assert (call.metadata, call.server) == ({"user": "ann"}, server.address)
        assert "handler" in repr(call)
        assert not hasattr(call, "nothing")


async def test_what_goes_with_a_call_and_comes_back_with_its_reply(via: Via) -> None:
    async def presenting(call: CallInfo, request: Request, following: Next) -> Any:
        call.metadata["user"] = "ann"
        given = await following(request)
        assert call.reply_metadata == {"handler": "double", "user": "ann"}
        return given

    async def echoing(call: CallInfo, request: Request, following: Next) -> Any:
        call.reply_metadata["user"] = call.metadata["user"]
        return await following(request)

    async with known(via, Desk(), [presenting], [echoing]) as (client, _):
        back: dict[str, str | bytes] = {}
        double = client.stub(Shapes).double
        assert await double.using(reply_metadata=back, priority=0)(1) == 2
        assert back == {"handler": "double", "user": "ann"}
        with pytest.raises(InvalidArgument, match="at most") as caught:
            await double.using(metadata={"long": bytes(100_000)})(1)
        assert caught.value.executed == "no"


@pytest.mark.parametrize("wrong", [None, 5, [1]])
async def test_metadata_of_a_reply_that_have_no_place_harm_nobody(via: Via, wrong: Any) -> None:
    async def adding(call: CallInfo, request: Request, following: Next) -> Any:
        call.reply_metadata["served"] = "yes"
        return await following(request)

    async def losing(call: CallInfo, request: Request, following: Next) -> Any:
        call.reply_metadata = wrong
        return await following(request)

    async with known(via, Desk(), [losing], [adding]) as (client, _):
        connection = client._keeper.connection
        assert await client.stub(Shapes).double(1) == 2
        assert await client.call("shapes/double", 1) == 2
        assert [each async for each in client.stub(Shapes).count(2)] == [0, 1]
        assert client._keeper.connection is connection


async def test_how_a_call_fails_is_what_middleware_sees(via: Via) -> None:
    class Broken(Desk):
        @rpc
        async def double(self, number: int) -> int:
            raise ValueError(f"{number} is no number")

    seen: list[BaseException] = []

    async def looking(call: CallInfo, request: Request, following: Next) -> Any:
        try:
            return await following(request)
        except RpcError as error:
            seen.append(error)
            raise

    async with known(via, Broken(), [looking], []) as (client, _):
        with pytest.raises(RpcError, match="1 is no number") as caught:
            await client.stub(Shapes).double(1)
        assert seen == [caught.value]
        assert (caught.value.code, caught.value.executed) == (Code.UNKNOWN, "yes")


async def test_a_call_that_is_cancelled_is_cancelled_at_the_server(via: Via) -> None:
    ends: list[str] = []

    class Slow(Desk):
        @rpc
        async def double(self, number: int) -> int:
            ends.append("begun")
            try:
                await asyncio.sleep(60)
            finally:
                ends.append("ended")
            return number

    async def passing(call: CallInfo, request: Request, following: Next) -> Any:
        return await following(request)

    async with known(via, Slow(), [passing], [passing]) as (client, _):
        call = asyncio.ensure_future(client.stub(Shapes).double(1))
        await until(lambda: ends == ["begun"])
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: ends == ["begun", "ended"])


async def test_a_stream_that_is_closed_within_its_middleware_ends_there(via: Via) -> None:
    passes, begun = asyncio.Event(), asyncio.Event()

    async def waiting(call: CallInfo, request: Request, following: Next) -> Any:
        begun.set()
        await passes.wait()
        return await following(request)

    desk = Desk()
    async with known(via, desk, [waiting]) as (client, _):
        stream = client.stub(Shapes).count(1000)
        reader = asyncio.create_task(anext(stream, None))
        await begun.wait()
        await stream.aclose()
        passes.set()
        assert await reader is None
        assert await anext(stream, None) is None


async def test_middleware_that_finds_no_item_does_not_look_like_an_answer(via: Via) -> None:
    async def peeking(call: CallInfo, request: Request, following: Next) -> Any:
        items = await following(request)
        assert await anext(items) == 0
        return items

    async with known(via, Desk(), [peeking]) as (client, _):
        with pytest.raises(RuntimeError, match="middleware of shapes/count raised StopAsyncIter"):
            assert [each async for each in client.stub(Shapes).count(0)]


async def test_a_call_is_left_also_where_the_items_of_a_middleware_raise_then(via: Via) -> None:
    async def failing(call: CallInfo, request: Request, following: Next) -> Any:
        items = await following(request)

        async def given() -> AsyncIterator[int]:
            try:
                async for item in items:
                    yield item
            finally:
                raise ValueError("the middleware's own")

        return given()

    desk = Desk()
    async with known(via, desk, [failing]) as (client, _):
        stream = client.stub(Shapes).count.using(timeout=600)(1_000_000)
        assert await anext(stream) == 0
        with pytest.raises(ValueError, match="the middleware's own"):
            await stream.aclose()
        await until(lambda: desk.left == 1)


async def cancelled_at_once(call: Coroutine[Any, Any, Any]) -> None:
    task = asyncio.ensure_future(call)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_that_is_cancelled_before_it_begins_begins_nothing(via: Via) -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    async def passing(call: CallInfo, request: Request, following: Next) -> Any:
        return await following(request)

    async with known(via, Desk(), [passing]) as (client, _):
        shapes = client.stub(Shapes)
        assert await shapes.double(1) == 2
        calls: list[Coroutine[Any, Any, Any]] = [
            shapes.double(1),
            shapes.double.using(metadata={"a": "b"})(1),
            shapes.total(numbers(), 1),
            shapes.note(1),
            client.call("shapes/double", 1),
        ]
        while calls:
            await cancelled_at_once(calls.pop())
        gc.collect()  # what was never awaited would be warned of, which is an error here


def test_a_calls_time_counts_from_when_it_is_awaited() -> None:
    async def passing(call: CallInfo, request: Request, following: Next) -> Any:
        return await following(request)

    async def numbers() -> AsyncIterator[int]:
        yield 1

    async def main() -> None:
        async with VirtualClock(), test_client(Desk(), client_middleware=[passing]) as client:
            shapes, late = client.stub(Shapes), client.using(timeout=0)
            counted = shapes.count.using(timeout=5)(3)
            call = shapes.double.using(timeout=5, metadata={"a": "b"})(1)
            await asyncio.sleep(10)
            assert [number async for number in counted] == [0, 1, 2]
            assert await call == 2
            calls: list[Coroutine[Any, Any, Any]] = [
                late.stub(Shapes).total(numbers(), 1),
                late.stub(Shapes).book(1),
                late.stub(Shapes).note(1),
                late.call("shapes/double", 1),
            ]
            for end in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(end, DeadlineExceeded)
            stream = late.stub(Shapes).count(3)
            with pytest.raises(DeadlineExceeded):
                await anext(stream)

    asyncio.run(main())

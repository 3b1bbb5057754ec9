"""Middleware that makes items of others: with a call ends all that was made for it, and in place.

Generators here are as one writes them: none closes the items that it reads.
"""

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest

from machnet_rpc import Cancelled, Client, ContractError, Internal, PermissionDenied, Sender, rpc
from machnet_rpc._transports.ladder import Via
from machnet_rpc.middleware import CallInfo, Middleware, Next, Request
from tests.machnet_rpc.test_middleware import Desk, Shapes, both
from tests.machnet_rpc.waiting import until

MANY = 1_000_000
WHOSE: ContextVar[str] = ContextVar("whose", default="nobody's")


async def numbers() -> AsyncIterator[int]:
    for number in range(MANY):
        yield number


class Ends:
    """Notes how generators end, each of which sets a variable for as long as it lives."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def of(self, items: AsyncIterator[int], name: str) -> AsyncIterator[int]:
        token = WHOSE.set(name)
        try:
            async for item in items:
                yield item
        finally:
            try:
                WHOSE.reset(token)
            except ValueError:
                name += " in another context"
            self.names.append(name)

    def of_answers(self, name: str) -> Middleware:
        async def each(call: CallInfo, request: Request, following: Next) -> Any:
            return self.of(await following(request), name)

        return each

    def of_requests(self, name: str) -> Middleware:
        async def each(call: CallInfo, request: Request, following: Next) -> Any:
            return await following(request | {"numbers": self.of(request["numbers"], name)})

        return each


class Counter(Desk):
    """Reads no more than one number."""

    def __init__(self, ends: Ends) -> None:
        super().__init__()
        self._ends = ends

    @rpc
    async def count(self, until: int) -> AsyncIterator[int]:
        token = WHOSE.set("handler")
        try:
            for number in range(until):
                yield number
        finally:
            WHOSE.reset(token)
            self._ends.names.append("handler")

    @rpc
    async def total(self, numbers: AsyncIterator[int], start: int) -> int:
        return start + await anext(numbers)


async def test_a_handler_that_is_left_ends_in_its_own_context(via: Via) -> None:
    ends = Ends()
    at_server = [ends.of_answers("a"), ends.of_answers("b")]
    async with both(via, Counter(ends), (), at_server) as (client, _):
        async with client.stub(Shapes).count(MANY) as items:
            assert [await anext(items) for _ in range(3)] == [0, 1, 2]
        await until(lambda: len(ends.names) == 3)
    assert ends.names == ["a", "b", "handler"]


async def test_what_a_client_makes_of_answers_ends_where_it_is_left(via: Via) -> None:
    ends = Ends()
    async with both(via, Desk(), [ends.of_answers("a"), ends.of_answers("b")]) as (client, _):
        async with client.stub(Shapes).count(MANY) as items:
            assert await anext(items) == 0
        assert ends.names == ["a", "b"]


async def test_what_a_call_is_fed_from_ends_where_it_was_read(via: Via) -> None:
    ends = Ends()
    async with both(via, Counter(ends), [ends.of_requests("a")]) as (client, _):
        assert await client.stub(Shapes).total(ends.of(numbers(), "source"), 5) == 5
    assert ends.names == ["a", "source"]


@pytest.mark.parametrize("is_wrapped", [False, True])
async def test_what_a_call_was_fed_from_feeds_no_other(via: Via, is_wrapped: bool) -> None:
    async def twice(call: CallInfo, request: Request, following: Next) -> Any:
        if is_wrapped:
            request = request | {"numbers": ends.of(request["numbers"], "a")}
        await following(request)
        return await following(request)

    async def anew(call: CallInfo, request: Request, following: Next) -> Any:
        await following(request)
        return await following(request | {"numbers": numbers()})

    ends = Ends()
    async with both(via, Counter(ends), [twice]) as (client, _):
        with pytest.raises(ContractError, match="the items of 'numbers' are gone"):
            await client.stub(Shapes).total(numbers(), 5)
    async with both(via, Counter(ends), [anew]) as (client, _):
        assert await client.stub(Shapes).total(numbers(), 5) == 5


async def test_a_client_that_does_not_await_is_told_so(via: Via) -> None:
    async def forgets(call: CallInfo, request: Request, following: Next) -> Any:
        return following(request)

    async def waits(call: CallInfo, request: Request, following: Next) -> Any:
        await asyncio.sleep(0.001)
        return following(request)

    for each in (forgets, waits):
        async with both(via, Desk(), [each]) as (client, _):
            shapes = client.stub(Shapes)
            with pytest.raises(Internal, match="shapes/total: its middleware gave a coroutine"):
                await shapes.total(numbers(), 5)
            with pytest.raises(Internal, match="shapes/count: its middleware gave a coroutine"):
                await anext(shapes.count(5))


async def test_what_a_server_makes_of_requests_ends_with_the_handler(via: Via) -> None:
    ends = Ends()
    async with both(via, Counter(ends), (), [ends.of_requests("a")]) as (client, _):
        assert await client.stub(Shapes).total(numbers(), 5) == 5
    assert ends.names == ["a"]


async def refusing(call: CallInfo, request: Request, following: Next) -> Any:
    raise PermissionDenied("not here")


async def answering(call: CallInfo, request: Request, following: Next) -> Any:
    return numbers() if call.kind == "bidirectional" else 0


async def doubling(call: CallInfo, request: Request, following: Next) -> Any:
    async def doubled(items: AsyncIterator[int]) -> AsyncIterator[int]:
        async for item in items:
            yield 2 * item

    request["numbers"] = doubled(request["numbers"])
    return await following(request)


async def total(client: Client, sender: Sender[int]) -> None:
    assert await client.stub(Shapes).total(sender, 0) == 0


async def doubled(client: Client, sender: Sender[int]) -> None:
    async with client.stub(Shapes).doubled(sender) as items:
        assert await anext(items) == 0


@pytest.mark.parametrize("each", [refusing, answering, doubling], ids=lambda each: each.__name__)
@pytest.mark.parametrize("call", [total, doubled], ids=lambda call: call.__name__)
async def test_who_sends_is_told_that_the_call_has_ended(
    via: Via, each: Middleware, call: Any
) -> None:
    async def send(sender: Sender[int]) -> None:
        for number in range(MANY):
            await sender.send(number)

    async with both(via, Counter(Ends()), [each]) as (client, _):
        sender = Sender[int]()
        sending = asyncio.ensure_future(send(sender))
        try:
            await call(client, sender)
        except PermissionDenied:
            assert each is refusing
        with pytest.raises(Cancelled, match="has ended"):
            await asyncio.wait_for(sending, 5.0)

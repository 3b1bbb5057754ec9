"""The blocking client: metadata and middleware, of the same shape as the asyncio client's."""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from machnet_rpc import (
    DeadlineExceeded,
    InvalidArgument,
    Middleware,
    Unauthenticated,
    current_call,
    sync,
)
from machnet_rpc._blocking_calls import CarryingMethod
from machnet_rpc._options import Metadata
from machnet_rpc._transports.ladder import Via
from machnet_rpc.middleware import CallInfo, Next, Request
from machnet_rpc.tracing import TraceContext, propagate, within
from tests.machnet_rpc.ledger import Ledger
from tests.machnet_rpc.server_thread import serving
from tests.machnet_rpc.test_middleware import Desk, Log, Shapes
from tests.machnet_rpc.waiting import until_seen

SENT: Metadata = {"tenant": "a", "raw": b"\x00"}


class BlockingShapes(Shapes, sync.BlockingContract):
    pass


async def returning(call: CallInfo, request: Request, following: Next) -> Any:
    """At a server: gives the metadata of the request back."""
    call.reply_metadata.update(current_call().metadata)
    return await following(request)


@contextmanager
def both(
    via: Via, at_client: Sequence[Middleware] = (), at_server: Sequence[Middleware] = ()
) -> Generator[tuple[sync.Client, Desk]]:
    desk = Desk()
    with (
        serving(desk, "127.0.0.1:0", via, at_server) as server,
        sync.connect(server.address, via=via, timeout=5.0, middleware=at_client) as client,
    ):
        yield client, desk


def made(client: sync.Client) -> None:
    """A call of each kind."""
    shapes = client.stub(BlockingShapes)
    assert shapes.double(4) == 8
    assert shapes.book(number=5) == 10
    assert list(shapes.count(3)) == [0, 1, 2]
    assert shapes.total(sync.Items([1, 2]), 10) == 13
    assert list(shapes.doubled(sync.Items([1, 2]))) == [2, 4]
    shapes.note(7)
    assert client.call("shapes/double", 4) == 8
    assert client.call(Shapes.double, 4) == 8
    assert client.call_many(Shapes.double, [1, 2]) == [2, 4]


def test_metadata_go_both_ways_with_every_kind_of_call(via: Via) -> None:
    back: Metadata = {}
    got: list[Metadata] = []
    with both(via, (), [returning]) as (client, desk):
        shapes = client.stub(BlockingShapes)
        with_it: dict[str, Any] = {"metadata": SENT, "reply_metadata": back}

        def check() -> None:
            back.pop("handler", None)
            got.append(dict(back))
            back.clear()

        assert shapes.double.using(**with_it)(4) == 8
        check()
        assert shapes.book.using(key="k", **with_it)(4) == 8
        check()
        assert list(shapes.count.using(**with_it)(3)) == [0, 1, 2]
        check()
        assert shapes.total.using(**with_it)(sync.Items([1]), 1) == 2
        check()
        assert list(shapes.doubled.using(**with_it)(sync.Items([1]))) == [2]
        check()
        carrying = client.using(**with_it)
        assert carrying.call("shapes/double", 4) == 8
        check()
        assert carrying.call(Shapes.double, 4) == 8
        check()
        assert carrying.method(Shapes.double).using(metadata={"tenant": "b"})(4) == 8
        check()
        shapes.note.using(metadata=SENT)(1)
        assert carrying.call_many(Shapes.double, [1, 2]) == [2, 4]
        until_seen(lambda: desk.noted == [1])
    kept = [got.pop(1)]  # the answer of a keyed call is kept, and given again, without
    assert kept == [{}]
    assert got == [SENT] * 6 + [SENT | {"tenant": "b"}]


def test_what_cannot_be_sent_is_told(network: Via) -> None:
    with both(network) as (client, _):
        double = client.method(Shapes.double)
        for wrong in ({"mrpc-key": "1"}, {"number": 5}):
            with pytest.raises(InvalidArgument):
                double.using(metadata=wrong)  # type: ignore[arg-type]
            with pytest.raises(InvalidArgument):
                client.using(metadata=wrong)  # type: ignore[arg-type]
            with pytest.raises(InvalidArgument):
                client.method(Shapes.count).using(metadata=wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match="at most") as caught:
            double.using(metadata={"long": bytes(100_000)})(1)
        assert caught.value.executed == "no"
        assert double(1) == 2


def test_every_kind_of_call_passes_middleware(via: Via) -> None:
    log = Log()
    with both(via, [log.named("a"), log.named("b")], [log.named("c")]) as (client, desk):
        made(client)
        until_seen(lambda: desk.noted == [7])
    begun = [line for line in log.lines if not line.endswith("out")]
    names = ["double", "book", "count", "total", "doubled", "note", *["double"] * 4]
    assert [line.split()[:3] for line in begun if line.startswith("b")] == [
        ["b", "client", name] for name in names
    ]
    assert sorted(line[0] for line in begun) == sorted("abc" * len(names))


def test_middleware_may_change_and_refuse(network: Via) -> None:
    async def adding(call: CallInfo, request: Request, following: Next) -> Any:
        if request["number"] < 0:
            raise Unauthenticated("not with me")
        return 100 + await following({**request, "number": request["number"] + 1})

    async def late(call: CallInfo, request: Request, following: Next) -> Any:
        raise TimeoutError("of my own")

    with both(network, [adding]) as (client, _):
        assert client.method(Shapes.double)(1) == 104
        with pytest.raises(Unauthenticated):
            client.method(Shapes.double)(-1)
        assert client.method(Shapes.double)(2) == 106
    with both(network, [late]) as (client, _), pytest.raises(TimeoutError, match="of my own"):
        client.method(Shapes.double)(1)


def test_middleware_that_hangs_ends_at_the_deadline(network: Via) -> None:
    async def hanging(call: CallInfo, request: Request, following: Next) -> Any:
        await asyncio.sleep(60)

    with both(network, [hanging]) as (client, _):
        shapes = client.using(timeout=0.05).stub(BlockingShapes)
        with pytest.raises(DeadlineExceeded, match="within its middleware"):
            shapes.double(1)
        with pytest.raises(DeadlineExceeded, match="within its middleware"):
            next(shapes.count(1))
        with pytest.raises(DeadlineExceeded):
            shapes.total(sync.Items([1]), 1)


def test_a_stream_that_is_left_early_ends_its_handler(network: Via) -> None:
    log = Log()
    with both(network, [log.named("a")]) as (client, desk):
        with client.stream(Shapes.count, 1_000_000) as items:
            assert [next(items) for _ in range(3)] == [0, 1, 2]
        until_seen(lambda: desk.left == 1)
        dropped = client.stream(Shapes.count, 1_000_000)
        assert next(dropped) == 0
        del dropped
        until_seen(lambda: desk.left == 2)


def test_middleware_cannot_call_by_its_own_client(network: Via) -> None:
    clients: list[sync.Client] = []

    async def calling(call: CallInfo, request: Request, following: Next) -> Any:
        return clients[0].call("shapes/double", 1)

    with both(network, [calling]) as (client, _):
        clients.append(client)
        with pytest.raises(RuntimeError, match="under way in this thread already"):
            client.method(Shapes.double)(1)


def test_a_trace_goes_with_calls_that_block(network: Via) -> None:
    seen: list[TraceContext | None] = []

    async def looking(call: CallInfo, request: Request, following: Next) -> Any:
        seen.append(current_call().trace)
        return await following(request)

    place = TraceContext.new()
    with both(network, [propagate], [looking]) as (client, _), within(place):
        made(client)
    assert seen == [place] * 10


def test_only_calls_that_carry_something_go_by_the_loop(network: Via) -> None:
    with both(network) as (client, _):
        for plain in (client.method(Shapes.double), client.method(Ledger.echo)):
            assert not isinstance(plain, CarryingMethod)
            assert not isinstance(plain.using(timeout=1.0), CarryingMethod)
            assert isinstance(plain.using(metadata={}), CarryingMethod)
            assert isinstance(client.using(reply_metadata={}).method(Ledger.echo), CarryingMethod)
        assert isinstance(client.method(Shapes.book), CarryingMethod)
    with both(network, [propagate]) as (client, _):
        assert isinstance(client.method(Shapes.double), CarryingMethod)

"""Calls leave nothing for the garbage collector, which may be off (docs/how-to/tail-latency)."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, cast

import pytest

from machnet_rpc import (
    Client,
    NotFound,
    ResourceExhausted,
    RpcError,
    connect,
    rpc,
    serve,
    service,
    sync,
)
from machnet_rpc._transports.ladder import Via
from machnet_rpc.middleware import CallInfo, Middleware, Next, Request
from tests.machnet_rpc.conftest import only_inline
from tests.machnet_rpc.server_thread import serving
from transport_engine._native import ffi
from transport_engine.config import EngineConfig

CALLS = 20
TOO_LARGE = 9 << 20


class Declared(Exception):
    pass


@service("cyclic", errors=[Declared])
class Cyclic:
    @rpc
    async def echo(self, data: memoryview) -> memoryview:
        raise NotImplementedError

    @rpc
    async def fail(self, how: str) -> int:
        raise NotImplementedError

    @rpc(idempotent="keyed")
    async def fail_once(self, how: str) -> int:
        raise NotImplementedError

    @rpc
    def give(self, how: str) -> AsyncIterator[bytes]:
        raise NotImplementedError

    @rpc
    async def take(self, items: AsyncIterable[bytes]) -> int:
        raise NotImplementedError

    @rpc
    def pass_on(self, items: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        raise NotImplementedError

    @rpc(idempotent="keyed")
    async def take_once(self, data: bytes) -> int:
        raise NotImplementedError

    @rpc
    async def give_large(self) -> bytes:
        raise NotImplementedError


class Handlers(Cyclic):
    @rpc
    async def echo(self, data: memoryview) -> memoryview:
        return data

    @rpc
    async def fail(self, how: str) -> int:
        await end(how)
        return 1

    @rpc(idempotent="keyed")
    async def fail_once(self, how: str) -> int:
        await end(how)
        return 1

    @rpc
    async def give(self, how: str) -> AsyncIterator[bytes]:
        yield b"a"
        await end(how)

    @rpc
    async def take(self, items: AsyncIterable[bytes]) -> int:
        return len([item async for item in items])

    @rpc
    async def pass_on(self, items: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        async for item in items:
            yield item

    @rpc(idempotent="keyed")
    async def take_once(self, data: bytes) -> int:
        return len(data)

    @rpc
    async def give_large(self) -> bytes:
        return bytes(TOO_LARGE)


async def end(how: str) -> None:
    match how:
        case "declared":
            raise Declared("a")
        case "code":
            raise NotFound("a")
        case "undeclared":
            raise KeyError("a")
        case "cancelled":
            raise asyncio.CancelledError
        case "busy":
            raise ResourceExhausted("a")
        case "waits":
            await asyncio.get_running_loop().create_future()
        case _:
            pass


async def drained(items: AsyncIterable[object]) -> None:
    async for _ in items:
        pass


async def left(items: Any) -> None:
    async with items:
        await anext(items)


async def broken() -> AsyncIterator[bytes]:
    yield b"a"
    raise KeyError("a")


async def wrong() -> AsyncIterator[bytes]:
    yield cast(bytes, 5)


async def cancelled(call: Awaitable[Any]) -> None:
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])


def late(client: Client) -> Cyclic:
    return client.using(timeout=0.001).stub(Cyclic)


Way = Callable[[Client], Awaitable[Any]]

WAYS: dict[str, Way] = {
    "small": lambda client: client.stub(Cyclic).echo(memoryview(b"a")),
    "large": lambda client: client.stub(Cyclic).echo(memoryview(bytes(100_000))),
    "late": lambda client: late(client).fail("waits"),
    "late keyed": lambda client: late(client).fail_once("waits"),
    "late items": lambda client: drained(late(client).give("waits")),
    "no time": lambda client: client.using(timeout=0).stub(Cyclic).fail(""),
    "cancelled at once": lambda client: cancelled(client.stub(Cyclic).fail("waits")),
    "left": lambda client: left(client.stub(Cyclic).give("waits")),
    "broken": lambda client: client.stub(Cyclic).take(broken()),
    "broken, and read": lambda client: drained(client.stub(Cyclic).pass_on(broken())),
    "wrong item": lambda client: client.stub(Cyclic).take(wrong()),
    "too large": lambda client: client.stub(Cyclic).echo(memoryview(bytes(TOO_LARGE))),
    "too large, too": lambda client: client.stub(Cyclic).take_once(bytes(TOO_LARGE)),
    "too large a result": lambda client: client.stub(Cyclic).give_large(),
    "too large by name": lambda client: client.call("cyclic/unknown", bytes(TOO_LARGE)),
    "metadata": lambda client: client.using(metadata={"a": "b"}).stub(Cyclic).fail("code"),
    "busy": lambda client: client.stub(Cyclic).fail("busy"),
    "unknown": lambda client: client.call("cyclic/unknown"),
    "wrong": lambda client: client.stub(Cyclic).fail(cast(str, 5)),
    "many": lambda client: client.call_many(Cyclic.fail, ["code"] * 3, return_exceptions=True),
    "many, too large": lambda client: client.call_many(
        Cyclic.take_once, [bytes(TOO_LARGE)] * 3, return_exceptions=True
    ),
    "many keyed": lambda client: client.call_many(
        Cyclic.fail_once, ["code"] * 3, return_exceptions=True
    ),
    "many wrong": lambda client: client.call_many(
        Cyclic.fail, [cast(str, 5)] * 3, return_exceptions=True
    ),
}


def failing(how: str) -> dict[str, Way]:
    """A call of each kind that fails like that."""
    return {
        f"unary {how}": lambda client: client.stub(Cyclic).fail(how),
        f"keyed {how}": lambda client: client.stub(Cyclic).fail_once(how),
        f"items {how}": lambda client: drained(client.stub(Cyclic).give(how)),
    }


for each in ("declared", "code", "undeclared", "cancelled"):
    WAYS.update(failing(each))


@pytest.fixture
async def client(via: Via) -> AsyncIterator[Client]:
    async with (
        serve(Handlers(), "127.0.0.1:0", via=via, grace=0.2) as server,
        connect(server.address, via=via, timeout=5.0) as client,
    ):
        yield client


@only_inline
@pytest.mark.parametrize("way", WAYS)
async def test_a_call_leaves_nothing_to_collect(client: Client, way: str) -> None:
    await nothing_to_collect(client, way)


async def passed(_: CallInfo, request: Request, following: Next) -> Any:
    return await following(request)


async def passed_later(_: CallInfo, request: Request, following: Next) -> Any:
    await asyncio.sleep(0)
    return await following(request)


@only_inline
@pytest.mark.parametrize("middleware", [passed, passed_later])
@pytest.mark.parametrize("way", [way for way in WAYS if way.startswith("many")])
async def test_nor_do_many_that_pass_middleware(via: Via, way: str, middleware: Middleware) -> None:
    async with (
        serve(Handlers(), "127.0.0.1:0", via=via, grace=0.2) as server,
        connect(server.address, via=via, timeout=5.0, middleware=[middleware]) as client,
    ):
        await nothing_to_collect(client, way)


async def nothing_to_collect(client: Client, way: str) -> None:
    await made(client, way)
    gc.collect()
    gc.disable()
    try:
        for _ in range(CALLS):
            await made(client, way)
        assert gc.collect() < CALLS
    finally:
        gc.enable()


async def made(client: Client, way: str) -> None:
    with contextlib.suppress(RpcError, Declared, KeyError):
        await WAYS[way](client)
    await asyncio.sleep(0)


def given_and_broken() -> Iterator[bytes]:
    yield b"a"
    raise KeyError("a")


def first(items: Any) -> None:
    with items:
        next(items)


BlockingWay = Callable[[sync.Client], object]

BLOCKING: dict[str, BlockingWay] = {
    "left": lambda client: first(client.stream(Cyclic.give, "waits")),
    "dropped": lambda client: next(client.stream(Cyclic.give, "waits")),
    "late": lambda client: list(client.using(timeout=0.01).stream(Cyclic.give, "waits")),
    "no time": lambda client: list(client.using(timeout=0).stream(Cyclic.give, "waits")),
    "not entered": lambda client: first(client.using(timeout=0).stream(Cyclic.give, "waits")),
    "taken": lambda client: client.call(Cyclic.take, sync.Items([b"a"])),
    "taken, broken": lambda client: client.call(Cyclic.take, sync.Items(given_and_broken())),
    "taken, wrong": lambda client: client.call(Cyclic.take, sync.Items([cast(bytes, 5)])),
    "not taken": lambda client: client.using(timeout=0).call(Cyclic.take, sync.Items([b"a"])),
    "passed": lambda client: list(client.stream(Cyclic.pass_on, sync.Items([b"a"] * 40))),
    "passed, left": lambda client: first(client.stream(Cyclic.pass_on, sync.Items([b"a"] * 40))),
    "passed, broken": lambda client: list(
        client.stream(Cyclic.pass_on, sync.Items(given_and_broken()))
    ),
    "passed, wrong": lambda client: list(
        client.stream(Cyclic.pass_on, sync.Items([cast(bytes, 5)]))
    ),
    "many": lambda client: client.call_many(Cyclic.fail, ["code"] * 3),
    "many, returned": lambda client: client.call_many(
        Cyclic.fail, ["code"] * 3, return_exceptions=True
    ),
    "by name": lambda client: client.call("cyclic/unknown"),
    "by name, late": lambda client: client.using(timeout=0).call("cyclic/unknown"),
    "metadata": lambda client: client.using(metadata={"a": "b"}).call(Cyclic.fail, "code"),
}


def drained_of(how: str) -> BlockingWay:
    return lambda client: list(client.stream(Cyclic.give, how))


BLOCKING.update(
    {f"items {how}": drained_of(how) for how in ("", "declared", "code", "undeclared", "cancelled")}
)


@pytest.mark.parametrize("way", BLOCKING)
def test_nor_does_a_blocking_one_of_another_kind(way: str) -> None:
    via = EngineConfig()
    with (
        serving(Handlers(), "127.0.0.1:0", via) as server,
        sync.connect(server.address, via=via, timeout=5.0) as client,
    ):

        def made_and_suppressed() -> None:
            with contextlib.suppress(RpcError, Declared, KeyError):
                BLOCKING[way](client)

        made_and_suppressed()
        gc.collect()
        gc.disable()
        try:
            for _ in range(CALLS):
                made_and_suppressed()
            assert gc.collect() < CALLS
        finally:
            gc.enable()


@pytest.mark.parametrize("way", ["usual", "keyed"])
@pytest.mark.parametrize("how", ["", "declared", "code", "undeclared", "cancelled"])
def test_nor_does_a_blocking_call(way: str, how: str) -> None:
    via = EngineConfig()
    with (
        serving(Handlers(), "127.0.0.1:0", via) as server,
        sync.connect(server.address, via=via, timeout=5.0) as client,
    ):
        call = client.method(Cyclic.fail if way == "usual" else Cyclic.fail_once)

        def made_and_suppressed() -> None:
            with contextlib.suppress(RpcError, Declared):
                call(how)

        made_and_suppressed()
        gc.collect()
        gc.disable()
        try:
            for _ in range(CALLS):
                made_and_suppressed()
            assert gc.collect() < CALLS
        finally:
            gc.enable()


@pytest.mark.parametrize("via", ["inline", "sidecar", "direct"], indirect=True)
async def test_clients_that_came_and_went_hold_no_buffers(via: Via) -> None:
    """Neither their own nor those that the server had for them, until they are collected."""
    async with serve(Handlers(), "127.0.0.1:0", via=via) as server:

        async def come_and_go() -> None:
            async with connect(server.address, via=via) as client:
                await client.call(Cyclic.echo, memoryview(b""))

        await come_and_go()
        gc.collect()
        gc.disable()
        try:
            before = buffered_bytes()
            for _ in range(5):
                await come_and_go()
            assert buffered_bytes() == before
        finally:
            gc.enable()


def buffered_bytes() -> int:
    """In buffers of C that somebody has."""
    return sum(len(each) for each in gc.get_objects() if type(each) is ffi.buffer)

"""What an application asks for by mistake is refused where it asks, in a sentence of ours."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

import pytest
import uvloop

from machnet_rpc import (
    AddressError,
    Client,
    ContractError,
    InvalidArgument,
    Limits,
    Server,
    Service,
    connect,
    keep,
    rpc,
    serve,
    service,
    sync,
)
from machnet_rpc.testing import VirtualClock, test_client
from tests.machnet_rpc.server_thread import serving
from tests.machnet_rpc.test_sync_forks import in_child
from tests.machnet_rpc.waiting import until
from transport_engine import EngineConfig


@service("desk")
class Desk:
    @rpc
    async def add(self, number: int) -> int:
        raise NotImplementedError

    @rpc
    def count(self, number: int) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc(idempotent="keyed")
    async def buy(self, number: int) -> int:
        raise NotImplementedError


class Clerk(Desk):
    @rpc
    async def add(self, number: int) -> int:
        return number + 1

    @rpc
    async def count(self, number: int) -> AsyncIterator[int]:
        for each in range(number):
            yield each

    @rpc
    async def buy(self, number: int) -> int:
        return number


class Other:
    pass


CLERK: Any = Clerk()
NAME: Any = "desk"
PRINT: Any = print
FIVE: Any = 5
ONE: Any = 1
OTHER: Any = Other
PROPERTY: Any = property(print)
PARTIAL: Any = partial(print)
ADD: Any = Desk.add
BYTES: Any = b"bytes"
VALUE_ERROR: Any = ValueError
CANCELLED: Any = asyncio.CancelledError
HALF: Any = 1.5
ADDRESSES: tuple[Any, ...] = (5, None, ("127.0.0.1", 7000), "127.0.0.1:0")
BEFORE: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "stub of an instance": (lambda: nobody().stub(CLERK), ContractError, "no class"),
    "stub of a name": (lambda: nobody().stub(NAME), ContractError, "'desk' is no class"),
    "middleware called": (lambda: Server(Clerk(), middleware=[FIVE]), ContractError, "is none"),
    "middleware class": (lambda: Server(Clerk(), middleware=[OTHER]), ContractError, "is none"),
    "middleware alone": (lambda: connect("h:1", middleware=PRINT), ContractError, "list"),
    "middleware blocking": (lambda: sync.connect("h:1", middleware=[FIVE]), ContractError, "list"),
    "errors": (lambda: rpc(errors=[PRINT]), ContractError, "list of subclasses of Exception"),
    "one error": (lambda: rpc(errors=VALUE_ERROR), ContractError, "list of subclasses of Exce"),
    "cancelling": (lambda: rpc(errors=[CANCELLED]), ContractError, "list of subclasses of Exc"),
    "end as error": (lambda: rpc(errors=[StopAsyncIteration]), ContractError, "no handler can"),
    "all's error": (lambda: service("a", errors=[FIVE])(Other), ContractError, "list of sub"),
    "replies": (lambda: Server(Clerk(), replies=FIVE), ContractError, "replies=5 is no store"),
    "replies of none": (lambda: Server(Clerk(), replies=OTHER), ContractError, "is no store"),
    "version": (lambda: service("a", version=HALF), ContractError, "version=1.5 of a must be"),
    "version True": (lambda: service("a", version=True), ContractError, "must be a whole number"),
    "lane": (lambda: rpc(lane=True), ContractError, "lane=True must be a whole number"),
    "idempotent": (lambda: rpc(idempotent=ONE), ContractError, "idempotent=1 must be True"),
    "service of none": (lambda: service("a")(PRINT), ContractError, "stands on a class"),
    "rpc of a number": (lambda: rpc(HALF), ContractError, r"as in rpc\(timeout=1.0\)"),
    "rpc of a property": (lambda: rpc(PROPERTY), ContractError, "is no function"),
    "rpc of a partial": (lambda: rpc(PARTIAL), ContractError, "write `async def` around"),
    "rpc twice": (lambda: rpc(ADD), ContractError, "is a method already"),
    "function twice": (lambda: Service("a").rpc(ADD), ContractError, "is a method already"),
    "keep bytes": (lambda: keep(BYTES), TypeError, "only a memoryview is lent"),
    "limits": (lambda: Server(Clerk(), limits=FIVE), ContractError, "limits=5 is no Limits"),
    "twice": (lambda: Server(Clerk(), Clerk()), ContractError, "two implementations of desk"),
    "no handlers": (lambda: Limits(handlers=0), ValueError, "handlers=0 must be"),
    "half a handler": (lambda: Limits(handlers=HALF), ValueError, "handlers=1.5"),
    "no bytes": (lambda: Limits(request_bytes=-1), ValueError, "request_bytes=-1"),
    "past seconds": (lambda: Limits(keyed_seconds=-1), ValueError, "keyed_seconds=-1"),
    "all bytes": (lambda: Limits(stream_bytes=1 << 70), ValueError, "stream_bytes="),
}


def nobody() -> Client:
    return connect("127.0.0.1:1")


@pytest.mark.parametrize("what", BEFORE)
def test_mistakes_before_a_call(what: str) -> None:
    ask, kind, words = BEFORE[what]
    with pytest.raises(kind, match=words):
        ask()


async def test_signals_are_for_the_main_thread() -> None:
    with pytest.raises(RuntimeError, match="signals come to the main thread"):
        await asyncio.to_thread(asyncio.run, Server(Clerk()).until_terminated())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"require": "bypas"}, 'require=.bypas. is not known: it is "bypass", or nothing'),
        ({"require": True}, "require=True is not known"),
        ({"via": 3}, "via=3 is no way to the network"),
    ],
)
async def test_the_way_is_one_that_there_is(options: dict[str, Any], words: str) -> None:
    for opened in (connect, sync.connect):
        with pytest.raises(InvalidArgument, match=words):
            opened("127.0.0.1:1", **options)
    with pytest.raises(InvalidArgument, match=words):
        async with serve(Clerk(), "127.0.0.1:0", **options):
            pass


def test_retries_are_a_policy() -> None:
    wrong: Any = 3
    for opened in (connect, sync.connect):
        with pytest.raises(InvalidArgument, match=r"retries=3 is no RetryPolicy"):
            opened("127.0.0.1:1", retries=wrong)


async def test_a_server_is_no_implementation() -> None:
    with pytest.raises(ContractError, match=r"is a Server already: `await server\.listen\("):
        async with serve(Server(Clerk()), "127.0.0.1:0"):
            pass


async def test_a_method_that_the_contract_lacks() -> None:
    class More(Clerk):
        @rpc
        async def extra(self, number: int) -> int:
            return number

    for asked in (nobody().call(More.extra, 1), nobody().stub(More).extra(1)):
        with pytest.raises(ContractError, match="desk has no method extra: it has add, buy, count"):
            await asked


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_names_a_server(address: Any) -> None:
    for opened in (connect, sync.connect):
        with pytest.raises(AddressError, match=r"is not an address|names no server"):
            opened(address)


async def test_a_server_listens_at_an_address() -> None:
    address: Any = ("127.0.0.1", 7000)
    with pytest.raises(AddressError, match="is not an address"):
        async with serve(Clerk(), address):
            pass


@pytest.mark.parametrize("key", ["", 5, b"a", "a" * 257])
def test_a_key_is_text(key: Any) -> None:
    with pytest.raises(InvalidArgument, match="must be text of 1 to 256 characters"):
        nobody().stub(Desk).buy.using(key=key)


@pytest.mark.parametrize("metadata", ["text", 5, [1], [("a", "1"), ("a", "2")]])
def test_metadata_are_a_mapping(metadata: Any) -> None:
    with pytest.raises(InvalidArgument, match="metadata is text or bytes by names"):
        nobody().using(metadata=metadata)


@pytest.mark.parametrize("back", ["text", 5, [1]])
def test_metadata_of_replies_go_into_a_dict(back: Any) -> None:
    for ask in (nobody().using, nobody().stub(Desk).add.using):
        with pytest.raises(InvalidArgument, match="reply_metadata is a dict"):
            ask(reply_metadata=back)


async def test_mistakes_in_a_call() -> None:
    async with test_client(Clerk(), timeout=5) as client:
        stub = client.stub(Desk)
        untyped: Any = client
        for wrong in (5, len, stub.add, Clerk().add):
            with pytest.raises(ContractError, match="is no method of a contract"):
                await untyped.call(wrong)
        with pytest.raises(ContractError, match=r"use client\.stream"):
            await untyped.call(Desk.count, 3)
        with pytest.raises(ContractError, match=r"use client\.call"):
            untyped.stream(Desk.add, 3)
        for given in ((1, 2), (1,)):
            with pytest.raises(TypeError, match=r'as in call\("desk/add", {"\w+": ...'):
                await untyped.call("desk/add", *given, **({} if len(given) > 1 else {"n": 1}))
        for limit in (0, -1):
            with pytest.raises(ValueError, match="must be at least 1"):
                await client.call_many(Desk.add, [1, 2], in_flight_max=limit)
        with pytest.raises(InvalidArgument, match="the metadata cannot be sent"):
            await stub.add.using(metadata={"a": "\ud800"})(1)
        assert await stub.add(1) == 2


async def test_a_client_is_used_in_its_own_event_loop() -> None:
    async with test_client(Clerk(), timeout=5) as client:
        stub = client.stub(Desk)

        async def call() -> int:
            return await stub.add(1)

        async def take() -> int:
            return await anext(stub.count(3))

        assert await call() == 2
        uses: tuple[Callable[[], Coroutine[Any, Any, object]], ...] = (call, take, client.close)
        for use in uses:
            with pytest.raises(RuntimeError, match="belongs to another event loop"):
                await asyncio.to_thread(asyncio.run, use())
        assert await call() == 2


MADE: dict[str, Callable[[Client], Coroutine[Any, Any, object]]] = {
    "stub": lambda client: client.stub(Desk).add(1),
    "shorter": lambda client: client.using(timeout=1).stub(Desk).add(1),
    "metadata": lambda client: client.using(metadata={"a": "b"}).stub(Desk).add(1),
    "by name": lambda client: client.call("desk/add", 1),
    "keyed": lambda client: client.stub(Desk).buy(1),
    "many": lambda client: client.call_many(Desk.add, [1, 2]),
    "items": lambda client: anext(client.stub(Desk).count(3)),
}


@pytest.mark.parametrize("kind", MADE)
async def test_elsewhere_nothing_is_sent(kind: str) -> None:
    via = EngineConfig()
    async with (
        serve(Clerk(), "127.0.0.1:0", via=via) as server,
        connect(server.address, via=via, timeout=5.0) as client,
    ):
        await MADE[kind](client)
        connection = client._keeper.connection
        assert connection is not None
        before = connection.next_call_id()

        async def make() -> None:
            await MADE[kind](client)

        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            await asyncio.to_thread(asyncio.run, make())
        with pytest.raises(RuntimeError, match="no event loop of asyncio"):
            await asyncio.to_thread(MADE[kind](client).send, None)
        assert connection.outgoing == 0
        assert connection.next_call_id() == before + 1
        await MADE[kind](client)


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_nor_in_another_loop_of_the_same_thread(
    kind: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    via = EngineConfig()

    async def make() -> None:
        await MADE[kind](client)

    with (
        serving(Clerk(), "127.0.0.1:0", via) as server,
        asyncio.Runner(loop_factory=new_loop) as own,
    ):
        client = connect(server.address, via=via, timeout=5.0)
        own.run(client.open())
        own.run(make())
        own.run(make())
        connection = client._keeper.connection
        assert connection is not None
        before = connection.next_call_id()
        for _ in range(2):
            with (
                asyncio.Runner(loop_factory=new_loop) as other,
                pytest.raises(RuntimeError, match="belongs to another event loop"),
            ):
                other.run(make())
        assert connection.outgoing == 0
        assert connection.next_call_id() == before + 1
        own.run(make())
        own.run(client.close())


def test_what_is_no_loop_of_asyncio_is_told() -> None:
    server = Server(Clerk())
    starts: tuple[Coroutine[Any, Any, object], ...] = (
        nobody().open(),
        nobody().stub(Desk).add(1),
        server.listen("127.0.0.1:0"),
        server.until_terminated(),
        VirtualClock().__aenter__(),
    )
    for start in starts:
        with pytest.raises(RuntimeError, match=r"no event loop of asyncio .* under trio"):
            start.send(None)


async def test_a_child_leaves_its_parents_client_alone() -> None:
    async with serve(Clerk(), "127.0.0.1:0", grace=1) as server, connect(server.address) as client:
        add = client.stub(Desk).add
        assert await add(1) == 2
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:

            async def use() -> None:
                try:
                    await add.using(timeout=5)(1)
                except RuntimeError as error:
                    os.write(writer, str(error).encode())
                await client.close()

            try:  # in a thread, since this one has its parent's loop
                thread = threading.Thread(target=asyncio.run, args=(use(),))
                thread.start()
                thread.join()
            finally:
                os._exit(0)
        os.close(writer)
        await asyncio.to_thread(os.waitpid, child, 0)
        with os.fdopen(reader) as said:
            assert "connected before the process forked" in said.read()
        assert await add.using(timeout=10)(1) == 2


@pytest.mark.parametrize("kind", MADE)
async def test_so_is_a_child_in_the_midst_of_its_parents_loop(kind: str) -> None:
    async with serve(Clerk(), "127.0.0.1:0", grace=1) as server, connect(server.address) as client:
        await MADE[kind](client)
        assert "connected before the process forked" in in_child(lambda: driven(MADE[kind](client)))
        assert "connected before the process forked" in in_child(lambda: driven(client.open()))
        assert in_child(lambda: driven(client.close())) == "None"
        await MADE[kind](client)


def driven(coroutine: Coroutine[Any, Any, object]) -> object:
    """What a coroutine gives that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


async def test_a_call_from_another_thread_leaves_a_loop_in_debug_mode_its_client() -> None:
    """Such a loop refuses what the other thread would schedule."""
    loop = asyncio.get_running_loop()
    via = EngineConfig()
    async with (
        serve(Clerk(), "127.0.0.1:0", via=via) as server,
        connect(server.address, via=via, timeout=5.0) as client,
    ):
        stub = client.stub(Desk)
        assert await stub.add(1) == 2
        pump = client._keeper.pump
        assert pump is not None
        await until(lambda: not pump._awake)
        loop.set_debug(True)
        try:
            with pytest.raises(RuntimeError, match="belongs to another event loop"):
                await asyncio.to_thread(asyncio.run, stub.add(2))
            assert await stub.add(3) == 4
        finally:
            loop.set_debug(False)

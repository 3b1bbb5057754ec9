"""Stubs and calls are typed under mypy --strict and pyright, with no plugin: exactly the lines
marked `# wrong` are rejected, by both."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio
import functools
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, assert_type

from machnet_rpc import CallInfo, Client, Next, Sender, Stream, connect, rpc, serve, service, sync


P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


def logged(
    method: Callable[Concatenate[S, P], Awaitable[R]],
) -> Callable[Concatenate[S, P], Awaitable[R]]:
    @functools.wraps(method)
    async def inner(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await method(self, *args, **kwargs)

    return inner


class Store(Generic[R]):
    @rpc
    async def put(self, value: R) -> list[R]:
        raise NotImplementedError


@service("numbers")
class Numbers(Store[int]):
    pass


class Order:
    pass


class Ack:
    pass


@service("gateway")
class Gateway:
    @rpc(timeout=1.0, idempotent=True, errors=[KeyError])
    async def place(self, order: Order) -> Ack:
        raise NotImplementedError

    @rpc
    async def find(self, key: str, *, limit: int = 5) -> list[Ack]:
        raise NotImplementedError

    @rpc
    def fills(self, key: str) -> AsyncIterator[Ack]:
        raise NotImplementedError

    @rpc(timeout=60)
    async def upload(self, orders: AsyncIterator[Order], *, batch: int = 1) -> Ack:
        raise NotImplementedError

    @rpc(timeout=60)
    def quote(self, orders: AsyncIterable[Order]) -> AsyncIterator[Ack]:
        raise NotImplementedError

    @rpc(oneway=True)
    async def log(self, text: str) -> None:
        raise NotImplementedError


class Desk(Gateway):
    @rpc
    async def place(self, order: Order) -> Ack:
        return Ack()

    @rpc
    async def find(self, key: str, *, limit: int = 5) -> list[Ack]:
        return []

    @rpc
    async def fills(self, key: str) -> AsyncIterator[Ack]:
        yield Ack()

    @rpc
    async def upload(self, orders: AsyncIterator[Order], *, batch: int = 1) -> Ack:
        return [Ack() async for _ in orders][0]

    @rpc
    async def quote(self, orders: AsyncIterable[Order]) -> AsyncIterator[Ack]:
        async for order in orders:
            assert_type(order, Order)
            yield Ack()

    @rpc(oneway=True)
    async def log(self, text: str) -> None:
        pass


class LoggedDesk(Desk):
    @rpc
    @logged
    async def place(self, order: Order) -> Ack:
        return await super().place(order)


class WrongItem(Gateway):
    @rpc
    async def fills(self, key: str) -> AsyncIterator[str]:  # wrong
        yield ""


class NoStream(Gateway):
    @rpc
    async def fills(self, key: str) -> list[Ack]:  # wrong
        return []


class WrongArgument(Gateway):
    @rpc
    async def place(self, order: int) -> Ack:  # wrong
        return Ack()


class WrongResult(Gateway):
    @rpc
    async def place(self, order: Order) -> str:  # wrong
        return ""


async def use(client: Client) -> None:
    gateway = client.stub(Gateway)
    assert_type(gateway, Gateway)
    assert_type(await gateway.place(Order()), Ack)
    assert_type(await gateway.place.using(timeout=1.0, wait=False)(order=Order()), Ack)
    assert_type(await client.using(priority=0).stub(Gateway).place.using(priority=7)(Order()), Ack)
    assert_type(await client.call(Gateway.place, Order()), Ack)
    ack, nothing = await asyncio.gather(gateway.place(Order()), gateway.log("a"))
    assert_type(ack, Ack)
    assert_type(await asyncio.create_task(gateway.place(Order())), Ack)
    assert_type(await client.call_many(Gateway.place, [Order()]), list[Ack])
    either = await client.call_many(Gateway.place, [Order()], return_exceptions=True)
    assert_type(either, list[Ack | Exception])
    assert_type(await gateway.find("a", limit=3), list[Ack])
    assert_type(await client.using(timeout=2).call(Gateway.find, "a"), list[Ack])
    await client.call("gateway/place", {"any": "thing"})
    async with serve(Desk(), "127.0.0.1:1") as server, connect(server.address) as other:
        assert_type(other, Client)

    assert_type(gateway.fills("a"), Stream[Ack])
    assert_type([fill async for fill in gateway.fills.using(timeout=60)(key="a")], list[Ack])
    async with client.stream(Gateway.fills, "a") as fills:
        assert_type(await anext(fills), Ack)
    sender = Sender[Order]()
    await sender.send(Order())
    assert_type(await gateway.upload(sender, batch=2), Ack)
    assert_type(await client.call(Gateway.upload, sender), Ack)
    assert_type(gateway.quote(sender), Stream[Ack])
    assert_type(await gateway.log("text"), None)

    assert_type(await client.stub(Numbers).put(5), list[int])
    assert_type(await functools.partial(gateway.place, Order())(), Ack)
    plain: Callable[[Order], Awaitable[Ack]] = gateway.place
    await plain(Order())
    await client.stub(Numbers).put("five")  # wrong

    gateway.fills(5)  # wrong
    gateway.fills("a").first()  # wrong
    await gateway.fills("a")  # wrong
    await gateway.upload(Order())  # wrong
    await gateway.upload(Sender[str]())  # wrong
    await sender.send("order")  # wrong
    client.stream(Gateway.place, Order())  # wrong
    client.stream(Gateway.quote, [Order()])  # wrong
    number: int = await anext(gateway.quote(sender))  # wrong
    await gateway.place("order")  # wrong
    await gateway.place()  # wrong
    await gateway.place(Order(), Order())  # wrong
    await gateway.place(odrer=Order())  # wrong
    await gateway.find("a", limit="b")  # wrong
    await gateway.find("a", 3)  # wrong
    await client.call(Gateway.place, 5)  # wrong
    await client.call(Gateway.find)  # wrong
    await client.call(Gateway.find, "a", limt=5)  # wrong
    await gateway.place.using(timeout="1")(Order())  # wrong
    await gateway.place.using(retries=1)(Order())  # wrong
    gateway.place.using(priority="first")  # wrong
    text: str = await gateway.place(Order())  # wrong
    await gateway.plaice(Order())  # wrong
    connect("127.0.0.1:1", require="speed")  # wrong


async def passing(call: CallInfo, request: dict[str, Any], following: Next) -> Any:
    return await following(request)


class BlockingGateway(Gateway, sync.BlockingContract):
    pass


def use_blocking(client: sync.Client) -> None:
    gateway = client.stub(BlockingGateway)
    assert_type(gateway.place(Order()), Ack)
    assert_type(gateway.find.using(timeout=1.0, wait=False)("a", limit=3), list[Ack])
    assert_type(gateway.find.using(priority=0)("a", limit=3), list[Ack])
    assert_type(client.using(priority=7).call(Gateway.place, Order()), Ack)
    assert_type(client.call(Gateway.place, Order()), Ack)
    back: dict[str, str | bytes] = {}
    place = client.using(timeout=2, metadata={"a": b""}).method(Gateway.place)
    assert_type(place.using(metadata={"a": "b"}, reply_metadata=back)(Order()), Ack)
    assert_type(gateway.place.using(metadata={"a": "b"}, reply_metadata=back)(Order()), Ack)
    assert_type(place(order=Order()), Ack)
    assert_type(client.call_many(Gateway.place, [Order()]), list[Ack])
    either = client.call_many(Gateway.place, [Order()], return_exceptions=True)
    assert_type(either, list[Ack | Exception])
    with sync.connect("127.0.0.1:1", middleware=[passing]) as other:
        assert_type(other, sync.Client)
    assert_type(gateway.fills("a"), sync.Stream[Ack])
    assert_type(list(gateway.fills.using(timeout=60)(key="a")), list[Ack])
    with client.stream(Gateway.fills, "a") as fills:
        assert_type(next(fills), Ack)
    sender = sync.Sender[Order]()
    sender.send(Order())
    assert_type(gateway.quote(sender), sync.Stream[Ack])
    assert_type(gateway.upload(sync.Items([Order()]), batch=2), Ack)
    assert_type(client.method(Gateway.upload)(sync.Items([Order()])), Ack)
    assert_type(client.method(Gateway.fills)("a"), sync.Stream[Ack])
    client.stub(Gateway).place("anything")
    gateway.find.using(priority="first")  # wrong
    client.call("gateway/place", {"any": "thing"})

    gateway.place("order")  # wrong
    gateway.place()  # wrong
    gateway.find.using(timeout="1")("a")  # wrong
    gateway.find.using(metadata={"a": 1})("a")  # wrong
    client.using(metadata=5)  # wrong
    client.method(Gateway.fills).using(reply_metadata=[])("a")  # wrong
    sync.connect("127.0.0.1:1", middleware=[print])  # wrong
    gateway.fills(5)  # wrong
    gateway.quote(sync.Items(["order"]))  # wrong
    sender.send("order")  # wrong
    gateway.plaice(Order())  # wrong
    text: str = place(Order())  # wrong
    place(Order(), Order())  # wrong
    client.call(Gateway.find, "a", limt=5)  # wrong
    client.call_many(Gateway.place, ["order"])  # wrong
    sync.connect("127.0.0.1:1", require="speed")  # wrong
""".lstrip()

WRONG = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if "# wrong" in line}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("typing") / "program.py"
    path.write_text(PROGRAM)
    return path


def run(*argv: str) -> str:
    done = subprocess.run(argv, cwd=ROOT, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def test_mypy_rejects_exactly_the_wrong_lines(program: Path) -> None:
    pytest.importorskip("mypy")
    cache = str(program.parent / "cache")
    out = run(sys.executable, "-m", "mypy", "--strict", "--cache-dir", cache, str(program))
    found = {int(line) for line in re.findall(r"program\.py:(\d+): error", out)}
    assert found == WRONG, out
    assert len(WRONG) == 46


def test_pyright_rejects_exactly_the_wrong_lines(program: Path) -> None:
    pytest.importorskip("basedpyright")
    config = program.parent / "pyrightconfig.json"
    config.write_text(
        json.dumps(
            {
                "include": [str(program)],
                "typeCheckingMode": "standard",
                "extraPaths": [str(ROOT)],
            }
        )
    )
    argv = ("-m", "basedpyright", "--pythonpath", sys.executable, "-p", str(config), "--outputjson")
    found = json.loads(run(sys.executable, *argv))["generalDiagnostics"]
    lines = {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"}
    assert lines == WRONG, found

"""A call that fails because the contracts differ says in what, and which side to upgrade."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from machnet_rpc import (
    Internal,
    InvalidArgument,
    MemoryNetwork,
    RpcError,
    Unimplemented,
    connect,
    current_call,
    rpc,
    serve,
    service,
)
from machnet_rpc.reflection import Reflection, ReflectionContract
from machnet_rpc.testing import test_client
from tests.idl.evolution import Answering, Version
from tests.machnet_rpc.conftest import ADDRESS

ORDER = "@dataclass\nclass Order:\n    {}"


async def failure(client: Version, server: Version, *args: Any, times: int = 1) -> RpcError:
    """What the client's `f` fails with, called some times."""
    calling, answering = client.namespace(), server.namespace()
    answers = [eval(text, answering) for text in server.gives]
    implementation = Answering(answering["C"], answers).implementation()
    given = [eval(each, calling) for each in args]
    async with test_client(implementation) as connected:
        for _ in range(times - 1):
            with pytest.raises(RpcError):
                await connected.stub(calling["C"]).f(*given)
        with pytest.raises(RpcError) as caught:
            await connected.stub(calling["C"]).f(*given)
        return caught.value


async def test_an_argument_says_field_by_field_what_differs() -> None:
    old = Version("f(order: Order) -> None", ORDER.format("size: str\n    note: str = ''"))
    new = Version("f(order: Order) -> None", ORDER.format("size: int\n    side: str"))
    error = await failure(old, new, "Order('many')")
    assert isinstance(error, InvalidArgument)
    assert error.executed == "no"
    assert error.message.startswith("order: ")
    for words in (
        "; the contracts differ: ",
        "order.size: this client sends str, and the server takes int",
        "order.side: the server needs it, and this client lacks it",
    ):
        assert words in error.message
    assert error.message in str(error)
    assert "Upgrade the side with the older contract (contract s is " in error.next_step


async def test_a_result_does() -> None:
    old = Version("f() -> int", gives=["5"])
    new = Version("f() -> list[int]", gives=["[5]"])
    error = await failure(old, new)
    assert isinstance(error, Internal)
    assert error.executed == "yes"
    assert "->: the server sends list[int], and this client takes int" in error.message


async def test_a_method_that_is_not_there_does() -> None:
    error = await failure(Version(["f() -> None", "g() -> None"]), Version("g() -> None"))
    assert isinstance(error, Unimplemented)
    assert "the contracts differ: the server's contract has no method f" in error.message
    assert error.next_step.startswith("Upgrade the server, or call what it has")


@pytest.mark.parametrize(("ours", "theirs", "who"), [(1, 2, "this client"), (3, 2, "the server")])
async def test_versions_say_which_side_is_older(ours: int, theirs: int, who: str) -> None:
    async with test_client(versioned(theirs, int)()) as client:
        with pytest.raises(InvalidArgument) as caught:
            await client.stub(versioned(ours, str).__mro__[1]).f("x")
    assert caught.value.next_step.startswith(
        f"Upgrade {who}: the server has version {theirs} of the contract, this client {ours}"
    )


def versioned(number: int, kind: Any) -> Any:
    @service("s", version=number)
    class Contract:
        @rpc
        async def f(self, a: Any) -> None:
            raise NotImplementedError

    Contract.f.function.__annotations__["a"] = kind

    class Implementation(Contract):
        @rpc
        async def f(self, a):  # type: ignore[no-untyped-def]
            return None

    return Implementation


@dataclass
class Counted:
    asked: int = 0


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    found, answer = Counted(), Reflection.schema.function

    async def schema(self: Reflection, service: str) -> str:
        found.asked += 1
        return await answer(self, service)

    monkeypatch.setattr(Reflection, "schema", rpc(schema))
    return found


async def test_it_asks_once_for_a_connection(counted: Counted) -> None:
    await failure(Version("f(a: str) -> int"), Version("f(a: int) -> int"), "'x'", times=3)
    assert counted.asked == 1


async def test_it_asks_again_when_another_server_is_there(network: MemoryNetwork) -> None:
    method = versioned(1, str).__mro__[1].f
    async with connect(ADDRESS, via=network) as client:
        for version in (2, 3):
            async with serve(versioned(version, int)(), ADDRESS, via=network):
                with pytest.raises(InvalidArgument) as caught:
                    await client.call(method, "x")
                assert f"the server has version {version} of" in caught.value.next_step


async def test_it_asks_only_when_a_contract_may_be_why(counted: Counted) -> None:
    raises = Version("f() -> None", gives=["NotFound('x')", "ValueError('x')"])
    for _ in range(2):
        await failure(Version("f() -> None"), raises)
    assert counted.asked == 0


async def test_a_call_that_only_fails_stays_as_it_is() -> None:
    same = Version("f(a: Annotated[int, Field(ge=0)]) -> None")
    error = await failure(same, same, "-1")
    assert "contracts differ" not in error.message


@pytest.mark.parametrize(
    "told",
    ["", "[", "[]", "{}", "[" * 100_000, json.dumps({"name": "s", "version": 1}), "x" * (1 << 21)],
    ids=lambda text: text[:10],
)
async def test_a_server_that_tells_nonsense_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    async def schema(self: Reflection, service: str) -> str:
        return told

    monkeypatch.setattr(Reflection, "schema", rpc(schema))
    error = await failure(Version("f(a: str) -> int"), Version("f(a: int) -> int"), "'x'")
    assert isinstance(error, InvalidArgument)
    assert "contracts differ" not in error.message


async def test_it_asks_within_the_time_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[float | None] = []

    async def schema(self: Reflection, service: str) -> str:
        left.append(current_call().remaining)
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(Reflection, "schema", rpc(schema))
    client = Version("f(a: str) -> int", options="@rpc(timeout=0.05)")
    error = await failure(client, Version("f(a: int) -> int"), "'x'")
    assert isinstance(error, InvalidArgument)
    assert left[0] is not None
    assert left[0] <= 0.05


async def test_many_calls_are_told_as_well(counted: Counted) -> None:
    async with test_client(versioned(2, int)()) as client:
        method = versioned(1, str).__mro__[1].f
        first, second = await client.call_many(method, ["x", "y"], return_exceptions=True)
        for error in (first, second):
            assert "this client sends str, and the server takes int" in str(error)
        with pytest.raises(InvalidArgument, match="the contracts differ: a: this client sends"):
            await client.call_many(method, ["x"])
    assert counted.asked == 1


async def test_reflection_tells_the_schema_of_any_service_of_its_server() -> None:
    async with test_client(versioned(4, int)()) as client:
        reflection = client.stub(ReflectionContract)
        assert json.loads(await reflection.schema("s"))["version"] == 4
        assert json.loads(await reflection.schema("mrpc.reflection"))["name"] == "mrpc.reflection"
        with pytest.raises(RpcError, match="there is no service t here"):
            await reflection.schema("t")


async def test_a_stream_is_told_as_well() -> None:
    @service("s", version=2)
    class Streaming:
        @rpc
        def f(self, a: int) -> AsyncIterator[int]:
            raise NotImplementedError

    async with test_client(versioned(1, int)()) as client:
        items = client.stub(Streaming).f(1)
        with pytest.raises(Unimplemented, match="f is unary here, not server_stream; the contr"):
            await anext(items)

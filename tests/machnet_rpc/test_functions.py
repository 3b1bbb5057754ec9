"""Services made of functions: served as they stand, called by their names, checked like classes."""

import sys
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Any, assert_type

import pytest

from machnet_rpc import Client, ContractError, NotFound, Service, Stream
from machnet_rpc.testing import test_client

kv = Service("kv", version=2, errors=[KeyError])
ROWS: dict[str, bytes] = {}


@kv.rpc
async def get(key: str) -> bytes:
    """The row of a key."""
    if key not in ROWS:
        raise NotFound(key)
    return ROWS[key]


@kv.rpc(timeout=3.0, idempotent=True)
async def put(key: str, value: bytes = b"empty") -> None:
    ROWS[key] = value


@kv.rpc
async def load(rows: AsyncIterable[tuple[str, bytes]]) -> int:
    ROWS.update({key: value async for key, value in rows})
    return len(ROWS)


@kv.rpc
async def keys(prefix: str) -> AsyncIterator[str]:
    for key in sorted(ROWS):
        if key.startswith(prefix):
            yield key


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    ROWS.clear()
    async with test_client(kv) as client:
        yield client


async def some() -> AsyncIterator[tuple[str, bytes]]:
    for number in range(3):
        yield f"key {number}", b"row"


async def test_functions_are_served_and_called(client: Client) -> None:
    await client.call(put, "a", b"1")
    await client.call(put, key="b")
    assert_type(await client.call(get, "a"), bytes)
    assert await client.call(get, "a") == b"1"
    assert await client.call(get, "b") == b"empty"
    assert await client.call("kv/get", "a") is not None
    with pytest.raises(NotFound):
        await client.call(get, "c")


async def test_to_call_a_function_is_to_call_the_function() -> None:
    ROWS.clear()
    await put("a", value=b"1")
    assert_type(await get("a"), bytes)
    assert await get(key="a") == b"1"
    assert await load(some()) == 4
    assert_type(keys("k"), AsyncIterator[str])
    assert [key async for key in keys("key")] == ["key 0", "key 1", "key 2"]
    with pytest.raises(TypeError):
        await get("a", "b")  # type: ignore[call-arg]


async def test_functions_with_streams(client: Client) -> None:
    assert await client.call(load, some()) == 3
    assert_type(client.stream(keys, "key"), Stream[str])
    assert [key async for key in client.stream(keys, "key")] == ["key 0", "key 1", "key 2"]


async def test_a_stub_of_functions(client: Client) -> None:
    stub: Any = client.stub(kv.contract)
    await stub.put("a", b"1")
    assert await stub.get("a") == b"1"


def test_functions_are_checked() -> None:
    wrong = Service("wrong")
    with pytest.raises(ContractError, match="cannot name a service"):
        Service("a/b")

    async def twice() -> None:
        pass

    wrong.rpc(twice)
    with pytest.raises(ContractError, match="wrong/twice is there already"):
        wrong.rpc(twice)
    assert repr(wrong) == "<Service wrong>"
    assert get.full_name == "kv/get"
    assert get.__doc__ == "The row of a key."


LATER = """
later = Service("later")

@later.rpc
async def price(fruit: Fruit) -> int:
    return len(fruit.name)

@dataclass
class Fruit:
    name: str
"""


@pytest.mark.skipif(sys.version_info < (3, 14), reason="hints are resolved where they stand")
async def test_hints_name_what_is_defined_later() -> None:
    module: dict[str, Any] = {"Service": Service, "dataclass": dataclass}
    exec(LATER, module)
    async with test_client(module["later"]) as client:
        assert await client.call(module["price"], module["Fruit"]("fig")) == 3

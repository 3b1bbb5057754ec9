"""The key–value service over calls: every method, every error, and a whole workload."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from examples.kvstore.contract import KeyValue
from examples.kvstore.play import play_workload
from examples.kvstore.server import KeyValueServer
from examples.kvstore.store import (
    ENTRY_BYTES,
    KeyInvalidError,
    KeyMissingError,
    Limits,
    Page,
    Store,
    StoreFullError,
    ValueTooLargeError,
)
from examples.kvstore.workload import BUILT_IN
from machnet_rpc import MemoryNetwork, connect, serve

ADDRESS = "127.0.0.1:7100"


@pytest.fixture
async def store() -> AsyncIterator[KeyValue]:
    network = MemoryNetwork()
    limits = Limits(bytes_max=300_000, value_bytes_max=100_000)
    async with (
        serve(KeyValueServer(Store(limits)), ADDRESS, via=network),
        connect(ADDRESS, via=network) as client,
    ):
        yield client.stub(KeyValue)


async def test_every_method(store: KeyValue) -> None:
    assert await store.put(b"b\xff", b"2")
    assert await store.put(b"a", b"")
    assert not await store.put(b"a", b"\x00\xff")
    assert await store.get(b"a") == b"\x00\xff"
    assert await store.mget([b"b\xff", b"c", b"a"]) == [b"2", None, b"\x00\xff"]
    assert await store.scan(b"a", 1) == Page([(b"a", b"\x00\xff")], b"b\xff")
    assert await store.scan(b"b", 10) == Page([(b"b\xff", b"2")], None)
    assert await store.delete(b"a")
    assert not await store.delete(b"a")


async def test_every_error_arrives_as_what_it_is(store: KeyValue) -> None:
    with pytest.raises(KeyMissingError, match="no such key"):
        await store.get(b"a")
    with pytest.raises(KeyInvalidError, match="0 bytes"):
        await store.put(b"", b"")
    with pytest.raises(ValueTooLargeError, match="100001 bytes"):
        await store.put(b"a", bytes(100_001))
    with pytest.raises(ValueTooLargeError, match="limit 0"):
        await store.scan(b"a", 0)
    await store.put(b"a", bytes(100_000))
    await store.put(b"b", bytes(100_000))
    with pytest.raises(StoreFullError, match=f"{200_002 + 2 * ENTRY_BYTES} of 300000"):
        await store.put(b"c", bytes(100_000))


async def test_a_value_longer_than_a_record(store: KeyValue) -> None:
    value = bytes(range(256)) * 390
    await store.put(b"long", value)
    assert await store.get(b"long") == value


async def test_a_workload(store: KeyValue) -> None:
    workload = BUILT_IN["f"].scaled(50, 500)
    played = await play_workload(store, workload, seed=3, window=16)
    assert played.is_right
    assert played.items == 50

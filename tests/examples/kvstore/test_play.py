"""The players against a service in this process: right ones pass, liars are found out."""

from __future__ import annotations

import asyncio

import pytest

from examples.kvstore.play import StoreNotEmptyError, play_trace, play_workload
from examples.kvstore.server import KeyValueServer
from examples.kvstore.store import Limits, Page, Store
from examples.kvstore.trace import page_key
from examples.kvstore.workload import BUILT_IN
from machnet_rpc import Unavailable, rpc


class Busy(KeyValueServer):
    """Answers after others were asked, so that calls overlap."""

    @rpc
    async def get(self, key: bytes) -> bytes:
        await asyncio.sleep(0)
        value = self.store.get(key)
        await asyncio.sleep(0)
        return await KeyValueServer.get.function(self, key) if value is None else value

    @rpc
    async def put(self, key: bytes, value: bytes) -> bool:
        await asyncio.sleep(0)
        is_new = self.store.put(key, value)
        await asyncio.sleep(0)
        return is_new


class Forgetful(Busy):
    """Keeps every second update to itself."""

    puts = 0

    @rpc
    async def put(self, key: bytes, value: bytes) -> bool:
        self.puts += 1
        if self.puts > 200 and self.puts % 2:
            return False
        return self.store.put(key, value)


class Failing(Busy):
    """Fails every tenth get."""

    gets = 0

    @rpc
    async def get(self, key: bytes) -> bytes:
        self.gets += 1
        if self.gets % 10 == 0:
            raise Unavailable("gone for a moment")
        return await Busy.get.function(self, key)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_workloads_come_out_right(name: str) -> None:
    workload = BUILT_IN[name].scaled(100, 1000)
    server = Busy()
    played = asyncio.run(play_workload(server, workload, seed=1, window=16))
    assert played.is_right
    assert played.items == 100
    assert played.load.calls >= 1000
    assert played.answers == played.load.calls + 2 * 100  # also those of loading, and of the walk
    assert played.missed == 0


def test_progress_counts_the_loading_too() -> None:
    workload = BUILT_IN["a"].scaled(300, 100)
    ticks: list[int] = []
    asyncio.run(play_workload(Busy(), workload, seed=1, window=16, progress=ticks.append))
    assert sum(ticks) == 300 + 100


def test_lost_updates_are_found() -> None:
    workload = BUILT_IN["a"].scaled(100, 1000)
    played = asyncio.run(play_workload(Forgetful(), workload, seed=1, window=16))
    assert played.wrong > 0
    assert not played.is_right


def test_failed_calls_are_counted_and_not_taken_for_wrong() -> None:
    workload = BUILT_IN["a"].scaled(100, 1000)
    played = asyncio.run(play_workload(Failing(), workload, seed=1, window=16))
    assert played.load.errors == {"Unavailable": pytest.approx(50, abs=10)}
    assert played.wrong == 0
    assert not played.is_right


def test_trace_puts_what_is_missing() -> None:
    pages = [1, 2, 3, 1, 2, 9] * 10
    played = asyncio.run(play_trace(KeyValueServer(), pages, value_bytes=64, window=1))
    assert played.is_right
    assert (played.missed, played.items, played.load.calls) == (4, 4, 64)
    played = asyncio.run(play_trace(Busy(), pages, value_bytes=64, window=8))
    assert played.is_right
    assert played.items == 4
    assert played.missed >= 4


def test_a_walk_out_of_order_is_found() -> None:
    class Jumbled(KeyValueServer):
        @rpc
        async def scan(self, start: bytes, limit: int) -> Page:
            page = self.store.scan(start, limit)
            return Page(page.items[::-1], page.next_key)

    played = asyncio.run(play_trace(Jumbled(), [1, 2, 3], value_bytes=8, window=1))
    assert not played.is_right


@pytest.mark.parametrize("kept", [0, 1])
def test_a_walk_that_does_not_end_is_found(kept: int) -> None:
    class Endless(KeyValueServer):
        walks = 0

        @rpc
        async def scan(self, start: bytes, limit: int) -> Page:
            self.walks += 1
            assert self.walks < 10, "it walks for ever"
            page = self.store.scan(start, limit)
            return Page(page.items[:kept], start if page.items else None)

    played = asyncio.run(play_trace(Endless(), [1, 2, 3], value_bytes=8, window=1))
    assert not played.is_right


def test_a_put_that_says_the_wrong_thing_is_found() -> None:
    class Mistaken(Busy):
        @rpc
        async def put(self, key: bytes, value: bytes) -> bool:
            return not await Busy.put.function(self, key, value)

    played = asyncio.run(play_trace(Mistaken(), [1, 2], value_bytes=8, window=1))
    assert (played.wrong, played.items) == (2, 2)


def test_a_store_that_held_something_before_is_refused() -> None:
    store = Store()
    store.put(b"\0", b"!")
    with pytest.raises(StoreNotEmptyError, match="start a new one"):
        asyncio.run(play_trace(KeyValueServer(store), [1], value_bytes=8, window=1))


def test_what_nobody_wrote_is_found() -> None:
    class Haunted(KeyValueServer):
        @rpc
        async def put(self, key: bytes, value: bytes) -> bool:
            self.store.put(b"ghost", value)
            return self.store.put(key, value)

    played = asyncio.run(play_trace(Haunted(), [1], value_bytes=8, window=1))
    assert played.wrong == 1


def test_what_is_lost_and_never_asked_for_again_is_found() -> None:
    class Lossy(KeyValueServer):
        @rpc
        async def put(self, key: bytes, value: bytes) -> bool:
            self.store.delete(page_key(1))
            return self.store.put(key, value)

    played = asyncio.run(play_trace(Lossy(), [1, 2], value_bytes=8, window=1))
    assert (played.wrong, played.items) == (1, 1)


def test_a_full_store_ends_the_load_with_its_own_word() -> None:
    server = KeyValueServer(Store(Limits(bytes_max=1000)))
    with pytest.raises(Exception, match=r"the store is full: \d+ of 1000 bytes are taken"):
        asyncio.run(play_trace(server, range(100), value_bytes=64, window=4))

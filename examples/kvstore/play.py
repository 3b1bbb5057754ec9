"""Plays workloads and traces against a key–value service and checks every answer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

from examples.kvstore.contract import KeyValue
from examples.kvstore.oracle import Oracle
from examples.kvstore.store import KeyMissingError, Page
from examples.kvstore.trace import page_key, page_value
from examples.kvstore.workload import (
    Kind,
    Operation,
    Workload,
    load_order,
    operations,
    record,
    with_new_field,
)
from examples.load import LoadResult, Meter, run_load
from machnet_rpc import RpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Progress = Callable[[int], None]

SCAN_ITEMS = 200
FIRST_KEY = b"\0"


class StoreNotEmptyError(Exception):
    """The store holds items that this client did not write, so it cannot check answers."""


@dataclass(frozen=True, slots=True)
class Played:
    """What a load measured, and what the check of its answers found."""

    load: LoadResult
    answers: int  # that were compared with what was written
    wrong: int
    missed: int  # gets of keys that were not there
    items: int  # in the store at the end, each compared again

    @property
    def is_right(self) -> bool:
        """Every answer was right, and no call failed."""
        return self.wrong == 0 and not self.load.errors


class Player:
    """A client that remembers what it wrote."""

    def __init__(self, store: KeyValue) -> None:
        self.meter = Meter(counted=(RpcError,))
        self.oracle = Oracle()
        self.missed = 0
        self._store = store

    async def get(self, key: bytes) -> bytes | None:
        """The value of `key`, compared with what it can be."""
        reading = self.oracle.read_begins(key)
        try:
            value = await self.meter.call(self._store.get(key))
        except KeyMissingError:
            self.missed += 1
            self.oracle.read_ended(reading, None)
            return None
        except BaseException:
            self.oracle.read_failed(reading)
            raise
        self.oracle.read_ended(reading, value)
        return value

    async def put(self, key: bytes, value: bytes) -> None:
        """Write, and remember."""
        write = self.oracle.write_begins(key, value)
        created = await self.meter.call(self._store.put(key, value))
        self.oracle.write_ended(key, write, created=created)

    async def compare_all(self) -> int:
        """Walk the whole store; returns its number of items.

        Keys that the store ought to have and does not count as wrong answers, and so do others. A
        page out of order is one, too, and ends the walk.
        """
        readings = {key: self.oracle.read_begins(key) for key in self.oracle.known_keys()}
        items = 0
        start: bytes | None = FIRST_KEY
        while start is not None:
            page = await self._store.scan(start, SCAN_ITEMS)
            for key, value in page.items:
                items += 1
                reading = readings.pop(key, None) or self.oracle.read_begins(key)
                self.oracle.read_ended(reading, value)
            if not _goes_on(start, page):
                self.oracle.wrong += 1
                break
            start = page.next_key
        for reading in readings.values():
            self.oracle.read_ended(reading, None)
        return items

    async def played(self, load: LoadResult) -> Played:
        """The result of a load, after a last look at everything."""
        items = await self.compare_all()
        return Played(load, self.oracle.answers, self.oracle.wrong, self.missed, items)


async def play_workload(
    store: KeyValue, workload: Workload, *, seed: int, window: int, progress: Progress | None = None
) -> Played:
    """Load the records, play the operations, check all; `progress` counts both.

    Errors: StoreNotEmptyError; RpcError if the records cannot be loaded or checked (those in
    between are counted).
    """
    await _check_empty(store)
    random = Random(seed)
    player = Player(store)

    async def insert(key: bytes) -> None:
        await player.put(key, record(workload, random))

    async def perform(operation: Operation) -> None:
        if operation.kind is Kind.UPDATE:
            await player.put(operation.key, record(workload, random))
            return
        value = await player.get(operation.key)
        if operation.kind is Kind.READ_MODIFY_WRITE and value is not None:
            changed = with_new_field(workload, value, operation.field, random)
            await player.put(operation.key, changed)

    loading = Meter()
    player.meter = loading
    await run_load(load_order(workload), insert, window=window, meter=loading, progress=progress)
    player.meter = Meter(counted=(RpcError,))
    load = await run_load(
        operations(workload, seed),
        perform,
        window=window,
        meter=player.meter,
        progress=progress,
    )
    return await player.played(load)


async def play_trace(
    store: KeyValue,
    pages: Iterable[int],
    *,
    value_bytes: int,
    window: int,
    progress: Progress | None = None,
) -> Played:
    """Get every page, put those that are missing, check all.

    Errors: StoreNotEmptyError; RpcError if the store cannot be checked at the end (those before
    are counted).
    """
    await _check_empty(store)
    player = Player(store)

    async def access(page: int) -> None:
        if await player.get(page_key(page)) is None:
            await player.put(page_key(page), page_value(page, value_bytes))

    load = await run_load(iter(pages), access, window=window, meter=player.meter, progress=progress)
    return await player.played(load)


def _goes_on(start: bytes, page: Page) -> bool:
    """Whether keys ascend from `start`, and `next_key` lies beyond them."""
    keys = [key for key, _ in page.items]
    if page.next_key is not None:
        keys.append(page.next_key)
        if not page.items:
            return False
    ascend = all(before < after for before, after in pairwise(keys))
    return ascend and start <= min(keys, default=start)


async def _check_empty(store: KeyValue) -> None:
    if (await store.scan(FIRST_KEY, 1)).items:
        raise StoreNotEmptyError("the store is not empty; start a new one, as every load checks it")

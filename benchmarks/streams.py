"""Streams of both directions, item after item: this project's, and grpc.aio's."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from time import perf_counter_ns
from typing import Any

from benchmarks.contender import Call, Place
from benchmarks.load import check
from benchmarks.rivals_grpc import Grpc
from benchmarks.rungs import SharedSidecar
from machnet_rpc import rpc, service

ITEMS = 1000  # of each stream
GIVEN, TAKEN = "/rows.Rows/Given", "/rows.Rows/Taken"


@service("rows")
class Rows:
    """Many values in one call."""

    @rpc(timeout=30.0)
    def given(self, row: bytes) -> AsyncIterator[bytes]:
        """The same row again and again."""
        raise NotImplementedError

    @rpc(timeout=30.0)
    async def taken(self, rows: AsyncIterator[bytes]) -> int:
        """How many there were."""
        raise NotImplementedError


class RowsServer(Rows):
    """Gives and takes one after the other."""

    @rpc
    async def given(self, row: bytes) -> AsyncIterator[bytes]:
        async for each in repeated(row):
            yield each

    @rpc
    async def taken(self, rows: AsyncIterator[bytes]) -> int:
        return await counted(rows)


async def repeated(row: bytes) -> AsyncIterator[bytes]:
    """A stream's worth of it."""
    for _ in range(ITEMS):
        yield row


async def counted(rows: AsyncIterator[Any]) -> int:
    """How many there are."""
    count = 0
    async for _ in rows:
        count += 1
    return count


class ItemMeter:
    """Items a second of each direction, while streams run."""

    def __init__(self) -> None:
        self._spent_ns = {"given": 0, "taken": 0}
        self._items = dict.fromkeys(self._spent_ns, 0)

    async def run(self, way: str, stream: Awaitable[int]) -> None:
        """One stream. Errors: ValueError: not all items came."""
        begin_ns = perf_counter_ns()
        check(ITEMS, await stream)
        self._spent_ns[way] += perf_counter_ns() - begin_ns
        self._items[way] += ITEMS

    def figures(self) -> dict[str, float]:
        """Of all streams so far."""
        return {
            f"{way}_items_per_s": 1e9 * count / self._spent_ns[way]
            for way, count in self._items.items()
            if count
        }


class DirectStreams(SharedSidecar):
    """On the direct rung."""

    def __init__(self) -> None:
        super().__init__()
        self._meter = ItemMeter()

    def extra(self) -> dict[str, float]:
        return self._meter.figures()

    def services(self) -> list[Any]:
        """And one with streams."""
        return [*super().services(), RowsServer()]

    @contextlib.asynccontextmanager
    async def client(self, place: Place) -> AsyncGenerator[Call]:
        """A call is one stream of each direction."""
        async with self.connected(place) as client:
            rows = client.stub(Rows)

            async def given(row: bytes) -> int:
                async with rows.given(row) as items:
                    return await counted(items)

            async def call(row: bytes) -> bytes:
                await self._meter.run("given", given(row))
                await self._meter.run("taken", rows.taken(repeated(row)))
                return row

            yield call


class GrpcStreams(Grpc):
    """Over grpc.aio, with bytes as they are."""

    def __init__(self) -> None:
        super().__init__()
        self._meter = ItemMeter()

    def extra(self) -> dict[str, float]:
        return self._meter.figures()

    def handlers(self) -> dict[str, Any]:
        """Of both directions."""
        import grpc

        async def given(row: bytes, context: object) -> AsyncIterator[bytes]:
            del context
            async for each in repeated(row):
                yield each

        async def taken(rows: AsyncIterator[bytes], context: object) -> bytes:
            del context
            return str(await counted(rows)).encode()

        return {
            GIVEN: grpc.unary_stream_rpc_method_handler(given),
            TAKEN: grpc.stream_unary_rpc_method_handler(taken),
        }

    @contextlib.asynccontextmanager
    async def client(self, place: Place) -> AsyncGenerator[Call]:
        """A call is one stream of each direction."""
        async with self.channel(place) as channel:
            give, take = channel.unary_stream(GIVEN), channel.stream_unary(TAKEN)

            async def taken(row: bytes) -> int:
                return int(await take(repeated(row)))

            async def call(row: bytes) -> bytes:
                await self._meter.run("given", counted(give(row)))
                await self._meter.run("taken", taken(row))
                return row

            yield call

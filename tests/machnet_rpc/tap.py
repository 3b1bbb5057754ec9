"""The contract with streams that tests call, and an implementation that notes what it does."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass

from machnet_rpc import NotFound, rpc, service


@dataclass(frozen=True, slots=True)
class Drop:
    number: int
    label: str = ""


@service("tap")
class Tap:
    @rpc
    def run(self, count: int, size: int = 0) -> AsyncIterator[bytes]:
        """So many items of so many bytes, which begin with their number."""
        raise NotImplementedError

    @rpc
    async def total(self, drops: AsyncIterable[Drop], start: int = 0) -> int:
        raise NotImplementedError

    @rpc
    def echo(self, drops: AsyncIterable[Drop], label: str) -> AsyncIterator[Drop]:
        raise NotImplementedError

    @rpc(errors=[KeyError])
    def fail(self, after: int, how: str) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc
    def drip(self, first: int = 1) -> AsyncIterator[int]:
        """Some items, and then none."""
        raise NotImplementedError

    @rpc
    async def first(self, drops: AsyncIterable[Drop]) -> Drop | None:
        """Takes one item only."""
        raise NotImplementedError

    @rpc(oneway=True)
    async def note(self, text: str, seconds: float = 0) -> None:
        raise NotImplementedError


class TapDesk(Tap):
    """Notes in `journal` what starts and how it ends, and in `produced` how far `run` came."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.produced = 0

    @rpc
    async def run(self, count: int, size: int = 0) -> AsyncIterator[bytes]:
        try:
            for number in range(count):
                self.produced += 1
                yield number.to_bytes(4, "big") + bytes(size)
        finally:
            self.journal.append("run is closed")

    @rpc
    async def total(self, drops: AsyncIterable[Drop], start: int = 0) -> int:
        try:
            async for drop in drops:
                self.journal.append(drop.label)
                start += drop.number
        except asyncio.CancelledError:
            self.journal.append("total is cancelled")
            raise
        return start

    @rpc
    async def echo(self, drops: AsyncIterable[Drop], label: str) -> AsyncIterator[Drop]:
        async for drop in drops:
            yield Drop(drop.number, label)

    @rpc
    async def fail(self, after: int, how: str) -> AsyncIterator[int]:
        for number in range(after):
            yield number
        match how:
            case "not found":
                raise NotFound("no more", next_step="Stop.")
            case "declared":
                raise KeyError(after)
            case "wrong item":
                yield "text"  # type: ignore[misc]
            case _:
                raise ValueError(how)

    @rpc
    async def drip(self, first: int = 1) -> AsyncIterator[int]:
        try:
            for number in range(first):
                yield number
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.journal.append("drip is cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            self.journal.append("drip is closed")

    @rpc
    async def first(self, drops: AsyncIterable[Drop]) -> Drop | None:
        async for drop in drops:
            return drop
        return None

    @rpc(oneway=True)
    async def note(self, text: str, seconds: float = 0) -> None:
        await asyncio.sleep(seconds)
        self.journal.append(text)
        if text == "fail":
            raise ValueError(text)


class Source:
    """An endless stream, or one of `count` items, that notes whether it was closed."""

    def __init__(self, count: int = 1 << 40, *, waits: bool = False) -> None:
        self.count = count
        self.given = 0
        self.is_closed = False
        self._waits = waits  # forever, after the last

    async def items(self) -> AsyncIterator[Drop]:
        try:
            for number in range(self.count):
                self.given += 1
                yield Drop(number, "x")
            if self._waits:
                await asyncio.sleep(60)
        finally:
            self.is_closed = True

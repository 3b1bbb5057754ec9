"""What `differential.py` calls: a contract with a method of each kind, and handlers that obey.

An argument says how its handler waits, and how it ends.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from machnet_rpc import Aborted, Client, NotFound, current_call, rpc, service
from machnet_rpc.context import CURRENT

LARGE: Final = 200_000
LONG: Final = 30.0  # no handler ends by itself after that, and no call has so much time


class Declared(Exception):
    pass


class Unheard(BaseException):
    pass


class Order(BaseModel):
    how: str
    number: int = 0
    data: bytes = b""


class Never:
    """Can be awaited, and is not."""

    def __await__(self) -> Any:
        raise AssertionError

    def __repr__(self) -> str:
        return "<never>"


@dataclass
class Broken(Exception):
    how: str
    number: int


@service("diff", errors=[Declared, Broken])
class Diff:
    @rpc(timeout=LONG)
    async def raw(self, how: bytes) -> bytes:
        raise NotImplementedError

    @rpc(timeout=LONG)
    async def view(self, how: memoryview) -> memoryview:
        raise NotImplementedError

    @rpc(timeout=LONG)
    async def model(self, order: Order) -> Order:
        raise NotImplementedError

    @rpc(timeout=LONG, lane=3)
    async def several(self, how: str, number: int = 1, *, data: bytes = b"") -> int:
        raise NotImplementedError

    @rpc(timeout=LONG, idempotent=True)
    async def again(self, how: str) -> str:
        raise NotImplementedError

    @rpc(timeout=LONG, idempotent="keyed")
    async def keyed(self, how: str) -> str:
        raise NotImplementedError

    @rpc(timeout=LONG, oneway=True)
    async def tell(self, how: str) -> None:
        raise NotImplementedError

    @rpc(timeout=LONG)
    def give(self, how: str) -> AsyncIterator[bytes]:
        raise NotImplementedError

    @rpc(timeout=LONG)
    async def take(self, how: str, items: AsyncIterable[bytes]) -> int:
        raise NotImplementedError

    @rpc(timeout=LONG)
    def both(self, items: AsyncIterable[str]) -> AsyncIterator[str]:
        raise NotImplementedError


RAISED: Final[dict[str, Callable[[], BaseException]]] = {
    "declared": lambda: Declared("a", 1),
    "data": lambda: Broken("b", 2),
    "not found": lambda: NotFound("c", next_step="Look elsewhere."),
    "aborted": lambda: Aborted("d"),
    "undeclared": lambda: KeyError("e"),
    "unheard": lambda: Unheard("f"),
    "cancelled": lambda: asyncio.CancelledError("g"),
    "exit": lambda: GeneratorExit("h"),
    "stop": lambda: StopAsyncIteration("i"),
    "timeout": lambda: TimeoutError("j"),
    "recursion": lambda: RecursionError("k"),
    "group": lambda: BaseExceptionGroup("l", [Unheard("m"), ValueError("n")]),
}
WRONG: Final[dict[str, Callable[[], Any]]] = {
    "none": lambda: None,
    "number": lambda: 5,
    "text": lambda: "text",
    "coroutine": lambda: asyncio.sleep(0),
    "array": lambda: bytearray(b"array"),
    "strided": lambda: memoryview(b"abcdef")[::2],
    "awaitable": Never,
    "class": lambda: bytes,
    "subclass": lambda: type("Bytes", (bytes,), {})(b"subclass"),
    "large": lambda: b"l" * LARGE,
}
WAITS: Final = ("never", "once", "often", "future", "for ever", "stubborn")


class Handlers(Diff):
    """Does what each call says: waits, then ends somehow."""

    def __init__(self) -> None:
        self.journal: dict[str, list[str]] = {}
        self.back: Client | None = None
        self.begun: dict[str, asyncio.Event] = {}

    def note(self, tag: str, what: str) -> None:
        self.journal.setdefault(tag, []).append(what)

    async def act(self, how: str) -> Any:
        """`how`: a tag, how to wait, and how to end."""
        tag, waits, ends = how.split("/")
        call = current_call()
        metadata = sorted(call.metadata.items())
        has_time = call.remaining is not None
        key = call.key is not None
        self.note(tag, f"{call.method} {metadata} {has_time} {key} {_priority()}")
        self.begun.setdefault(tag, asyncio.Event()).set()
        try:
            await self._wait(waits)
        except asyncio.CancelledError:
            self.note(tag, "cancelled")
            if waits != "stubborn":
                raise
            await asyncio.sleep(0)
        if ends == "reply metadata":
            current_call().reply_metadata["from"] = "handler"
        if ends == "bad metadata":
            current_call().reply_metadata["Not A Name"] = "handler"
        if ends == "back":
            assert self.back is not None
            return await self.back.stub(Diff).raw(f"{tag}b/once/ok".encode())
        if ends == "cancel itself":
            task = asyncio.current_task()
            assert task is not None
            task.cancel("itself")
        if ends in RAISED:
            error = RAISED[ends]()
            raise error
        self.note(tag, "ended")
        return WRONG[ends]() if ends in WRONG else None

    async def _wait(self, waits: str) -> None:
        match waits:
            case "once":
                await asyncio.sleep(0)
            case "often":
                for _ in range(5):
                    await asyncio.sleep(0.001)
            case "future":
                future = asyncio.get_running_loop().create_future()
                asyncio.get_running_loop().call_later(0.002, future.set_result, None)
                await future
            case "for ever" | "stubborn":
                await asyncio.get_running_loop().create_future()
            case _:
                pass

    @rpc
    async def raw(self, how: bytes) -> bytes:
        given = await self.act(how.partition(b"|")[0].decode())
        return how if given is None else given

    @rpc
    async def view(self, how: memoryview) -> memoryview:
        given = await self.act(bytes(how).partition(b"|")[0].decode())
        return how if given is None else given

    @rpc
    async def model(self, order: Order) -> Order:
        given = await self.act(order.how)
        return order if given is None else given

    @rpc
    async def several(self, how: str, number: int = 1, *, data: bytes = b"") -> int:
        given = await self.act(how)
        return number + len(data) if given is None else given

    @rpc
    async def again(self, how: str) -> str:
        given = await self.act(how)
        return how if given is None else given

    @rpc
    async def keyed(self, how: str) -> str:
        given = await self.act(how)
        return how if given is None else given

    @rpc
    async def tell(self, how: str) -> None:
        await self.act(how)

    @rpc
    async def give(self, how: str) -> AsyncIterator[bytes]:
        tag = how.split("/")[0]
        try:
            for number in range(3):
                yield bytes([number]) * (number * 50_000 + 1)
            given = await self.act(how)
            yield b"last" if given is None else given
        finally:
            self.note(tag, "closed")

    @rpc
    async def take(self, how: str, items: AsyncIterable[bytes]) -> int:
        size = 0
        async for item in items:
            size += len(item)
        given = await self.act(how)
        return size if given is None else given

    @rpc
    async def both(self, items: AsyncIterable[str]) -> AsyncIterator[str]:
        async for item in items:
            given = await self.act(item)
            yield item if given is None else given


def _priority() -> int:
    call = CURRENT.get()
    assert call is not None
    return call.priority

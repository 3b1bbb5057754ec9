"""A seeded random sequence of calls, and what came of each, to be compared between two crossings.

`python -m tests.machnet_rpc.differential --seed 1` prints a line for each operation. Which of them
are under way at once is part of the sequence; no outcome depends on which comes first.
"""

import argparse
import asyncio
import gc
import logging
import random
import re
from collections.abc import AsyncIterable, AsyncIterator, Awaitable
from typing import Any, Final

import uvloop

from machnet_rpc import Client, RpcError, Stream, connect, serve
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.differential_handlers import (
    LARGE,
    LONG,
    RAISED,
    WAITS,
    WRONG,
    Declared,
    Diff,
    Handlers,
    Order,
)
from transport_engine.config import EngineConfig

SHORT: Final = 0.08
ADDRESSES: Final = re.compile(r"127\.0\.0\.1:\d+|0x[0-9a-f]+")
CALLS: Final = ("raw", "view", "model", "several", "again", "keyed")
STREAMS: Final = ("give", "leave", "take", "break", "both")
ENDS_AT_ONCE: Final = ("tell", "break", "unknown")  # whatever their handler does
OTHER: Final = ("ok", "ok", "reply metadata", "bad metadata", "back", "cancel itself")


class Sequence:
    """One seed's operations."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.handlers = Handlers()
        self.count = 0
        self.never: list[str] = []  # the tags of calls that were not executed, it is said

    async def run(self, via: Via, operations: int) -> list[str]:
        """What came of each, in the order in which they were begun."""
        ends: list[tuple[str, str]] = []
        async with (
            serve(self.handlers, "127.0.0.1:0", via=via, grace=1.0) as server,
            connect(server.address, via=via, timeout=LONG) as client,
            connect(server.address, via=via, timeout=LONG) as back,
        ):
            self.handlers.back = back
            while self.count < operations:
                some = [self.operation(client) for _ in range(self.chance.randrange(1, 9))]
                ends += await asyncio.gather(*some)
        journal = self.handlers.journal
        assert not journal.keys() & self.never
        return [
            ADDRESSES.sub("ADDRESS", f"{end} {journal.get(tag)} {journal.get(tag + 'b')}")
            for tag, end in ends
        ]

    def operation(self, client: Client) -> Awaitable[tuple[str, str]]:
        chance = self.chance
        self.count += 1
        tag = f"t{self.count}"
        waits = chance.choice(WAITS if chance.random() < 0.5 else WAITS[:3])
        ends = chance.choice(["ok", *RAISED, *WRONG, *OTHER])
        how = f"{tag}/{waits}/{ends}"
        fate = "none"
        if waits in ("for ever", "stubborn"):
            fate = chance.choice(["cancelled", "late"])
        elif chance.random() < 0.1:
            fate = "at once"
        kind = chance.choice([*CALLS, *CALLS, "tell", *STREAMS, "unknown", "plain"])
        fate = "left" if kind == "leave" else fate
        options: dict[str, Any] = {}
        if chance.random() < 0.2:
            options["metadata"] = {"a": "b", "c-bin": b"\0"}
        if chance.random() < 0.2:
            options["priority"] = chance.randrange(8)
        back: dict[str, str | bytes] = {}
        if chance.random() < 0.2:
            options["reply_metadata"] = back
        if fate == "late" and kind not in ENDS_AT_ONCE:
            options["timeout"] = SHORT
        using = client.using(**options)
        large = LARGE if chance.random() < 0.1 else 0
        return self.outcome(
            tag,
            f"{kind} {how} {fate} {options} {large}",
            fate,
            back,
            self.call(using, kind, how, large),
        )

    async def outcome(
        self, tag: str, what: str, fate: str, back: dict[str, Any], call: Awaitable[Any]
    ) -> tuple[str, str]:
        task = asyncio.ensure_future(call)
        if fate == "at once":
            task.cancel()
        elif fate == "cancelled":
            event = self.handlers.begun.setdefault(tag, asyncio.Event())
            begun = asyncio.ensure_future(event.wait())
            await asyncio.wait([begun, task], return_when=asyncio.FIRST_COMPLETED)
            begun.cancel()
            task.cancel()
        try:
            end = shown(await task)
        except asyncio.CancelledError:
            end = "cancelled"
        except BaseException as error:  # noqa: BLE001 (it is what is compared)
            end = f"{type(error).__name__} {error.args if isinstance(error, Declared) else error}"
            if isinstance(error, RpcError) and error.executed == "no":
                self.never.append(tag)
            if isinstance(error, RpcError) and fate == "late":
                end = error.code.name  # either side may say so first
        if fate in ("late", "left"):
            tag = ""  # how far the handler came is chance
        return tag, f"{what} -> {end} {sorted(back.items())}"

    def call(self, client: Client, kind: str, how: str, large: int) -> Awaitable[Any]:
        stub, rest = client.stub(Diff), b"|" + b"x" * large
        match kind:
            case "raw":
                return stub.raw(how.encode() + rest)
            case "view":
                return stub.view(memoryview(how.encode() + rest))
            case "model":
                return stub.model(Order(how=how, number=7, data=rest))
            case "several":
                return stub.several(how, 3, data=rest)
            case "again":
                return stub.again(how)
            case "keyed":
                return stub.keyed(how)
            case "tell":
                return stub.tell(how)
            case "give":
                return drained(stub.give(how))
            case "leave":
                return first(stub.give(how))
            case "take":
                return stub.take(how, several(rest))
            case "break":
                return stub.take(how, broken())
            case "both":
                return drained(stub.both(lone(how)))
            case "unknown":
                return client.call("diff/unknown", how)
            case _:
                return client.call("diff/again", how)


async def drained(items: AsyncIterable[object]) -> list[str]:
    return [shown(item) async for item in items]


async def first(items: Stream[bytes]) -> str:
    async with items:
        return shown(await anext(items))


async def broken() -> AsyncIterator[bytes]:
    yield b"a"
    raise KeyError("on purpose")


async def several(rest: bytes) -> AsyncIterator[bytes]:
    for number in range(4):
        yield rest * number


async def lone(how: str) -> AsyncIterator[str]:
    yield how


def shown(value: object) -> str:
    text = repr(bytes(value) if isinstance(value, memoryview) else value)
    return text if len(text) < 200 else f"{text[:100]}... {len(text)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--operations", type=int, default=300)
    parser.add_argument("--collect", action="store_true", help="garbage, as often as can be")
    arguments = parser.parse_args()
    logging.disable()
    if arguments.collect:
        gc.set_threshold(1)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sequence = Sequence(arguments.seed).run(EngineConfig(), arguments.operations)
        print(*runner.run(sequence), sep="\n")


if __name__ == "__main__":
    main()

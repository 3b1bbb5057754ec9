"""Payloads that no client of the contract would send, thrown at a server: an error each, server up.

They are random bytes, random values, and what a client would send with bytes changed, cut or put
in; all under one seed. `make payloads` throws a million.
"""

import argparse
import asyncio
import dataclasses
import datetime as dt
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import uvloop
from pydantic import BaseModel, Field

from idl import CodecError, pack
from machnet_rpc import Client, InvalidArgument, rpc, service
from machnet_rpc._binding import MethodBinding
from machnet_rpc.service import resolve
from machnet_rpc.testing import test_client

TOGETHER = 64  # calls under way at once
LENGTH_MAX = 64
KEYS = ("name", "sizes", "inner", "at", "parts", "point", "names", "x", "y", 1, b"", None)


class Model(BaseModel):
    name: str = Field(min_length=1)
    sizes: list[int]
    inner: dict[str, "Model"] = {}


class Struct(msgspec.Struct):
    name: str
    at: dt.datetime
    parts: "list[Struct]" = []


@dataclasses.dataclass
class Point:
    x: int
    y: float


@service("target")
class Target:
    @rpc
    async def model(self, model: Model) -> None:
        raise NotImplementedError

    @rpc
    async def struct(self, struct: Struct) -> None:
        raise NotImplementedError

    @rpc
    async def several(self, point: Point, names: set[str], when: dt.date | None = None) -> None:
        raise NotImplementedError

    @rpc
    async def number(self, number: int) -> None:
        raise NotImplementedError

    @rpc
    async def either(self, either: list[Point] | dict[int, Struct]) -> None:
        raise NotImplementedError


class Implementation(Target):
    """Takes what is of its types; that nothing else reaches it is what is tried here."""

    def __init__(self) -> None:
        self.handled = 0

    @rpc
    async def model(self, model: Model) -> None:
        assert isinstance(model, Model)
        self.handled += 1

    @rpc
    async def struct(self, struct: Struct) -> None:
        assert isinstance(struct, Struct)
        self.handled += 1

    @rpc
    async def several(self, point: Point, names: set[str], when: dt.date | None = None) -> None:
        assert isinstance(point, Point)
        assert isinstance(names, set)
        self.handled += 1

    @rpc
    async def number(self, number: int) -> None:
        assert isinstance(number, int)
        self.handled += 1

    @rpc
    async def either(self, either: list[Point] | dict[int, Struct]) -> None:
        assert isinstance(either, list | dict)
        self.handled += 1


NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
HONEST: dict[str, tuple[Any, ...]] = {
    "model": (Model(name="a", sizes=[1, 2], inner={"b": Model(name="b", sizes=[])}),),
    "struct": (Struct("a", NOON, [Struct("b", NOON)]),),
    "several": (Point(1, 2.0), {"a"}, NOON.date()),
    "number": (1 << 70,),
    "either": ([Point(1, 2.0)],),
}


@dataclasses.dataclass
class Outcome:
    """How the calls ended; `wrong` are those that ended in no way that they may."""

    refused: int = 0
    taken: int = 0
    wrong: Counter[str] = dataclasses.field(default_factory=Counter[str])


async def throw(count: int, seed: int) -> Outcome:
    """Throws `count` payloads, and then sees that the server still answers."""
    outcome, implementation = Outcome(), Implementation()
    bindings = resolve(Target).methods
    waiting = payloads(random.Random(seed), bindings, count)
    async with test_client(implementation) as client:

        async def some() -> None:
            for name, payload in waiting:
                await _one(client, bindings[name], payload, outcome)

        await asyncio.gather(*(some() for _ in range(TOGETHER)))
        assert implementation.handled == outcome.taken
        stub = client.stub(Target)
        for name, arguments in HONEST.items():
            assert await getattr(stub, name)(*arguments) is None
    return outcome


def payloads(
    chance: random.Random, bindings: dict[str, MethodBinding], count: int
) -> Iterator[tuple[str, bytes]]:
    """Names of methods, and what is sent to them."""
    honest = {
        name: bytes(bindings[name].arguments.encode(arguments, {}))
        for name, arguments in HONEST.items()
    }
    names = sorted(honest)
    for _ in range(count):
        name = chance.choice(names)
        kind = chance.random()
        if kind < 0.3:
            yield name, chance.randbytes(chance.randrange(LENGTH_MAX))
        elif kind < 0.5:
            yield name, pack(_value(chance, 4))
        else:
            yield name, _changed(chance, honest[name])


async def _one(client: Client, binding: MethodBinding, payload: bytes, outcome: Outcome) -> None:
    try:
        await client.call(binding.full_name, payload)
    except InvalidArgument as error:
        if error.executed == "no":
            outcome.refused += 1
        else:
            outcome.wrong[repr(error)] += 1
    except Exception as error:  # noqa: BLE001 (it is what is counted)
        outcome.wrong[repr(error)] += 1
    else:
        try:
            binding.arguments.decode(payload)
        except CodecError as error:
            outcome.wrong[f"taken: {error}"] += 1
        outcome.taken += 1


def _changed(chance: random.Random, payload: bytes) -> bytes:
    data = bytearray(payload)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                del data[at:]
            case 1:
                data[at:at] = chance.randbytes(chance.randrange(1, 4))
            case 2:
                del data[at : at + chance.randrange(1, 4)]
            case _:
                data[at : at + 1] = chance.randbytes(1)
    return bytes(data)


def _value(chance: random.Random, depth: int) -> Any:
    match chance.randrange(8 if depth else 6):
        case 0:
            return None
        case 1:
            return chance.random() < 0.5
        case 2:
            return chance.getrandbits(chance.randrange(1, 100)) - (1 << 40)
        case 3:
            return chance.uniform(-1e6, 1e6)
        case 4:
            return chance.choice(["", "a", "name", "2026-01-02", "5", "x" * 40])
        case 5:
            return chance.randbytes(chance.randrange(8))
        case 6:
            return [_value(chance, depth - 1) for _ in range(chance.randrange(4))]
        case _:
            keys = (
                "name",
                "sizes",
                "inner",
                "at",
                "parts",
                "point",
                "names",
                "x",
                "y",
                1,
                b"",
                None,
            )
            return {
                chance.choice(keys): _value(chance, depth - 1) for _ in range(chance.randrange(5))
            }


def main() -> None:
    """Throws as many as the command line says, and prints what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    started = time.process_time()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(throw(arguments.count, arguments.seed))
    print(
        f"{arguments.count} payloads, seed {arguments.seed}: {outcome.refused} refused, "
        f"{outcome.taken} were arguments after all, {sum(outcome.wrong.values())} wrong; "
        f"server up; {time.process_time() - started:.0f} s of CPU"
    )
    for sentence, count in outcome.wrong.most_common(5):
        print(f"  {count} × {sentence}")
    raise SystemExit(1 if outcome.wrong else 0)


if __name__ == "__main__":
    main()

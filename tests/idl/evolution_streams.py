"""Pairs of contracts with streams, or without answers, and what becomes of their calls."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from idl import ServiceDescription
from machnet_rpc import RpcError
from machnet_rpc.testing import test_client
from tests.idl.evolution import Outcome, Verdict, Version

SECONDS_MAX = 5.0
TAKES_STREAM = ("client_stream", "bidirectional")
GIVES_STREAM = ("server_stream", "bidirectional")


@dataclass(frozen=True)
class StreamVersion:
    """One method `f` of at most one argument, `a`, as a signature, with what travels."""

    signature: str
    sends: tuple[Any, ...] = ()
    gives: tuple[Any, ...] = ()
    options: str = "@rpc"

    @property
    def version(self) -> Version:
        return Version(self.signature, options=self.options)

    @property
    def schema(self) -> ServiceDescription:
        return self.version.schema

    @property
    def kind(self) -> str:
        return self.schema.methods["f"].kind

    def serving(self, taken: list[Any]) -> object:
        """An implementation that notes what it takes."""
        namespace = self.version.namespace()
        has_argument = "f(a" in self.signature
        takes = "taken.append(a)" if has_argument else "pass"
        if self.kind in TAKES_STREAM:
            takes = "taken.extend([each async for each in a])"
        answers = "for each in gives: yield each"
        if self.kind not in GIVES_STREAM:
            answers = "return None" if self.kind == "oneway" else "return gives[0]"
        head = self.signature.replace("f(", "f(self, " if has_argument else "f(self", 1)
        lines = ["class S(C):", f"    {self.options}", f"    async def {head}:"]
        text = "\n".join([*lines, f"        {takes}", f"        {answers}"])
        exec(text, namespace | {"taken": taken, "gives": self.gives}, namespace)
        return namespace["S"]()


@dataclass(frozen=True)
class StreamPair:
    """Two versions, and the verdict for each sort of clients."""

    name: str
    old: StreamVersion
    new: StreamVersion
    old_clients: Verdict
    new_clients: Verdict


async def stream_outcome(client: StreamVersion, server: StreamVersion) -> Outcome:
    """What becomes of one call and of all that travels with it."""
    taken: list[Any] = []
    async with test_client(server.serving(taken)) as connected, asyncio.timeout(SECONDS_MAX):
        stub = connected.stub(client.version.namespace()["C"])
        try:
            given = await _called(stub.f, client)
            await asyncio.sleep(0)  # for calls that nobody waits for
        except RpcError:
            return "fails"
    is_whole = taken == list(client.sends) and given == list(server.gives)
    return "whole" if is_whole else "changed"


async def _called(method: Any, client: StreamVersion) -> list[Any]:
    kind = client.kind
    arguments = (_items(client.sends),) if kind in TAKES_STREAM else client.sends
    if kind in GIVES_STREAM:
        return [each async for each in method(*arguments)]
    result = await method(*arguments)
    return [] if kind == "oneway" else [result]


async def _items(values: tuple[Any, ...]) -> AsyncIterator[Any]:
    for each in values:
        yield each


def _pair(name: str, old: StreamVersion, new: StreamVersion, *verdicts: Verdict) -> StreamPair:
    return StreamPair(name, old, new, *verdicts)


V = StreamVersion
STREAMS = [
    _pair(
        "unary to server stream",
        V("f() -> int", gives=(5,)),
        V("f() -> AsyncIterator[int]", gives=(5, 6)),
        "breaking",
        "breaking",
    ),
    _pair(
        "items may be none",
        V("f() -> AsyncIterator[int]", gives=(5,)),
        V("f() -> AsyncIterator[int | None]", gives=(5, None)),
        "breaking",
        "compatible",
    ),
    _pair(
        "bytes to text",
        V("f() -> AsyncIterator[bytes]", gives=(b"\xff",)),
        V("f() -> AsyncIterator[str]", gives=("x",)),
        "breaking",
        "breaking",
    ),
    _pair(
        "requests may be none",
        V("f(a: AsyncIterator[int]) -> int", (5, 6), (1,)),
        V("f(a: AsyncIterator[int | None]) -> int", (5, None), (1,)),
        "compatible",
        "breaking",
    ),
    _pair(
        "stream to list",
        V("f(a: AsyncIterator[int]) -> int", (5, 6), (1,)),
        V("f(a: list[int]) -> int", ([5, 6],), (1,)),
        "breaking",
        "breaking",
    ),
    _pair(
        "requests retyped",
        V("f(a: AsyncIterator[int]) -> AsyncIterator[str]", (5,), ("g",)),
        V("f(a: AsyncIterator[str]) -> AsyncIterator[str]", ("x",), ("g",)),
        "breaking",
        "breaking",
    ),
    _pair(
        "unary to one-way",
        V("f(a: int) -> None", (5,), (None,)),
        V("f(a: int) -> None", (5,), (), "@rpc(oneway=True)"),
        "breaking",
        "breaking",
    ),
    _pair(
        "the same",
        V("f(a: AsyncIterator[int]) -> AsyncIterator[int]", (5, 6), (7,)),
        V("f(a: AsyncIterator[int]) -> AsyncIterator[int]", (8,), ()),
        "compatible",
        "compatible",
    ),
    _pair(
        "one-way still",
        V("f(a: int) -> None", (5,), (), "@rpc(oneway=True)"),
        V("f(a: int | None) -> None", (None,), (), "@rpc(oneway=True)"),
        "compatible",
        "breaking",
    ),
]

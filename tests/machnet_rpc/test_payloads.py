"""Any payload gets an error or is a value of its type; any value of any type crosses the wire."""

import asyncio
import math
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from decimal import Decimal
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from machnet_rpc import Client, MemoryNetwork, connect, rpc, serve, service
from tests.idl.values import TYPES, Point, Tree
from tests.machnet_rpc.payloads import throw
from transport_engine.config import EngineConfig

Way = MemoryNetwork | EngineConfig


async def test_random_payloads_get_an_error_each() -> None:
    outcome = await throw(3000, seed=1)
    assert not outcome.wrong
    assert outcome.refused > 2000
    assert outcome.taken > 0


def echoing(annotation: Any) -> tuple[Any, Any]:
    """A contract of that type, and what answers it."""

    @service("echo")
    class Echo:
        @rpc
        async def lone(self, it: Any) -> Any:
            raise NotImplementedError

        @rpc
        async def both(self, it: Any, other: Any) -> Any:
            raise NotImplementedError

    for method in (Echo.lone, Echo.both):
        hints = method.function.__annotations__
        hints |= dict.fromkeys(hints, annotation)

    class Server(Echo):
        @rpc
        async def lone(self, it):  # type: ignore[no-untyped-def]
            return it

        @rpc
        async def both(self, it, other):  # type: ignore[no-untyped-def]
            return other

    return Echo, Server()


@contextmanager
def stub_of(annotation: Any, way: type[Way]) -> Generator[tuple[asyncio.Runner, Any]]:
    """A stub of `echoing`, over that rung, and what runs its calls."""
    contract, implementation = echoing(annotation)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        via = way()
        entered = AsyncExitStack()

        async def enter() -> Client:
            server = await entered.enter_async_context(
                serve(implementation, "127.0.0.1:0", via=via, grace=1.0)
            )
            return await entered.enter_async_context(connect(server.address, via=via))

        try:
            yield runner, runner.run(enter()).stub(contract)
        finally:
            runner.run(entered.aclose())


@pytest.mark.parametrize("way", [MemoryNetwork, EngineConfig], ids=["memory", "inline"])
@pytest.mark.parametrize(("annotation", "values"), TYPES, ids=lambda it: str(it)[:40])
def test_values_cross_the_wire_equal(
    annotation: Any, values: st.SearchStrategy[Any], way: type[Way]
) -> None:
    with stub_of(annotation, way) as (runner, stub):

        @settings(max_examples=10)
        @given(values, values)
        def exchange(value: Any, other: Any) -> None:
            assert runner.run(stub.lone(value)) == value
            assert runner.run(stub.both(value, other=other)) == other

        exchange()


def deep(depth: int) -> Tree:
    tree = Tree(name="leaf")
    for _ in range(depth):
        tree = Tree.model_construct(name="", parts=[tree])
    return tree


@pytest.mark.parametrize("way", [MemoryNetwork, EngineConfig], ids=["memory", "inline"])
@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str, "\N{SNOWMAN}x" * 500_000),
        (bytes, bytes(range(256)) * 8000),
        (list[Any], [[[[[["deep"] * 3] * 3] * 3] * 3] * 3]),
        (Tree, deep(100)),
        (int, -(1 << 5000)),
        (float, math.inf),
        (float, -0.0),
        (float, 5e-324),
        (dict[str, Point], {str(i): Point(i, i / 3) for i in range(5000)}),
        (set[tuple[int, bytes]], {(i, bytes(i % 7)) for i in range(5000)}),
        (Decimal, Decimal("-1E-999999")),
    ],
    ids=lambda it: type(it).__name__,
)
def test_what_is_long_deep_or_at_an_end_crosses(
    annotation: Any, value: Any, way: type[Way]
) -> None:
    with stub_of(annotation, way) as (runner, stub):
        answer = runner.run(stub.lone(value))
        assert answer == value
        assert repr(answer)[:40] == repr(value)[:40]  # -0.0 equals 0.0


@pytest.mark.parametrize("way", [MemoryNetwork, EngineConfig], ids=["memory", "inline"])
def test_nan_crosses(way: type[Way]) -> None:
    for annotation, value in ((float, math.nan), (float | None, math.nan), (Any, math.nan)):
        with stub_of(annotation, way) as (runner, stub):
            assert math.isnan(runner.run(stub.lone(value)))

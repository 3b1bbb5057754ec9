"""Any payload gets an error or is a value of its type; any value of any type crosses the wire."""

import asyncio
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from machnet_rpc import rpc, service
from machnet_rpc.testing import local
from tests.idl.values import TYPES
from tests.machnet_rpc.payloads import throw


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


@pytest.mark.parametrize(("annotation", "values"), TYPES, ids=lambda it: str(it)[:40])
def test_values_cross_the_wire_equal(annotation: Any, values: st.SearchStrategy[Any]) -> None:
    contract, implementation = echoing(annotation)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        entered = local(implementation)
        client = runner.run(entered.__aenter__())
        stub = client.stub(contract)

        @settings(max_examples=10, deadline=None)
        @given(values, values)
        def exchange(value: Any, other: Any) -> None:
            assert runner.run(stub.lone(value)) == value
            assert runner.run(stub.both(value, other=other)) == other

        exchange()
        runner.run(entered.__aexit__(None, None, None))

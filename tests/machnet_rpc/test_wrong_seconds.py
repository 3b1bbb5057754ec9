"""What is no number of seconds is told where it is given."""

from typing import Any

import pytest

from machnet_rpc import ContractError, InvalidArgument, Server, connect, rpc, serve, sync
from machnet_rpc.testing import test_client
from tests.machnet_rpc.test_misuse import Clerk, Desk, nobody

SECONDS = (float("inf"), float("nan"), 1e20, "1", True)


@pytest.mark.parametrize("seconds", SECONDS)
def test_a_timeout_is_a_number_of_seconds(seconds: Any) -> None:
    for ask in (nobody().using, nobody().stub(Desk).add.using):
        with pytest.raises(InvalidArgument, match="must be a number of seconds"):
            ask(timeout=seconds)
    for opened in (connect, sync.connect):
        with pytest.raises(InvalidArgument, match="must be a number of seconds"):
            opened("127.0.0.1:1", timeout=seconds)
    with pytest.raises(ContractError, match="must be a number of seconds"):
        rpc(timeout=seconds)


@pytest.mark.parametrize("spin", [*SECONDS, -1])
async def test_so_is_a_spin(spin: Any) -> None:
    for opened in (connect, sync.connect):
        with pytest.raises(InvalidArgument, match="must be a number of seconds from 0"):
            opened("127.0.0.1:1", spin=spin)
    with pytest.raises(InvalidArgument, match="must be a number of seconds from 0"):
        async with serve(Clerk(), "127.0.0.1:0", spin=spin):
            pass


@pytest.mark.parametrize("grace", [*SECONDS, None])
async def test_so_is_a_grace(grace: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"grace=.* must be a number of seconds"):
        async with serve(Clerk(), "127.0.0.1:0", grace=grace):
            raise AssertionError("it serves")
    async with test_client(Clerk(), timeout=5) as client:
        server = Server(Clerk())
        with pytest.raises(InvalidArgument, match=r"grace=.* must be a number of seconds"):
            await server.close(grace)
        assert await client.stub(Desk).add(1) == 2

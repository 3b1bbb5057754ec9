"""Both ends of a flow may end at any moment, together or one after the other, and none waits."""

import asyncio

import pytest

from machnet_rpc import Server, connect
from machnet_rpc._aio.pump import CLOSE_SECONDS_MAX
from machnet_rpc._transports.ladder import Via
from machnet_rpc.testing import VirtualClock
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from transport_engine.config import EngineConfig

PAUSES = (0.0, 0.0001, 0.001, 0.002, 0.003, 0.01)  # of the second to close


async def closed_after(via: Via, pause: float) -> float:
    """Seconds that two ends took to close, of which the client did so a moment later."""
    server = Server(LedgerBook())
    await server.listen("127.0.0.1:0", via=via)
    client = connect(server.address, via=via)
    await client.open()
    assert await client.stub(Ledger).echo(b"x") == b"x"
    now = asyncio.get_running_loop().time
    begun = now()

    async def close_client() -> None:
        await asyncio.sleep(pause)
        await client.close()

    await asyncio.gather(close_client(), server.close(1.0))
    return now() - begun


@pytest.mark.parametrize("pause", PAUSES)
def test_two_engines_close_in_one_moment(pause: float) -> None:
    """In virtual time, which passes for whoever waits and for nobody else."""

    async def main() -> float:
        async with VirtualClock():
            return await closed_after(EngineConfig(), pause)

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        assert runner.run(main()) < 0.1


async def test_nobody_waits_as_long_as_for_a_dead_peer(via: Via) -> None:
    assert await closed_after(via, 0.0) < CLOSE_SECONDS_MAX

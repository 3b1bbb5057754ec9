"""What a signal's handler raises as any function of the asyncio client begins: it goes on.

That is where such handlers run. What asyncio's own functions lose then is not looked at.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path

import pytest

import machnet_rpc
from machnet_rpc import Client, RpcError, connect
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.conftest import only_inline
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from tests.machnet_rpc.leftovers import nothing_left
from tests.machnet_rpc.moments import MOMENTS_MAX, Alarm, Moments
from tests.machnet_rpc.server_thread import ServerThread, serving
from tests.machnet_rpc.tap import Drop, Tap, TapDesk
from tests.machnet_rpc.waiting import until

SECONDS_MAX = 10.0
HASTY_SECONDS = 0.1
OURS = str(Path(machnet_rpc.__file__).parent)

Call = Callable[[Client], Awaitable[object]]


async def carrying(client: Client) -> object:
    return await client.using(metadata={"a": "b"}).call(Ledger.echo, b"a")


async def asleep(client: Client) -> object:
    await client.call(Ledger.sleep, 0.003)
    return None


async def late(client: Client) -> object:
    with contextlib.suppress(machnet_rpc.DeadlineExceeded):
        await client.using(timeout=0.01).call(Ledger.sleep, SECONDS_MAX)
    return None


async def streamed(client: Client) -> object:
    async with client.stream(Tap.echo, drops(), "a") as items:
        return [drop.number async for drop in items]


async def drops() -> AsyncIterator[Drop]:
    for number in range(3):
        yield Drop(number)


@pytest.fixture
def peer(via: Via) -> Generator[ServerThread]:
    """It is not interrupted: handlers of signals run in the main thread."""
    with serving([LedgerBook(), TapDesk()], "127.0.0.1:0", via) as server:
        yield server


@only_inline
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("call", [carrying, asleep, late, streamed])
async def test_calls_go_on(peer: ServerThread, via: Via, call: Call) -> None:
    loop, moments = asyncio.get_running_loop(), Moments(OURS)
    loop.set_exception_handler(lambda *_: None)  # what is raised in callbacks
    async with connect(peer.address, via=via, timeout=SECONDS_MAX) as client:
        await client.call(Ledger.nothing)
        usual = await call(client)
        hasty, patient = client.using(timeout=HASTY_SECONDS), client.using(wait=True)
        while not moments.is_over:
            ends = loop.time() + SECONDS_MAX
            async with asyncio.timeout_at(ends) as within:
                with contextlib.suppress(Alarm, RpcError), moments:
                    assert await call(hasty) == usual
            assert not within.expired(), f"{moments.at}: it waits for ever"
            async with asyncio.timeout_at(ends):
                with contextlib.suppress(machnet_rpc.Unavailable):  # what it met was its port
                    await patient.call(Ledger.nothing)
                await patient.call(Ledger.nothing)
                assert await call(patient) == usual, moments.at
            await until(lambda: nothing_left(client))
    assert 10 < moments.at < MOMENTS_MAX

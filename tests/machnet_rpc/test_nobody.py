"""Who does not wait for a server is told at once that there is none, on whatever rung."""

import asyncio
import socket

import pytest

from machnet_rpc import MemoryNetwork, Unavailable, connect, serve
from machnet_rpc._aio.flows import PATIENCE_NS
from machnet_rpc._protocol.records import FLOW_CLOSED, WHOLE
from machnet_rpc._transports.ladder import Via
from machnet_rpc._transports.memory import MemoryLink
from machnet_rpc.testing import VirtualClock
from tests.machnet_rpc.conftest import ADDRESS
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from transport_engine._native import lib
from transport_engine.config import EngineConfig

TRIES_MAX = 1000


def silent() -> tuple[socket.socket, str]:
    """A port that takes what comes and answers nothing."""
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind(("127.0.0.1", 0))
    return taken, f"127.0.0.1:{taken.getsockname()[1]}"


async def test_nobody_listens(via: Via) -> None:
    """The network says so: none of these calls ends by a clock."""
    taken, address = silent()
    taken.close()
    async with connect(address, via=via, wait=False, timeout=60.0) as client:
        for _ in range(5):
            with pytest.raises(Unavailable, match="nobody listens on that port") as caught:
                await client.stub(Ledger).echo(b"x")
            assert (caught.value.executed, caught.value.stage) == ("no", "connecting")
            await asyncio.sleep(0.003)


async def test_a_server_that_comes_is_found_meanwhile(via: Via) -> None:
    taken, address = silent()
    taken.close()
    async with connect(address, via=via, wait=False, timeout=60.0) as client:
        with pytest.raises(Unavailable):
            await client.stub(Ledger).echo(b"x")
        async with serve(LedgerBook(), address, via=via, grace=0.1):
            for _ in range(TRIES_MAX):
                try:
                    assert await client.stub(Ledger).echo(b"x") == b"x"
                    break
                except Unavailable:
                    await asyncio.sleep(0.01)  # the next attempt is a pause away
            else:
                pytest.fail("the server was never found")


def test_silence_is_waited_for_once_and_not_for_long() -> None:
    async def main() -> None:
        taken, address = silent()
        async with (
            VirtualClock(),
            connect(address, via=EngineConfig(), wait=False, timeout=60.0) as client,
        ):
            took: list[float] = []
            for _ in range(3):
                begun = asyncio.get_running_loop().time()
                with pytest.raises(Unavailable, match="was never answered") as caught:
                    await client.stub(Ledger).echo(b"x")
                took.append(asyncio.get_running_loop().time() - begun)
                assert (caught.value.executed, caught.value.stage) == ("no", "connecting")
            assert took == [pytest.approx(PATIENCE_NS / 1e9, abs=0.01), 0.0, 0.0]
            taken.close()
            async with serve(LedgerBook(), address, via=EngineConfig(), grace=0.1):
                await asyncio.sleep(1.0)  # the attempt goes on
                assert await client.stub(Ledger).echo(b"x") == b"x"

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(main())


def test_an_attempt_that_just_began_is_not_said_to_have_failed() -> None:
    async def main() -> None:
        taken, address = silent()
        async with VirtualClock(), connect(address, via=EngineConfig()) as client:
            with pytest.raises(Unavailable, match=r"was not answered yet .*Give the first call"):
                await client.stub(Ledger).echo.using(timeout=0.05)(b"x")
        taken.close()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(main())


def test_who_waits_has_all_its_time() -> None:
    async def main() -> None:
        taken, address = silent()
        async with VirtualClock(), connect(address, via=EngineConfig()) as client:
            begun = asyncio.get_running_loop().time()
            with pytest.raises(Unavailable, match="until the call's time was over"):
                await client.stub(Ledger).echo.using(timeout=3.0)(b"x")
            assert asyncio.get_running_loop().time() - begun == pytest.approx(3.0, abs=0.01)
        taken.close()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(main())


async def test_what_waiting_does_not_change_is_told_at_once(
    network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(link: MemoryLink, _: str, token: int) -> None:
        status: int = lib.TE_R_FORBIDDEN
        link.put((token, 0, 0, 0, 0, 0, 0, FLOW_CLOSED, WHOLE, 0, 0, status, 0, 0))

    monkeypatch.setattr(network, "connect", forbidden)
    async with connect(ADDRESS, via=network, timeout=10.0) as client:
        with pytest.raises(Unavailable) as caught:
            await client.stub(Ledger).echo(b"x")
    assert "until the call's time was over" not in caught.value.message


async def test_pauses_start_over_once_a_flow_has_opened(network: MemoryNetwork) -> None:
    async with connect(ADDRESS, via=network, timeout=5.0) as client:
        with pytest.raises(Unavailable):
            await client.stub(Ledger).echo.using(wait=False)(b"x")
        assert client._keeper._backoff.failures > 0
        async with serve(LedgerBook(), ADDRESS, via=network, grace=0.1):
            assert await client.stub(Ledger).echo(b"x") == b"x"
            assert client._keeper._backoff.failures == 0

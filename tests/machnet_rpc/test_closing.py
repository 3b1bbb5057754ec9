"""Both ends of a flow may end at any moment, together or one after the other, and none waits."""

import asyncio
from contextlib import suppress

import pytest

from machnet_rpc import Cancelled, Server, Service, connect, serve
from machnet_rpc import server as server_module
from machnet_rpc._aio.dispatch import CANCELLED_SECONDS_MAX
from machnet_rpc._aio.pump import CLOSE_SECONDS_MAX
from machnet_rpc._transports.ladder import Via
from machnet_rpc.health import HealthContract
from machnet_rpc.testing import VirtualClock
from tests.machnet_rpc.conftest import only_inline, only_memory
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from tests.machnet_rpc.waiting import until
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


async def test_who_closes_together_waits_once(via: Via) -> None:
    server = Server(LedgerBook())
    await server.listen("127.0.0.1:0", via=via)
    client = connect(server.address, via=via)
    await client.open()
    assert await client.stub(Ledger).echo(b"x") == b"x"
    async with asyncio.timeout(CLOSE_SECONDS_MAX):
        await asyncio.gather(client.close(), client.close())
        await asyncio.gather(server.close(1.0), server.close(1.0))


async def test_a_close_that_is_cancelled_closes_all_the_same(via: Via) -> None:
    async with serve(LedgerBook(), "127.0.0.1:0", via=via) as server:
        client = connect(server.address, via=via)
        await client.open()
        assert await client.stub(Ledger).echo(b"x") == b"x"
        closing = asyncio.ensure_future(client.close())
        await asyncio.sleep(0)
        closing.cancel()
        with suppress(asyncio.CancelledError):
            await closing
        pump = client._keeper.pump
        assert pump is not None
        assert pump.is_dead


async def test_an_engine_that_was_stopped_does_not_hold_up_the_close(
    via: Via, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unanswered(port: int) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(server_module, "UNLISTEN_SECONDS_MAX", 0.01)
    server = Server(LedgerBook())
    await server.listen("127.0.0.1:0", via=via)
    monkeypatch.setattr(server._link, "unlisten", unanswered)
    async with asyncio.timeout(5 * CLOSE_SECONDS_MAX):
        await server.close(0.0)
    assert server._pump is None


async def test_a_server_whose_close_is_cancelled_ends_its_calls_at_once(via: Via) -> None:
    book = LedgerBook()
    server = Server(book)
    await server.listen("127.0.0.1:0", via=via)
    async with connect(server.address, via=via) as client:
        call = asyncio.ensure_future(client.stub(Ledger).sleep.using(timeout=60.0)(60.0))
        await until(lambda: server.handlers_running == 1)
        closing = asyncio.ensure_future(server.close(60.0))
        await asyncio.sleep(0.01)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(Cancelled, match="shuts down") as caught:
            await call
        assert caught.value.executed == "yes"
        await until(lambda: server.handlers_running == 0)


@only_memory
def test_a_handler_that_takes_no_cancelling_is_left_behind(
    via: Via, caplog: pytest.LogCaptureFixture
) -> None:
    stubborn = Service("stubborn")

    @stubborn.rpc(timeout=3600)
    async def stay() -> None:
        while not free.is_set():
            with suppress(asyncio.CancelledError):
                await free.wait()

    async def main() -> None:
        server = Server(stubborn)
        await server.listen("127.0.0.1:0", via=via)
        async with connect(server.address, via=via) as client:
            call = asyncio.ensure_future(client.call(stay))
            await until(lambda: server.handlers_running == 1)
            try:
                async with asyncio.timeout(2 * CANCELLED_SECONDS_MAX):
                    await server.close(1.0)
            finally:
                free.set()
            with pytest.raises(Cancelled):
                await call

    async def virtual() -> None:
        async with VirtualClock():
            await main()

    free = asyncio.Event()
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(virtual())
    assert "stubborn/stay does not end although it was cancelled" in caplog.text


@only_inline
async def test_a_client_is_opened_once_and_never_after_its_end(via: Via) -> None:
    async with serve(LedgerBook(), "127.0.0.1:0", via=via) as server:
        client = connect(server.address, via=via)
        await asyncio.gather(client.open(), client.open(), client.stub(Ledger).echo(b"x"))
        await client.close()
        with pytest.raises(RuntimeError, match="connect again"):
            await client.open()
        late = connect(server.address, via=via)
        opening = asyncio.ensure_future(late.open())
        await asyncio.sleep(0)
        await late.close()
        with suppress(RuntimeError):
            await opening
        assert late._keeper.pump is None or late._keeper.pump.is_dead


async def test_a_server_is_closed_in_its_own_loop(via: Via) -> None:
    async with serve(LedgerBook(), "127.0.0.1:0", via=via) as server:
        with pytest.raises(RuntimeError, match="run_coroutine_threadsafe"):
            await asyncio.to_thread(asyncio.run, server.close())
        async with connect(server.address, via=via) as client:
            assert await client.call(Ledger.echo, b"it listens still") == b"it listens still"


async def test_a_server_that_was_closed_may_listen_again(via: Via) -> None:
    server = Server(LedgerBook())
    for _ in range(2):
        await server.listen("127.0.0.1:0", via=via)
        async with connect(server.address, via=via) as client:
            assert await client.stub(Ledger).echo(b"a") == b"a"
            assert await client.stub(HealthContract).check("ledger") == "SERVING"
            flow = client._keeper.connection
            assert flow is not None
            assert flow.is_usable
        await server.close(1.0)
        assert server.health.get("ledger") == "NOT_SERVING"


async def test_a_server_listens_once_and_not_after_its_end(via: Via) -> None:
    server = Server(LedgerBook())
    both = [server.listen("127.0.0.1:0", via=via) for _ in range(2)]
    ends = await asyncio.gather(*both, return_exceptions=True)
    assert [type(end) for end in ends] == [type(None), RuntimeError]
    await server.close(0.0)
    listening = asyncio.ensure_future(server.listen("127.0.0.1:0", via=via))
    await asyncio.sleep(0)
    await server.close(0.0)
    with suppress(RuntimeError):
        await listening
    assert server._pump is None

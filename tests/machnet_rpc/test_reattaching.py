"""A server that lost its engine listens again, whatever the first attempts and its log meet."""

import asyncio
import logging

import pytest

from machnet_rpc import Server, connect, rpc, serve, service
from machnet_rpc._transports.memory import MemoryLink, MemoryNetwork
from tests.machnet_rpc.waiting import until
from transport_engine.config import EngineConfig
from transport_engine.errors import NoEngineError, TransportError


@service("door")
class Door:
    @rpc
    async def knock(self) -> str:
        raise NotImplementedError


class FrontDoor(Door):
    @rpc
    async def knock(self) -> str:
        return "who is it"


@pytest.mark.parametrize("failure", [NoEngineError("none yet"), OSError("no memory")])
async def test_a_failed_attempt_is_not_the_last(
    failure: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [failure]
    attach = Server._attach

    async def attach_later(self: Server, address: str) -> None:
        if failures:
            raise failures.pop()
        await attach(self, address)

    caplog.set_level(logging.INFO, "machnet_rpc")
    async with serve(FrontDoor(), "127.0.0.1:0", via=EngineConfig()) as server:
        address = server.address
        monkeypatch.setattr(Server, "_attach", attach_later)
        server.on_link_lost(TransportError("the engine is gone"))
        reattaching = server._reattaching
        assert reattaching is not None
        await asyncio.wait([reattaching], timeout=10)
        assert (reattaching.done(), failures, server.address) == (True, [], address)
    said = [record.getMessage() for record in caplog.records]
    assert any("cannot be served yet" in each for each in said)
    assert any("is back" in each for each in said)


class Broken(logging.Handler):
    """Raises, which the handlers of the standard library do not."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ZeroDivisionError(record.getMessage())


async def test_so_does_one_whose_log_raises_and_so_do_its_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, broken, network = asyncio.get_running_loop(), Broken(), MemoryNetwork()
    raised, addresses, attach = list[object](), list[str](), Server._attach

    async def attach_again(self: Server, address: str) -> None:
        addresses.append(address)
        await attach(self, address)

    loop.set_exception_handler(lambda _, context: raised.append(context.get("exception")))
    logger = logging.getLogger("machnet_rpc")
    async with (
        serve(FrontDoor(), "127.0.0.1:0", via=network) as server,
        connect(server.address, via=network, timeout=5.0) as client,
    ):
        assert await client.stub(Door).knock() == "who is it"
        monkeypatch.setattr(Server, "_attach", attach_again)
        broken.setLevel(logging.WARNING)
        logger.addHandler(broken)
        try:
            pump = client._keeper.pump
            for link in (server._link, pump and pump.link):
                assert isinstance(link, MemoryLink)
                link.die()
            await until(lambda: len(raised) == 2)
            assert await client.stub(Door).knock() == "who is it"
        finally:
            logger.removeHandler(broken)
        assert client._keeper._restoring is not None
        assert addresses == [server.address]
        assert [type(each) for each in raised] == [ZeroDivisionError] * 2

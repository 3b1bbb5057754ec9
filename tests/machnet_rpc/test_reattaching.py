"""A server that lost its engine listens again, whatever the first attempts meet."""

import asyncio
import logging

import pytest

from machnet_rpc import Server, rpc, serve, service
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

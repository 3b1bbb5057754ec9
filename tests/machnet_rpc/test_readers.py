"""Who polls an engine is not called for what makes its descriptor readable."""

import asyncio
import socket
from collections.abc import Callable
from unittest.mock import Mock

import pytest
import uvloop

from machnet_rpc import Service, connect, serve
from machnet_rpc._aio.port import Port
from machnet_rpc._aio.pump import Pump
from machnet_rpc._aio.readers import Readers
from tests.machnet_rpc.waiting import until
from transport_engine import EngineConfig

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("new_loop", LOOPS)
def test_paused_readers_hear_nothing_until_they_go_on(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    ours, peer = socket.socketpair()
    port = Mock(spec=Port)
    port.wire.filenos.return_value = (ours.fileno(),)
    heard: list[object] = []

    async def listen() -> None:
        readers = Readers(asyncio.get_running_loop(), heard.append)
        readers.add(port)
        peer.send(b"!")
        await until(lambda: heard)
        readers.pause(port)
        readers.pause(port)
        heard.clear()
        for _ in range(10):
            await asyncio.sleep(0.001)
        assert heard == []
        readers.resume(port)
        await until(lambda: heard == [port] * len(heard) and heard)
        readers.pause(port)
        readers.remove(port)
        readers.resume(port)  # which is no more
        heard.clear()
        for _ in range(10):
            await asyncio.sleep(0.001)
        assert heard == []

    loop = new_loop()
    try:
        loop.run_until_complete(listen())
    finally:
        loop.close()
        ours.close()
        peer.close()


async def test_a_busy_engine_is_heard_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    echoes = Service("echoes")

    @echoes.rpc
    async def echo(payload: bytes) -> bytes:
        return payload

    heard: list[object] = []
    on_readable = Pump._on_readable

    def count(pump: Pump, port: Port) -> None:
        heard.append(port)
        on_readable(pump, port)

    monkeypatch.setattr(Pump, "_on_readable", count)
    engine = EngineConfig()
    async with (
        serve(echoes, "127.0.0.1:0", via=engine, spin=60.0) as server,
        connect(server.address, via=engine, spin=60.0) as client,
    ):
        for call in range(200):
            assert await client.call(echo, b"%d" % call) == b"%d" % call
        assert len(heard) <= 4  # of some 400 iterations in which a packet waited

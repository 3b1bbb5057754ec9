"""What callers are told of requests that the engine at the other end has, and its server not."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path

import pytest

from machnet_rpc import Client, DeadlineExceeded, RpcError, Unavailable, connect, sync
from machnet_rpc._aio import crossing_port
from machnet_rpc._transports.ladder import Via
from tests.e2e.processes import MRPC, Running, stand_still
from tests.machnet_rpc.ledger import Ledger
from tests.machnet_rpc.tap import Tap
from tests.machnet_rpc.waiting import until
from transport_engine.config import EngineConfig, Limits

LEDGER = "tests.machnet_rpc.ledger:LedgerBook"
SECONDS = (0.1, 0.4, 1.6, 6.4)  # of a call that nobody answers: less, where this machine is idle
DEAD_SECONDS = 0.5
LATE = ("maybe", "acknowledged")
UNHEARD = ("maybe", "sent")


class Host:
    """A server and its sidecar, which can be stopped as they are."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        way = ["--listen", "127.0.0.1:0", "--engine", str(socket), "--json"]
        self.server = Running([*MRPC, "serve", LEDGER, *way])
        self.address: str = self.server.line()["address"]

    @contextlib.contextmanager
    def stopped(self) -> Generator[None]:
        stand_still(self.server.pid)
        try:
            yield
        finally:
            self.server.process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def host(sidecar: Path) -> Iterator[Host]:
    host = Host(sidecar)
    try:
        yield host
    finally:
        host.server.stop()


@pytest.fixture(params=["inline", "sidecar"])
def via(request: pytest.FixtureRequest, sidecar: Path) -> Via:
    return sidecar if request.param == "sidecar" else EngineConfig()


@pytest.fixture(params=["in C", "in Python"])
async def client(
    request: pytest.FixtureRequest, via: Via, host: Host, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Client]:
    if request.param == "in Python":
        monkeypatch.setattr(crossing_port, "crossing", None)
    async with connect(host.address, via=via) as client:
        assert await client.call(Ledger.echo, b"the flow is open") == b"the flow is open"
        yield client


async def _drip(client: Client) -> object:
    """The server does not know the method, and stands still before it can say so."""
    async with client.stub(Tap).drip() as numbers:
        return [number async for number in numbers]


CALLS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "by contract": lambda client: client.call(Ledger.echo, b""),
    "by name": lambda client: client.call("ledger/echo", b""),
    "large": lambda client: client.call(Ledger.echo, bytes(300_000)),
    "with metadata": lambda client: client.using(metadata={"a": "b"}).call(Ledger.echo, b""),
    "with a stream": _drip,
}


async def _fate(call: Awaitable[object]) -> RpcError:
    with pytest.raises((DeadlineExceeded, Unavailable)) as caught:
        await call
    return caught.value


def _told(error: RpcError) -> tuple[str, str]:
    return error.executed, error.stage


async def test_a_server_that_stands_still(client: Client, host: Host) -> None:
    told: dict[str, tuple[str, str]] = {}
    late: list[RpcError] = []
    with host.stopped():
        for seconds in SECONDS:
            hasty = client.using(timeout=seconds)
            late = await asyncio.gather(*(_fate(call(hasty)) for call in CALLS.values()))
            told = dict(zip(CALLS, map(_told, late), strict=True))
            if told == dict.fromkeys(CALLS, LATE):
                break
    assert told == dict.fromkeys(CALLS, LATE)
    assert all("event loop" in each.next_step for each in late)
    assert all("way back" in each.next_step for each in late)  # the answer may be lost there
    assert await client.call(Ledger.echo, b"it goes on") == b"it goes on"


def test_a_blocking_client(via: Via, host: Host) -> None:
    with sync.connect(host.address, via=via) as client, contextlib.ExitStack() as stack:
        assert client.call(Ledger.echo, b"the flow is open") == b"the flow is open"
        stack.enter_context(host.stopped())
        told = ("", "")
        for seconds in SECONDS:
            with pytest.raises(DeadlineExceeded) as caught:
                client.using(timeout=seconds).call(Ledger.echo, b"")
            told = _told(caught.value)
            if told == LATE:
                break
        assert told == LATE


def test_a_request_that_no_engine_takes(tmp_path: Path) -> None:
    """The engine there stands still, as if the network were cut before it has the request."""
    with contextlib.ExitStack() as stack, asyncio.Runner() as runner:
        socket, config = tmp_path / "engine.sock", tmp_path / "engine.toml"
        config.write_text("[engine]\nport = 0\n[control]\ndirect = false\n")
        argv = [*MRPC, "engine", "--socket", str(socket), "--config", str(config)]
        engine = Running(argv)
        stack.callback(engine.stop)
        stack.callback(engine.process.kill)  # which comes first, and ends what stands still
        assert "ready" in engine.text()
        host = Host(socket)
        stack.callback(host.server.stop)
        stack.callback(host.server.process.kill)
        runner.run(_cut(host, engine))


async def _cut(host: Host, engine: Running) -> None:
    via = EngineConfig(limits=Limits(dead_seconds=DEAD_SECONDS))
    async with connect(host.address, via=via, retries=None) as client:
        await client.call(Ledger.echo, b"the flow is open")
        stand_still(host.server.pid)
        call = client.using(timeout=5.0, wait=False).call
        had = asyncio.ensure_future(_fate(call(Ledger.echo, b"1")))
        connection = client._keeper.connection
        assert connection is not None
        await until(lambda: any(connection.has_acked(each) for each in connection.awaited))
        stand_still(engine.pid)
        not_had = asyncio.ensure_future(_fate(call(Ledger.echo, b"2")))
        late = await _fate(client.using(timeout=DEAD_SECONDS / 2).call(Ledger.echo, b"3"))
        assert _told(late) in (UNHEARD, ("no", "local ring"))  # which is where this machine is slow
        assert "event loop" not in late.next_step
        assert (_told(await had), _told(await not_had)) == (LATE, UNHEARD)

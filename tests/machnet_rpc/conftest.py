"""Every test of calls runs on both event loops, and over every way to the network."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from machnet_rpc import Client, MemoryNetwork, Server, connect, serve
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.ledger import LedgerBook
from transport_engine.config import EngineConfig

ADDRESS = "127.0.0.1:7000"


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


@pytest.fixture
def rigs() -> Iterator[list[Any]]:
    """Closes whatever a test adds."""
    made: list[Any] = []
    yield made
    for rig in made:
        rig.close()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """As in a terminal: whoever starts the tests in the background has the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a sidecar over UDP on loopback, through which all calls go."""
    with sidecar_in(tmp_path_factory.mktemp("sidecar"), "direct = false") as path:
        yield path


@pytest.fixture(scope="session")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a sidecar whose applications call each other straight."""
    with sidecar_in(tmp_path_factory.mktemp("direct"), "direct = true") as path:
        yield path


@contextmanager
def sidecar_in(folder: Path, control: str) -> Generator[Path]:
    """Runs one until the tests end."""
    path = folder / "engine.sock"
    argv = [sys.executable, "-m", "machnet_rpc.cli", "engine", "--socket", str(path)]
    config = path.with_name("engine.toml")
    config.write_text(f"[engine]\nport = 0\n[control]\n{control}\n")
    argv += ["--config", str(config)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready: ")
            yield path
        finally:
            process.terminate()
            assert process.wait(timeout=10) == 0


@pytest.fixture(params=["memory", "inline", "sidecar", "direct"])
def via(request: pytest.FixtureRequest, network: MemoryNetwork) -> Via:
    if request.param == "memory":
        return network
    if request.param == "inline":
        return EngineConfig()
    socket: Path = request.getfixturevalue(request.param)
    return socket


only_memory = pytest.mark.parametrize("via", ["memory"], indirect=True)
"""For tests that reach into the network, or that a real one could not run."""

only_inline = pytest.mark.parametrize("via", ["inline"], indirect=True)
"""For tests to which the rung makes no difference, as long as there is a wire."""


@pytest.fixture
def book() -> LedgerBook:
    return LedgerBook()


@pytest.fixture
async def server(via: Via, network: MemoryNetwork, book: LedgerBook) -> AsyncIterator[Server]:
    address = ADDRESS if via is network else "127.0.0.1:0"
    async with serve(book, address, via=via, grace=0.2) as server:
        yield server


@pytest.fixture
async def client(via: Via, server: Server) -> AsyncIterator[Client]:
    async with connect(server.address, via=via, timeout=5.0) as client:
        yield client

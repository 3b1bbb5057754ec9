"""Beside a sidecar that accepts connections and says nothing, as one that is stopped does."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from machnet_rpc import Server, Unavailable, connect, sync
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from tests.machnet_rpc.waiting import until
from transport_engine.errors import EngineGoneError

ADDRESS = "127.0.0.1:9"
TIMEOUT_SECONDS = 0.1
ANSWER_SECONDS = 10.0  # what an engine is given where nobody says how long
WHY = "has not answered.*`mrpc stat`"


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(place))
        listening.listen(8)
        yield place


async def test_a_client_is_not_opened_for_longer_than_its_timeout(silent: Path) -> None:
    begun = monotonic()
    with pytest.raises(EngineGoneError, match=WHY):
        async with connect(ADDRESS, via=silent, timeout=TIMEOUT_SECONDS):
            pass
    assert monotonic() - begun < ANSWER_SECONDS / 2


def test_nor_is_a_blocking_one(silent: Path) -> None:
    begun = monotonic()
    with (
        pytest.raises(EngineGoneError, match=WHY),
        sync.connect(ADDRESS, via=silent, timeout=TIMEOUT_SECONDS),
    ):
        pass
    assert monotonic() - begun < ANSWER_SECONDS / 2


async def test_a_call_that_was_to_open_it_says_why(silent: Path) -> None:
    client = connect(ADDRESS, via=silent, timeout=TIMEOUT_SECONDS)
    with pytest.raises(Unavailable, match=WHY) as failed:
        await client.stub(Ledger).balance("a")
    assert failed.value.executed == "no"
    await asyncio.wait_for(client.close(), ANSWER_SECONDS / 2)


async def test_a_server_that_waits_for_it_says_so_meanwhile(
    silent: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(LedgerBook())
    listening = asyncio.ensure_future(server.listen(ADDRESS, via=silent))
    await until(lambda: f"{silent} has not answered" in caplog.text, ANSWER_SECONDS / 2)
    assert not listening.done()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening

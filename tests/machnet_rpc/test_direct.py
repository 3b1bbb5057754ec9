"""Calls past the engine: which way they take, what closing delivers, and who breaks the rules."""

import asyncio
from pathlib import Path

import pytest

from machnet_rpc import RpcError, connect, rpc, serve, service
from machnet_rpc._transports.direct import DirectWire
from tests.machnet_rpc.ledger import LedgerBook
from tests.machnet_rpc.waiting import until
from transport_engine import ChannelCorruptError

BALLAST = bytes(60_000)
CALLS = 100  # more than the rings hold, and less than the outbox


@service("direct.Notes")
class Notes:
    """Remembers who came."""

    @rpc(timeout=10.0)
    async def note(self, number: int, ballast: bytes) -> int:
        """The number."""
        raise NotImplementedError


class NotesServer(Notes):
    def __init__(self) -> None:
        self.seen: list[int] = []
        self.all_came = asyncio.Event()

    @rpc
    async def note(self, number: int, ballast: bytes) -> int:
        self.seen.append(number)
        if len(self.seen) == CALLS:
            self.all_came.set()
        return number


async def test_transport_says_which_way_calls_take(direct: Path, sidecar: Path) -> None:
    for path, rung, why in ((direct, "direct", ""), (sidecar, "sidecar+udp", "control.direct")):
        async with (
            serve(NotesServer(), "127.0.0.1:0", via=path) as server,
            connect(server.address, via=path) as client,
        ):
            await client.stub(Notes).note(1, b"")
            assert client.transport.rung == rung
            assert why in str(client.transport)
            assert client.transport.skipped == () or client.transport.skipped[0][0] == "direct"


async def test_server_of_another_engine_is_reached_by_a_flow(direct: Path, sidecar: Path) -> None:
    async with (
        serve(NotesServer(), "127.0.0.1:0", via=sidecar) as server,
        connect(server.address, via=direct) as client,
    ):
        assert await client.stub(Notes).note(1, b"") == 1
        assert client.transport.rung == "sidecar+udp"
        assert "no application of this engine listens" in str(client.transport)


async def test_flow_that_opened_first_gives_way(direct: Path) -> None:
    async with serve(NotesServer(), "127.0.0.1:0", via=direct) as server:
        address = server.address
    async with connect(address, via=direct) as client:
        early = asyncio.ensure_future(client.stub(Notes).note(1, b""))
        await asyncio.sleep(0.05)
        async with serve(NotesServer(), address, via=direct):
            assert await early == 1
            assert client.transport.rung == "direct"


async def test_closing_delivers_what_was_sent_before(direct: Path) -> None:
    notes = NotesServer()
    async with serve(notes, "127.0.0.1:0", via=direct) as server:
        client = connect(server.address, via=direct)
        await client.open()
        note = client.stub(Notes).note
        assert await note(0, b"") == 0
        calls = [asyncio.ensure_future(note(n, BALLAST)) for n in range(1, CALLS)]
        await asyncio.sleep(0)
        await client.close()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        async with asyncio.timeout(5.0):
            await notes.all_came.wait()
        assert sorted(notes.seen) == list(range(CALLS))
        fates = {each.executed for each in outcomes if isinstance(each, RpcError)}
        assert "no" not in fates


async def test_peer_that_breaks_the_rules_costs_its_connection_only(
    direct: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serve(LedgerBook(), "127.0.0.1:0", via=direct) as server,
        connect(server.address, via=direct) as good,
        connect(server.address, via=direct) as bad,
    ):
        assert await good.call("ledger/echo", b"good") == b"good"
        assert await bad.call("ledger/echo", b"bad") == b"bad"
        pump = server._pump
        assert pump is not None
        port = list(pump._directs._channels)[-1]
        first = bad._keeper.connection

        def corrupt() -> None:
            raise ChannelCorruptError("the other application wrote a record that breaks the rules")

        monkeypatch.setattr(DirectWire, "awake", lambda self: corrupt())
        pump._on_readable(port)
        monkeypatch.undo()
        assert await good.call("ledger/echo", b"good") == b"good"
        assert first is not None
        await until(lambda: first.is_closed)
        assert await bad.call("ledger/echo", b"again") == b"again"
        assert bad._keeper.connection is not first

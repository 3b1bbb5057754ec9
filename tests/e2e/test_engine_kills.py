"""The engine is killed: calls end once and truly, and applications come back by themselves."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

import machnet_rpc
from machnet_rpc import Unavailable
from machnet_rpc._transports.ladder import Reach, link_to
from tests.e2e.echo import Echo, EchoServer
from tests.e2e.engine_kills import Siege, summary
from tests.e2e.processes import Fleet
from transport_engine import NoEngineError

ENGINE = 'driver = "udp"\naddress = "127.0.0.1"\nport = 0'
KILLS = 12
SECONDS_MAX = 20.0
UNDER_WAY = ("sent", "acknowledged", "handler started")


@pytest.mark.parametrize(("seed", "direct"), [(1, False), (2, True)])
async def test_calls_end_once_and_no_message_crosses_to_another_engine(
    tmp_path: Path, seed: int, direct: bool
) -> None:
    notes = await Siege(tmp_path, seed, direct=direct).run(KILLS // 2)
    assert notes.wrong == []
    assert notes.made == notes.ended
    figures = summary(notes)
    assert figures["executed_twice"] == 0
    assert figures["outcomes"]["answered"] > 0
    assert any(outcome.startswith("failed") for outcome in figures["outcomes"])
    assert len(notes.told_ms) == len(notes.back_ms)


async def test_applications_come_back_without_a_call(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        socket = fleet.engine("engine", ENGINE)
        async with (
            machnet_rpc.serve(EchoServer(), "127.0.0.1:0", via=socket) as server,
            machnet_rpc.connect(server.address, via=socket) as client,
        ):
            address = server.address
            assert await client.stub(Echo).echo(b"before") == b"before"
            lost = client._keeper.connection
            fleet.latest.kill()
            await asyncio.to_thread(fleet.engine, "engine", ENGINE)
            deadline = time.monotonic() + SECONDS_MAX
            while client._keeper.connection is lost:
                assert time.monotonic() < deadline, "it does not come back"
                await asyncio.sleep(0.01)
            assert await client.using(wait=False).stub(Echo).echo(b"after") == b"after"
            assert server.address == address


async def called_past_it(echo: Echo) -> None:
    """As calls between neighbours are, until the end of their engine is noticed."""
    for _ in range(int(SECONDS_MAX * 100)):
        await echo.echo(b"now")
        await asyncio.sleep(0.01)


async def test_calls_made_while_no_engine_runs_wait_or_fail_at_once_as_asked(
    tmp_path: Path,
) -> None:
    with Fleet(tmp_path) as fleet:
        socket = fleet.engine("engine", ENGINE)
        engine = fleet.latest
        address = fleet.serve("127.0.0.1:0", socket)
        server = fleet.latest
        async with machnet_rpc.connect(address, via=socket) as client:
            echo = client.stub(Echo).echo
            assert await echo(b"before") == b"before"
            engine.kill()
            with pytest.raises(Unavailable):
                await called_past_it(client.using(wait=False).stub(Echo))
            for _ in range(20):
                began = time.monotonic()
                with pytest.raises(Unavailable) as caught:
                    await client.using(wait=False).stub(Echo).echo.using(timeout=60.0)(b"now")
                assert caught.value.executed == "no" or caught.value.stage in UNDER_WAY
                assert time.monotonic() - began < 5.0
            with pytest.raises(Unavailable) as caught:
                await echo.using(timeout=0.3)(b"soon")
            assert caught.value.executed == "no"
            waiting = [
                asyncio.create_task(echo.using(timeout=SECONDS_MAX)(b"%d" % number))
                for number in range(50)
            ]
            await asyncio.to_thread(fleet.engine, "engine", ENGINE)
            assert await asyncio.gather(*waiting) == [b"%d" % number for number in range(50)]
        assert server.process.poll() is None


async def test_who_had_a_sidecar_waits_for_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MRPC_SOCKET", str(tmp_path / "nobody.sock"))
    attaching = sys.modules["transport_engine.attach"]  # the package has a function of that name
    monkeypatch.setattr(attaching, "system_socket_path", lambda: tmp_path / "nobody.sock")
    fallen = await link_to("127.0.0.1", Reach(), is_local=True)
    assert fallen.transport.rung == "inline+udp"
    await fallen.close()
    with Fleet(tmp_path) as fleet:
        monkeypatch.setenv("MRPC_SOCKET", str(fleet.engine("engine", ENGINE)))
        link = await link_to("127.0.0.1", Reach(), is_local=True)
        again = Reach().again(link.transport)
        await link.close()
    with pytest.raises(NoEngineError, match="no sidecar answers"):
        await link_to("127.0.0.1", again, is_local=True)

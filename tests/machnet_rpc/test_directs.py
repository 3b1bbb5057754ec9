"""Channels straight to peers, when their engine has gone."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from machnet_rpc import Unavailable, connect, serve
from machnet_rpc._aio import directs as directs_module
from machnet_rpc._aio.directs import Directs
from tests.e2e.processes import MRPC, Running
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from tests.machnet_rpc.waiting import until

HOURS = 3600.0


class Flow:
    """What is looked at of a connection, of a port that has it, and of its channel."""

    def __init__(self, outgoing: int) -> None:
        self.outgoing = outgoing
        self.connections = {0: self}

    def close(self) -> None:
        """There is nothing to close."""


def _directs(*outgoing: int) -> tuple[Directs, list[Any]]:
    """Channels with so many calls under way each."""
    driver: Any = None
    directs = Directs(driver, lambda _: None, asyncio.get_running_loop())
    flows: list[Any] = [Flow(each) for each in outgoing]
    directs._channels.update(zip(flows, flows, strict=True))
    return directs, flows


def _waited(directs: Directs) -> Callable[[], int]:
    """Waits for peers; how often it was told that this is over."""
    told: list[None] = []
    directs.await_peers(lambda: told.append(None))
    return lambda: len(told)


async def test_whoever_makes_no_calls_waits_for_nobody() -> None:
    directs, _ = _directs(0, 0)
    assert _waited(directs)() == 1


async def test_peers_are_waited_for_until_the_last_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(directs_module, "LEAVE_SECONDS_MAX", HOURS)
    directs, flows = _directs(1, 0, 7)
    told = _waited(directs)
    directs.forget(flows[0])
    directs.forget(flows[1])
    await asyncio.sleep(0)
    assert told() == 0
    directs.forget(flows[2])
    await until(told)
    assert told() == 1


async def test_peers_that_do_not_leave_are_waited_for_together() -> None:
    directs, _ = _directs(1, 1, 7)
    told = _waited(directs)
    directs.await_peers(lambda: None)  # as who meets the same error once more
    assert told() == 0
    await until(told)
    assert told() == 1


async def test_both_sides_of_a_pair_see_the_end_of_their_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, book: LedgerBook
) -> None:
    """They share a thread, so that neither could leave while the other blocked it."""
    monkeypatch.setattr(directs_module, "LEAVE_SECONDS_MAX", HOURS)
    socket, config = tmp_path / "engine.sock", tmp_path / "engine.toml"
    config.write_text("[engine]\nport = 0\n[control]\ndirect = true\n")
    with contextlib.ExitStack() as stack:
        engine = Running([*MRPC, "engine", "--socket", str(socket), "--config", str(config)])
        stack.callback(engine.stop)
        assert "ready" in engine.text()
        async with (
            serve(book, "127.0.0.1:0", via=socket) as server,
            connect(server.address, via=socket, wait=False) as client,
        ):
            await client.using(wait=True).call(Ledger.echo, b"")
            assert client.transport.rung == "direct"
            call = asyncio.create_task(client.using(timeout=HOURS).call(Ledger.sleep, 9.0))
            await until(lambda: book.journal == ["start"])
            engine.kill()
            with pytest.raises(Unavailable) as caught:
                await asyncio.wait_for(call, 5.0)
            assert (caught.value.executed, caught.value.stage) == ("yes", "handler started")

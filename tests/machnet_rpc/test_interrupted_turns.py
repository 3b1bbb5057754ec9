"""What a signal's handler raises within a turn of the pump: the event loop's client goes on."""

import asyncio
import sys
from functools import partial
from types import FrameType
from typing import Any

import pytest

from machnet_rpc import Client, DeadlineExceeded, Server
from machnet_rpc._aio.handler_task import HandlerTask
from machnet_rpc._aio.pump import Pump
from tests.machnet_rpc.conftest import only_inline
from tests.machnet_rpc.ledger import Ledger
from tests.machnet_rpc.leftovers import nothing_left
from tests.machnet_rpc.moments import Alarm
from tests.machnet_rpc.waiting import until

SECONDS_MAX = 10.0


async def pump_of(client: Client) -> Pump:
    """Once it has a flow; what its interrupted callbacks raise is nobody's to hear of."""
    assert await client.stub(Ledger).echo(b"a flow") == b"a flow"
    pump = client._keeper.pump
    assert pump is not None
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    return pump


def interrupt(monkeypatch: pytest.MonkeyPatch, pump: Pump, step: str) -> list[str]:
    """Has it raise once, as it begins; gives what it raised in."""
    met: list[str] = []

    def interrupted(*given: Any) -> None:
        monkeypatch.delattr(pump, step)
        met.append(step)
        raise Alarm

    monkeypatch.setattr(pump, step, interrupted)
    return met


@pytest.mark.parametrize("step", ["_moved", "_schedule", "_is_idle", "_lay_down", "_check"])
@only_inline
async def test_calls_go_on(client: Client, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    stub = client.using(timeout=SECONDS_MAX, wait=True).stub(Ledger)
    for _ in range(5):
        pump = await pump_of(client)  # a new one, after an error within the work of a port
        if step == "_check":
            monkeypatch.setattr(pump, "_flows_ended", asyncio.Future())
            met = interrupt(monkeypatch, pump, "_check_flows_ended")
        else:
            met = interrupt(monkeypatch, pump, step)
        await asyncio.sleep(0.002)  # most steps are taken without a call, too
        answer = asyncio.ensure_future(stub.echo(b"goes on"))
        done, _ = await asyncio.wait([answer], timeout=SECONDS_MAX)
        assert done, "it waits for a turn"
        await until(partial(bool, met))
        await asyncio.wait([asyncio.ensure_future(stub.echo(b"again"))], timeout=SECONDS_MAX)
    assert await stub.echo(b"after all") == b"after all"


@only_inline
async def test_a_deadline_passes_though_its_turn_was_cut_short(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pump, other = await pump_of(client), server._pump
    assert other is not None
    monkeypatch.setattr(other, "_expire", len)  # it does not answer for it
    met = interrupt(monkeypatch, pump, "_expire")
    call = asyncio.ensure_future(client.using(timeout=0.1).stub(Ledger).sleep(SECONDS_MAX))
    done, _ = await asyncio.wait([call], timeout=SECONDS_MAX)
    assert done, "it has no deadline any more"
    assert met
    with pytest.raises(DeadlineExceeded):
        await call
    await until(lambda: nothing_left(client))


@only_inline
async def test_a_call_that_was_ended_by_half_passes_its_deadline(client: Client) -> None:
    await pump_of(client)
    connection = client._keeper.connection
    assert connection is not None
    call = asyncio.ensure_future(client.using(timeout=0.1).stub(Ledger).sleep(SECONDS_MAX))
    await until(lambda: connection.awaited)
    _, half = connection.awaited.popitem()
    assert connection.expire(half) is None
    call.cancel()
    await until(lambda: nothing_left(client))
    assert await client.stub(Ledger).echo(b"goes on") == b"goes on"


async def waiting_handler() -> HandlerTask:
    """The one that waits for a future, once there is one."""

    tasks: set[Any] = set()

    def is_waiting() -> bool:
        everybody: set[Any] = asyncio.all_tasks()
        tasks.update(each for each in everybody if isinstance(each, HandlerTask))
        return any(each._fut_waiter is not None for each in tasks)

    await until(is_waiting)
    task: HandlerTask
    (task,) = tasks
    return task


@only_inline
async def test_a_handler_whose_wake_up_was_lost_ends_with_its_call(
    server: Server, client: Client
) -> None:
    """So no end of the server waits for it."""
    call = asyncio.ensure_future(client.using(timeout=1.0).stub(Ledger).sleep(0.3))
    task = await waiting_handler()
    assert task._fut_waiter.remove_done_callback(task._wake) == 1
    with pytest.raises(DeadlineExceeded):
        await call
    await until(lambda: nothing_left(client, server))


@only_inline
async def test_a_handler_that_was_not_told_of_an_error_ends_with_its_call(
    server: Server, client: Client
) -> None:
    await pump_of(client)
    call = asyncio.ensure_future(client.using(timeout=1.0).stub(Ledger).sleep(0.3))
    task = await waiting_handler()
    met: list[int] = []

    def profile(frame: FrameType, event: str, given: object) -> None:
        if event == "call" and frame.f_code is HandlerTask._step.__code__ and not met:
            met.append(1)
            raise Alarm

    sys.setprofile(profile)
    try:
        task._fut_waiter.set_exception(OSError("what it waits for failed"))
        with pytest.raises(DeadlineExceeded):
            await call
    finally:
        sys.setprofile(None)
    assert met
    await until(lambda: nothing_left(client, server))

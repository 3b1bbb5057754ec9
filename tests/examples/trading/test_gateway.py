"""The order gateway over calls: every method, every error, resending, and part of the real hour."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import islice

import pytest

from examples.data import LOBSTER_HOUR, data_directory, find
from examples.trading.contract import Gateway
from examples.trading.desk import (
    Desk,
    DeskError,
    DeskLimits,
    IdAheadError,
    IdForgottenError,
    IdReusedError,
    ReportsGoneError,
    TakenOverError,
    TooManySessionsError,
)
from examples.trading.gateway import OrderGateway
from examples.trading.ladder import Side
from examples.trading.lobster import read
from examples.trading.orders import (
    CancelOrder,
    NewOrder,
    PriceLevel,
    ReplaceOrder,
    Report,
    SessionState,
    Snapshot,
    What,
)
from examples.trading.play import play
from machnet_rpc import Aborted, Cancelled, MemoryNetwork, Server, connect, serve
from tests.machnet_rpc.waiting import until

ADDRESS = "127.0.0.1:7200"
SECONDS_MAX = 10.0


@pytest.fixture
def desk() -> Desk:
    return Desk(DeskLimits(sessions_max=2, answers_max=64, reports_max=500))


@pytest.fixture
async def gateway(desk: Desk) -> AsyncIterator[Gateway]:
    network = MemoryNetwork()
    async with (
        serve(OrderGateway(desk), ADDRESS, via=network),
        connect(ADDRESS, via=network) as client,
    ):
        yield client.stub(Gateway)


async def test_every_method(gateway: Gateway) -> None:
    assert await gateway.session("s") == SessionState(1, 0)
    placed = await gateway.place(NewOrder("s", 1, Side.SELL, 101, 5))
    assert placed.reports == [Report(1, 1, What.ACCEPTED, 101, 5, 5)]
    replaced = await gateway.replace(ReplaceOrder("s", 2, 1, 100, 7))
    assert replaced.reports == [Report(2, 1, What.REPLACED, 100, 7, 7)]
    canceled = await gateway.cancel(CancelOrder("s", 3, 1, 2))
    assert canceled.reports == [Report(3, 1, What.CANCELED, None, 2, 5, "requested")]
    bought = await gateway.place(NewOrder("t", 1, Side.BUY, None, 3))
    assert bought.reports[1:] == [Report(2, 1, What.FILLED, 100, 3, 0)]
    assert (await gateway.reports("s", 3, 10)).reports == [Report(4, 1, What.FILLED, 100, 3, 2)]
    assert await gateway.snapshot(10) == Snapshot(4, [], [PriceLevel(100, [2])])
    assert await gateway.session("s") == SessionState(4, 4)


async def test_who_attends_and_goes_has_nothing_open_any_more(gateway: Gateway, desk: Desk) -> None:
    await gateway.place(NewOrder("s", 1, Side.SELL, 101, 5))
    attending = asyncio.create_task(gateway.attend("s", 0.0))
    await gateway.snapshot(1)  # by now it attends
    await gateway.place(NewOrder("s", 2, Side.SELL, 102, 5))
    await gateway.place(NewOrder("t", 1, Side.SELL, 103, 5))
    assert len((await gateway.snapshot(10)).asks) == 3
    attending.cancel()
    await until(lambda: desk.snapshot(10).asks == [PriceLevel(103, [5])])
    reports = (await gateway.reports("s", 2, 10)).reports
    assert [each.order for each in reports] == [1, 2]
    assert {each.reason for each in reports} == {"disconnected"}


async def test_who_comes_back_in_time_takes_the_session_over(gateway: Gateway, desk: Desk) -> None:
    await gateway.place(NewOrder("s", 1, Side.SELL, 101, 5))
    first = asyncio.create_task(gateway.attend("s", 0.05))
    await gateway.snapshot(1)
    first.cancel()
    await asyncio.wait([first])
    second = asyncio.create_task(gateway.attend("s", 0.0))
    await asyncio.sleep(0.1)
    assert (await gateway.snapshot(10)).asks == [PriceLevel(101, [5])]
    third = asyncio.create_task(gateway.attend("s", 0.0))  # before the gateway knew
    with pytest.raises(TakenOverError, match="another client attends session 's'"):
        await second
    assert (await gateway.snapshot(10)).asks == [PriceLevel(101, [5])]
    third.cancel()
    await until(lambda: not desk.snapshot(10).asks)
    for grace in (-1.0, math.nan, 61.0):
        with pytest.raises(DeskError, match="grace is from 0 to 60 s"):
            await gateway.attend("s", grace)


async def test_what_comes_within_the_grace_goes_when_it_ends(gateway: Gateway, desk: Desk) -> None:
    """A command may have been on its way when its client died with nothing open."""
    attending = asyncio.create_task(gateway.attend("s", 0.05))
    await gateway.snapshot(1)
    attending.cancel()
    await asyncio.wait([attending])
    placed = await gateway.place(NewOrder("s", 1, Side.SELL, 101, 5))
    assert placed.reports[0].what is What.ACCEPTED
    await until(lambda: not desk.snapshot(10).asks)


async def test_a_session_that_is_attended_does_not_end() -> None:
    gateway = OrderGateway(Desk(DeskLimits(sessions_max=2, silence_ns=0)))
    attending = asyncio.create_task(gateway.attend("s", 0.0))
    await asyncio.sleep(0)
    order = NewOrder("s", 1, Side.BUY, None, 5)
    first = await gateway.place(order)
    for name in ("t", "u", "v"):
        await gateway.place(NewOrder(name, 1, Side.BUY, None, 5))
    assert await gateway.place(order) == first
    attending.cancel()
    await asyncio.wait([attending])
    for name in ("w", "x"):
        await gateway.place(NewOrder(name, 1, Side.BUY, None, 5))
    with pytest.raises(IdForgottenError):
        await gateway.place(order)


async def test_those_who_attend_are_bounded(gateway: Gateway) -> None:
    for name in ("", "x" * 65):
        with pytest.raises(DeskError, match="1 to 64 characters"):
            await gateway.attend(name, 0.0)
    attending = [asyncio.create_task(gateway.attend(name, 0.0)) for name in ("s", "t")]
    await gateway.snapshot(1)
    with pytest.raises(TooManySessionsError, match="at most 2 are attended"):
        await gateway.attend("u", 0.0)
    attending.append(asyncio.create_task(gateway.attend("t", 0.0)))
    with pytest.raises(TakenOverError):
        await attending[1]
    for each in attending:
        each.cancel()


async def test_who_follows_hears_what_it_missed_and_then_each_report_as_it_happens(
    gateway: Gateway,
) -> None:
    async with gateway.follow("maker", 0) as reports:
        first = asyncio.ensure_future(anext(reports))
        await gateway.session("maker")  # by now it waits
        placed = await gateway.place(NewOrder("maker", 1, Side.SELL, 101, 5))
        assert [await first] == placed.reports
    async with gateway.follow("maker", 0) as reports, gateway.follow("maker", 1) as others:
        assert [await anext(reports)] == placed.reports
        for number in (1, 2):
            await gateway.place(NewOrder("taker", number, Side.BUY, 101, 2))
            fill = Report(1 + number, 1, What.FILLED, 101, 2, 5 - 2 * number)
            assert [await anext(reports), await anext(others)] == [fill, fill]
        attending = asyncio.create_task(gateway.attend("maker", 0.0))
        await gateway.snapshot(1)
        attending.cancel()
        assert (await anext(reports)).reason == "disconnected"


async def test_who_follows_too_slowly_is_told(gateway: Gateway, desk: Desk) -> None:
    for number in range(1, 11):
        await gateway.cancel(CancelOrder("s", number, 1))
    async with gateway.follow("s", 0) as reports:
        read = [(await anext(reports)).sequence]
        for number in range(11, 700):
            await gateway.cancel(CancelOrder("s", number, 1))
        with pytest.raises(ReportsGoneError, match="reports before 200 are gone"):
            read.extend([report.sequence async for report in reports])
        assert read == list(range(1, len(read) + 1))
    async with gateway.follow("s", 700) as reports:
        with pytest.raises(ReportsGoneError, match="no report 700 yet: the newest is 699"):
            await anext(reports)
    async with gateway.follow("", 0) as reports:
        with pytest.raises(DeskError, match="1 to 64 characters"):
            await anext(reports)


async def test_who_followed_is_forgotten_and_a_gateway_that_ends_ends_the_rest() -> None:
    gateway = OrderGateway()
    network = MemoryNetwork()
    async with (
        serve(gateway, ADDRESS, via=network) as server,
        connect(ADDRESS, via=network) as client,
    ):
        stub = client.stub(Gateway)
        async with stub.follow("s", 0) as first, stub.follow("s", 0) as second:
            await stub.place(NewOrder("s", 1, Side.SELL, 101, 5))
            assert await anext(first) == await anext(second)
            await first.aclose()
            gateway.close()
            assert [report async for report in second] == []
        await until(lambda: not server.handlers_running)
    assert "0 followed" in repr(gateway)


async def test_who_follows_is_told_all_that_a_gateway_executed_as_it_ended() -> None:
    gateway, network, executed = OrderGateway(), MemoryNetwork(), 5000
    for number in range(1, executed + 1):
        await gateway.cancel(CancelOrder("s", number, 1))
    async with (
        serve(gateway, ADDRESS, via=network),
        connect(ADDRESS, via=network, retries=None) as client,
    ):
        stub = client.stub(Gateway)
        async with stub.follow("s", 0) as reports:
            read = [(await anext(reports)).sequence]

            async def follow() -> None:
                read.extend([report.sequence async for report in reports])

            following = asyncio.create_task(follow())
            gateway.close()
            for _ in range(20):  # of clients that were not told yet
                executed += 1
                await stub.cancel(CancelOrder("s", executed, 1))
                await asyncio.sleep(0.002)
            await following
            assert read == list(range(1, executed + 1))
            with pytest.raises(Aborted, match="the gateway ends"):
                await stub.cancel(CancelOrder("s", executed + 1, 1))


def test_who_lost_a_session_does_not_take_it_back_unasked() -> None:
    assert not Gateway.attend.options.idempotent  # else it would be sent again by itself


async def test_a_gateway_that_ends_cuts_off_who_takes_no_reports(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    gateway, network = OrderGateway(desk), MemoryNetwork()
    server = Server(gateway)
    await server.listen(ADDRESS, via=network)
    async with connect(ADDRESS, via=network) as client:
        stub = client.stub(Gateway)
        async with stub.follow("s", 0) as taken, stub.follow("s", 0) as left:
            for number in range(1, 500):  # more than a stream takes ahead
                await stub.cancel(CancelOrder("s", number, 1))
                assert (await anext(taken)).sequence == number
            gateway.close()
            async with asyncio.timeout(SECONDS_MAX):
                await server.close(grace=10 * SECONDS_MAX)
            assert [report async for report in taken] == []
            with pytest.raises(Cancelled, match="the gateway ends, and the last reports are not"):
                assert len([report async for report in left]) == 0
    (told,) = caplog.messages
    assert re.fullmatch(r"who follows 's' from \S+:\d+ takes no reports, and is cut off", told)
    assert "0 followed" in repr(gateway)


async def test_a_gateway_that_ends_answers_who_attends_and_cancels_nothing() -> None:
    gateway = OrderGateway()
    await gateway.place(NewOrder("s", 1, Side.SELL, 101, 5))
    attending = asyncio.create_task(gateway.attend("s", 0.0))
    await asyncio.sleep(0)
    gateway.close()
    await attending
    await gateway.attend("s", 0.0)  # also who comes late
    await asyncio.sleep(0.01)
    assert (await gateway.snapshot(10)).asks == [PriceLevel(101, [5])]


async def test_who_is_being_canceled_can_be_taken_over(desk: Desk) -> None:
    gateway = OrderGateway(desk)
    first = asyncio.create_task(gateway.attend("s", 0.0))
    await asyncio.sleep(0)
    first.cancel()  # it hears of that in the next turn of the loop
    second = gateway.attend("s", 0.0)
    assert second.send(None) is not None
    with pytest.raises(asyncio.CancelledError):
        await first
    second.close()


async def test_every_error_arrives_as_what_it_is(gateway: Gateway) -> None:
    order = NewOrder("s", 1, Side.SELL, 101, 5)
    first = await gateway.place(order)
    assert await gateway.place(order) == first
    with pytest.raises(IdReusedError, match="id 1 was another command"):
        await gateway.place(replace(order, size=4))
    with pytest.raises(IdAheadError, match="2 comes next"):
        await gateway.place(replace(order, id=3))
    for number in range(2, 600):
        await gateway.cancel(CancelOrder("s", number, 0))
    with pytest.raises(IdForgottenError):
        await gateway.place(order)
    with pytest.raises(ReportsGoneError, match="ask for those after 99"):
        await gateway.reports("s", 0, 1)
    await gateway.place(NewOrder("t", 1, Side.SELL, 101, 5))
    with pytest.raises(TooManySessionsError):
        await gateway.place(NewOrder("u", 1, Side.SELL, 101, 5))
    with pytest.raises(DeskError):
        await gateway.place(NewOrder("", 1, Side.SELL, 101, 5))


async def test_part_of_the_real_hour(gateway: Gateway) -> None:
    path = find(LOBSTER_HOUR)
    if path is None:
        pytest.skip(f"no real order flow: {data_directory() / LOBSTER_HOUR} is absent")
    played = await play(gateway, islice(read(path), 10_000), session="s", window=32)
    assert played.is_right
    assert played.sent_again == 0
    assert played.fills > 500

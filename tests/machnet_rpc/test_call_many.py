"""Many calls of one method at once: in order, bounded, and each of them with its own end."""

import asyncio
import gc
from typing import Any

import pytest

from machnet_rpc import (
    Client,
    DeadlineExceeded,
    InvalidArgument,
    MemoryNetwork,
    NotFound,
    Server,
    Unavailable,
    connect,
    rpc,
    service,
)
from machnet_rpc._many import tasks_of
from machnet_rpc.testing import VirtualClock
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from tests.machnet_rpc.waiting import until


@service("till")
class Till:
    @rpc(idempotent="keyed")
    async def sell(self, item: bytes) -> int:
        raise NotImplementedError


async def test_results_come_in_the_items_order(client: Client) -> None:
    items = [f"item {number}".encode() * (number % 50 + 1) for number in range(700)]
    assert await client.call_many(Ledger.echo, items) == items
    assert await client.call_many(Ledger.echo, iter(items[:3]), in_flight_max=1) == items[:3]
    assert await client.call_many(Ledger.echo, []) == []


async def test_messages_of_several_records(client: Client) -> None:
    items = [bytes([number]) * 300_000 for number in range(20)]
    assert await client.call_many(Ledger.echo, items) == items


async def test_no_more_are_in_flight_than_may(client: Client, book: LedgerBook) -> None:
    many = asyncio.ensure_future(
        client.using(timeout=9).call_many(Ledger.sleep, [9.0] * 10, in_flight_max=4)
    )
    await until(lambda: len(book.journal) == 4)
    await client.stub(Ledger).echo(b"what was sent before has arrived")
    assert book.journal == ["start"] * 4
    many.cancel()
    with pytest.raises(asyncio.CancelledError):
        await many


async def test_the_first_error_ends_it(client: Client, server: Server, book: LedgerBook) -> None:
    with pytest.raises(NotFound):
        await client.call_many(Ledger.fail, ["none", "not found", "none"])
    items: list[Any] = [5.0, 5.0, "no number"]
    with pytest.raises(InvalidArgument) as caught:
        await client.using(timeout=9).call_many(Ledger.sleep, items)
    assert caught.value.executed == "no"
    await until(lambda: server.handlers_running == 0)
    connection = client._keeper.connection
    assert connection is not None
    assert connection.outgoing == 0


async def test_nothing_goes_on_behind_the_first_error() -> None:
    ends: list[str] = []

    async def fails() -> None:
        raise NotFound("first")

    async def lingers() -> None:
        try:
            await asyncio.sleep(9)
        finally:
            await asyncio.sleep(0.001)
            ends.append("ended")
            raise NotFound("second")  # asyncio would log one that nobody has seen

    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    with pytest.raises(NotFound, match="first"):
        await tasks_of(iter([fails, lingers, lingers]), 3, return_exceptions=False)
    assert ends == ["ended"] * 2
    gc.collect()
    assert complaints == []


async def test_errors_in_their_places(client: Client) -> None:
    words = ["none", "not found", "undeclared", "none"]
    ends = await client.call_many(Ledger.fail, words, return_exceptions=True)
    assert [isinstance(end, Exception) for end in ends] == [False, True, True, False]
    assert isinstance(ends[1], NotFound)
    late = await client.using(timeout=0).call_many(Ledger.echo, [b""], return_exceptions=True)
    assert isinstance(late[0], DeadlineExceeded)


@pytest.mark.parametrize("method", [Ledger.echo, Till.sell], ids=["usual", "keyed"])
def test_without_a_server_items_wait_together(method: Any) -> None:
    """As many at once as may be in flight, and not one after the other."""

    async def main() -> None:
        async with (
            VirtualClock() as clock,
            connect("127.0.0.1:7000", via=MemoryNetwork(), timeout=2.0) as client,
        ):
            began = clock.elapsed
            ends: list[Any] = await client.call_many(
                method, [b""] * 100, return_exceptions=True, in_flight_max=40
            )
            assert clock.elapsed - began == pytest.approx(3 * 2.0, rel=0.01)
        assert {type(end) for end in ends} == {Unavailable}
        assert all("until the call's time was over" in end.message for end in ends)

    asyncio.run(main())


async def test_cancelling_it_cancels_all(client: Client, server: Server, book: LedgerBook) -> None:
    many = asyncio.ensure_future(
        client.using(timeout=9).call_many(Ledger.sleep, [9.0] * 5, return_exceptions=True)
    )
    await until(lambda: server.handlers_running == 5)
    many.cancel()
    with pytest.raises(asyncio.CancelledError):
        await many
    await until(lambda: server.handlers_running == 0)
    assert book.journal == ["start"] * 5 + ["cancelled"] * 5

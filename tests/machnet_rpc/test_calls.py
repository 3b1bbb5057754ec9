"""Calls that succeed: arguments and results, typed, by descriptor and by name."""

import asyncio
import contextvars
import random
from decimal import Decimal

import pytest

from machnet_rpc import (
    Client,
    DeadlineExceeded,
    MemoryNetwork,
    Server,
    connect,
    current_call,
    rpc,
    serve,
    service,
)
from tests.machnet_rpc.conftest import only_memory
from tests.machnet_rpc.ledger import Balance, Entry, Ledger, LedgerBook
from tests.machnet_rpc.waiting import until


async def test_models_travel_both_ways(client: Client) -> None:
    ledger = client.stub(Ledger)
    entry = Entry(account="a", amount=Decimal("10.25"), tags=["x"])
    assert await ledger.post(entry) == Balance("a", Decimal("10.25"))
    assert await client.call(Ledger.post, entry) == Balance("a", Decimal("20.50"))


async def test_several_arguments_go_by_name_and_have_defaults(client: Client) -> None:
    ledger = client.stub(Ledger)
    await ledger.post(Entry(account="a", amount=Decimal(1)))
    assert await ledger.balance("a") == Balance("a/EUR", Decimal(1))
    assert await ledger.balance(currency="USD", account="a") == Balance("a/USD", Decimal(1))
    assert await ledger.balance("b", "USD") is None


async def test_nothing_travels_as_nothing(client: Client, book: LedgerBook) -> None:
    assert await client.stub(Ledger).nothing() is None  # type: ignore[func-returns-value]
    assert await client.call("ledger/nothing") is None
    assert book.journal == ["nothing", "nothing"]


@pytest.mark.parametrize("size", [0, 1, 1024, 65536, 65537, 3_000_000])
async def test_bytes_of_any_length(client: Client, size: int) -> None:
    data = bytes(i & 255 for i in range(size % 1000)) + bytes(size - size % 1000)
    assert await client.stub(Ledger).echo(data) == data
    assert await client.call("ledger/echo", memoryview(data)) == data


async def test_by_name_with_plain_values(client: Client) -> None:
    reply = await client.call("ledger/post", {"account": "a", "amount": "2.5"})
    assert reply == {"account": "a", "amount": "2.5"}
    reply = await client.call("ledger/balance", {"account": "a", "unknown": 1})
    assert reply == {"account": "a/EUR", "amount": "2.5"}


async def test_many_calls_at_once_each_get_their_own_answer(client: Client) -> None:
    ledger = client.stub(Ledger)
    sent = [i.to_bytes(4, "big") * (i % 300) for i in range(2000)]
    assert await asyncio.gather(*(ledger.echo(data) for data in sent)) == sent


async def test_calls_of_a_lane_are_delivered_in_order(client: Client, book: LedgerBook) -> None:
    ledger = client.stub(Ledger)
    pick = random.Random(1)
    labels = [f"{number:08}" for number in range(300)]
    sizes = [pick.choice([0, 10, 5_000, 100_000]) for _ in labels]
    await asyncio.gather(
        *(
            ledger.repeat(label.encode() + bytes(size), 0)
            for label, size in zip(labels, sizes, strict=True)
        )
    )
    assert book.journal == labels


async def test_more_than_the_rings_and_the_outbox_hold(client: Client) -> None:
    """40 MB under way at once, where a ring holds 1 MiB and the outbox 8: calls wait for room."""
    ledger = client.stub(Ledger)
    sent = [bytes([i]) * 1_000_000 for i in range(40)]
    assert await asyncio.gather(*(ledger.echo.using(timeout=20)(data) for data in sent)) == sent


async def test_handlers_know_their_caller_and_their_time(client: Client) -> None:
    ledger = client.stub(Ledger)
    assert (await ledger.sleep.using(timeout=2)(0)).startswith("127.0.0.1:")
    remaining = await ledger.remaining.using(timeout=3)()
    assert remaining is not None
    assert 2 < remaining <= 3
    with pytest.raises(LookupError, match="no call is being answered"):
        current_call()


@service("outer")
class Outer:
    @rpc
    async def remaining_inside(self) -> float | None:
        raise NotImplementedError


class OuterOnLedger(Outer):
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    @rpc
    async def remaining_inside(self) -> float | None:
        return await self.ledger.remaining()


async def test_nested_calls_inherit_the_deadline(network: MemoryNetwork, client: Client) -> None:
    outer = OuterOnLedger(client.stub(Ledger))
    async with (
        serve(outer, "127.0.0.2:1", via=network),
        connect("127.0.0.2:1", via=network) as second,
    ):
        remaining = await second.stub(Outer).remaining_inside.using(timeout=1.5)()
    assert remaining is not None
    assert 1 < remaining <= 1.5


async def test_several_services_on_one_server(network: MemoryNetwork, book: LedgerBook) -> None:
    outer = OuterOnLedger(book)
    async with (
        serve([book, outer], "127.0.0.3:0", via=network) as server,
        connect(server.address, via=network) as client,
    ):
        assert await client.stub(Ledger).echo(b"1") == b"1"
        names = [service["name"] for service in await client.call("mrpc.reflection/services")]
        assert names == [
            "ledger",
            "outer",
            "mrpc.fates",
            "mrpc.health",
            "mrpc.reflection",
            "mrpc.statistics",
        ]


async def test_options_of_client_and_method_merge(client: Client) -> None:
    slow = client.using(timeout=2.0)
    remaining = await slow.stub(Ledger).remaining()
    assert remaining is not None
    assert 1 < remaining <= 2
    remaining = await slow.stub(Ledger).remaining.using(timeout=0.5)()
    assert remaining is not None
    assert remaining <= 0.5


@only_memory
async def test_reprs_tell_the_state(client: Client, server: Server) -> None:
    await client.call("ledger/nothing")
    assert (
        repr(server)
        == "<Server of ledger, mrpc.fates, mrpc.health, mrpc.reflection, mrpc.statistics "
        "at 127.0.0.1:7000>"
    )
    assert "open outgoing=0" in repr(client)
    assert repr(Ledger.post) == "<rpc ledger/post>"
    assert "ledger/post" in repr(client.stub(Ledger).post)
    assert str(client.transport) == "memory"


class Lasting(Outer):
    """Leaves a task behind, which calls once the time of its own call is over."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.tasks: list[asyncio.Task[float | None]] = []

    @rpc
    async def remaining_inside(self) -> float | None:
        call = current_call()

        async def later() -> float | None:
            await until(lambda: not call.remaining)
            return await self.ledger.remaining()

        self.tasks = [
            asyncio.create_task(later()),
            asyncio.create_task(later(), context=contextvars.Context()),
        ]
        return call.remaining


async def test_a_task_that_outlives_its_call_is_told_whose_time_is_over(
    network: MemoryNetwork, client: Client
) -> None:
    outer = Lasting(client.stub(Ledger))
    async with (
        asyncio.timeout(60),
        serve(outer, "127.0.0.2:1", via=network) as server,
        connect(server.address, via=network) as second,
    ):
        await second.stub(Outer).remaining_inside.using(timeout=0.3)()
        within, apart = outer.tasks
        with pytest.raises(
            DeadlineExceeded, match="outer/remaining_inside, whose own time"
        ) as late:
            await within
        assert late.value.executed == "no"
        assert await apart

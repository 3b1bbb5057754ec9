"""What a server counts: every call once when it begins, once when it ends, by its code."""

import asyncio
import random
from collections import Counter
from contextlib import suppress

import pytest

from machnet_rpc import (
    Client,
    Limits,
    MemoryNetwork,
    ResourceExhausted,
    RpcError,
    Server,
    connect,
    serve,
)
from machnet_rpc._buckets import at_percent, bucket_count, bucket_of, largest_of
from machnet_rpc._native import crossing
from machnet_rpc._protocol.tally import BITS, Tally
from machnet_rpc.statistics import MethodStatistics, StatisticsContract
from tests.machnet_rpc.ledger import Frozen, Ledger, LedgerBook
from tests.machnet_rpc.tap import Tap, TapDesk
from tests.machnet_rpc.waiting import until


async def counted(client: Client, method: str) -> MethodStatistics:
    (found,) = (await client.stub(StatisticsContract).read(method)).methods
    return found


async def test_calls_are_counted_by_method_and_code(server: Server, client: Client) -> None:
    ledger = client.stub(Ledger)
    for _ in range(5):
        await ledger.echo(b"x")
        await ledger.balance("a")
    for how, kind in (("not found", RpcError), ("declared", Frozen), ("undeclared", RpcError)):
        with pytest.raises(kind):
            await ledger.fail(how)
    with suppress(RpcError):
        await ledger.sleep.using(timeout=0.05)(1.0)
    statistics = await client.stub(StatisticsContract).read()
    for _ in range(100):  # the server has a clock of its own, by which a call's time ends
        if statistics.under_way == 1:
            break
        await asyncio.sleep(0.02)
        statistics = await client.stub(StatisticsContract).read()
    by_name = {each.method: each for each in statistics.methods}
    assert by_name["ledger/echo"].ended == by_name["ledger/balance"].ended == {"OK": 5}
    assert by_name["ledger/fail"].ended == {"UNKNOWN": 2, "NOT_FOUND": 1}
    assert by_name["ledger/sleep"].ended == {"DEADLINE_EXCEEDED": 1}
    assert by_name["ledger/nothing"].begun == 0
    assert statistics.address == server.address
    assert statistics.flows == 1
    assert statistics.under_way == 1  # this one
    echoes = by_name["ledger/echo"].latency
    assert 0 < echoes.p50 <= echoes.p99 <= echoes.longest < 1
    assert sum(count for _, count in echoes.buckets) == 5
    sleep = by_name["ledger/sleep"].latency
    assert 0.04 < sleep.p50 <= sleep.longest < 1


async def test_calls_under_way_and_cancelled_ones(server: Server, client: Client) -> None:
    calls = [asyncio.ensure_future(client.stub(Ledger).sleep.using(timeout=5)(5)) for _ in range(3)]
    await until(lambda: server.handlers_running == 3)
    assert (await counted(client, "ledger/sleep")).under_way == 3
    for call in calls:
        call.cancel()
    await until(lambda: server.handlers_running == 0)
    after = await counted(client, "ledger/sleep")
    assert (after.under_way, after.ended) == (0, {"CANCELLED": 3})


async def test_streams_oneway_calls_and_refusals_are_counted(network: MemoryNetwork) -> None:
    limits = Limits(request_bytes=100)
    async with (
        serve([TapDesk(), LedgerBook()], "127.0.0.1:1", via=network, limits=limits, grace=0.1),
        connect("127.0.0.1:1", via=network) as client,
    ):
        with pytest.raises(ResourceExhausted):
            await client.stub(Ledger).echo(b"x" * 101)
        assert (await counted(client, "ledger/echo")).ended == {"RESOURCE_EXHAUSTED": 1}
        tap = client.stub(Tap)
        async with tap.drip() as drops:
            await anext(drops)
            assert (await counted(client, "tap/drip")).under_way == 1
        assert [len(item) async for item in tap.run(3)] == [4, 4, 4]
        with pytest.raises(KeyError):
            _ = [item async for item in tap.fail(1, "declared")]
        await tap.note("a")
        with pytest.raises(ResourceExhausted):
            _ = [item async for item in tap.fail(1, "x" * 101)]
        ends = {
            name: (await counted(client, f"tap/{name}")).ended
            for name in ("drip", "run", "fail", "note")
        }
        assert ends == {
            "drip": {"CANCELLED": 1},
            "run": {"OK": 1},
            "fail": {"UNKNOWN": 1, "RESOURCE_EXHAUSTED": 1},
            "note": {"OK": 1},
        }


def test_a_tally_in_c_is_that_in_python() -> None:
    if crossing is None:
        pytest.skip("there is none in C")
    pick = random.Random(7)
    native = Tally()
    assert type(native) is crossing.Tally
    expected, codes = Counter[int](), Counter[int]()
    for _ in range(2000):
        took, code = pick.getrandbits(pick.randrange(1, 63)), pick.randrange(17)
        native.begin()
        native.end(code, took)
        expected[bucket_of(took, BITS)] += 1
        codes[code] += 1
    native.end(99, -1)
    expected[0] += 1
    codes[2] += 1
    assert native.begun == 2000
    assert native.ended() == [codes[code] for code in range(17)]
    assert native.buckets() == [expected[index] for index in range(bucket_count(BITS))]


@pytest.mark.parametrize("bits", [3, 7])
def test_buckets_are_next_to_each_other_and_narrow(bits: int) -> None:
    pick = random.Random(bits)
    values = [*range(3000), *(pick.getrandbits(pick.randrange(1, 63)) for _ in range(3000))]
    for value in values:
        index = bucket_of(value, bits)
        assert value <= largest_of(index, bits) <= value + value / (1 << bits)
        assert index == 0 or largest_of(index - 1, bits) < value


def test_percentiles() -> None:
    counts = [0] * bucket_count(7)
    assert at_percent(counts, 50, 7) == 0
    for value in range(1, 101):
        counts[bucket_of(value, 7)] += 1
    percents = (0, 1, 50, 98.5, 99, 99.9, 100)
    assert [at_percent(counts, each, 7) for each in percents] == [1, 1, 50, 99, 99, 100, 100]

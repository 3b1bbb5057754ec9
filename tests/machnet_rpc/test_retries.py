"""Calls that are made again: which, how often, how soon, and what their errors say then."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from machnet_rpc import (
    Client,
    Code,
    DeadlineExceeded,
    Limits,
    MemoryNetwork,
    ResourceExhausted,
    RetryPolicy,
    RpcError,
    Unavailable,
    connect,
    rpc,
    serve,
    service,
    sync,
)
from machnet_rpc._protocol.calls import Executed, OutgoingCall
from machnet_rpc._retries import MEMORY_SECONDS, Retries, RetryBudget, may_pass
from machnet_rpc._transports.ladder import Via
from machnet_rpc.context import CURRENT
from tests.machnet_rpc.conftest import ADDRESS, only_memory
from tests.machnet_rpc.server_thread import serving
from tests.machnet_rpc.waiting import until

QUICK = RetryPolicy(first_pause=0.001, longest_pause=0.002)
RAN = ("maybe", "yes")  # who shares memory with the server knows
SECOND = 1_000_000_000


@service("shaky")
class Shaky:
    @rpc(timeout=5.0, idempotent=True)
    async def again(self, text: str) -> str:
        raise NotImplementedError

    @rpc(timeout=5.0)
    async def once(self, text: str) -> str:
        raise NotImplementedError

    @rpc(timeout=5.0, idempotent=True)
    async def busy(self) -> int:
        raise NotImplementedError


class ShakyServer(Shaky):
    """Ends the flow of as many calls as it is told, before it answers."""

    def __init__(self) -> None:
        self.cuts = 0
        self.ran = 0
        self.answers: Callable[[], str] = lambda: ""
        self.done = asyncio.Event()

    async def _cut(self, text: str) -> str:
        self.ran += 1
        if self.cuts:
            self.cuts -= 1
            call = CURRENT.get()
            assert call is not None
            call.connection.close()
            await asyncio.sleep(5.0)
        return text + self.answers()

    @rpc
    async def again(self, text: str) -> str:
        return await self._cut(text)

    @rpc
    async def once(self, text: str) -> str:
        return await self._cut(text)

    @rpc
    async def busy(self) -> int:
        self.ran += 1
        await self.done.wait()
        return self.ran


@pytest.fixture
def shaky() -> ShakyServer:
    return ShakyServer()


@pytest.fixture
async def client(via: Via, shaky: ShakyServer) -> AsyncIterator[Client]:
    limits = Limits(handlers=1, request_bytes=1000)
    async with (
        serve(shaky, "127.0.0.1:0", via=via, grace=0.0, limits=limits) as server,
        connect(server.address, via=via, retries=QUICK) as client,
    ):
        yield client


async def test_a_lost_call_is_made_again(client: Client, shaky: ShakyServer) -> None:
    shaky.cuts = 2
    assert await client.stub(Shaky).again("a") == "a"
    assert shaky.ran == 3


async def test_what_is_not_idempotent_is_sent_once(client: Client, shaky: ShakyServer) -> None:
    shaky.cuts = 1
    with pytest.raises(Unavailable) as caught:
        await client.stub(Shaky).once("a")
    assert (shaky.ran, caught.value.attempts) == (1, 1)
    assert caught.value.executed in RAN


@only_memory
async def test_a_call_by_name_is_sent_once(client: Client, shaky: ShakyServer) -> None:
    shaky.cuts = 1
    with pytest.raises(Unavailable):
        await client.call("shaky/again", "a")
    assert shaky.ran == 1


async def test_without_a_policy_nothing_is_sent_twice(
    network: MemoryNetwork, shaky: ShakyServer
) -> None:
    shaky.cuts = 1
    async with (
        serve(shaky, ADDRESS, via=network, grace=0.0),
        connect(ADDRESS, via=network, retries=None) as client,
    ):
        with pytest.raises(Unavailable) as caught:
            await client.stub(Shaky).again("a")
    assert (shaky.ran, "attempts" in str(caught.value)) == (1, False)


async def test_the_last_error_tells_of_all_attempts(client: Client, shaky: ShakyServer) -> None:
    shaky.cuts = 100
    with pytest.raises(Unavailable) as caught:
        await client.stub(Shaky).again("a")
    error = caught.value
    assert shaky.ran == error.attempts == QUICK.attempts_max
    assert error.executed in RAN
    assert f"{QUICK.attempts_max} attempts, the one before ended as UNAVAILABLE: " in str(error)
    assert error.as_dict()["attempts"] == str(QUICK.attempts_max)


async def test_many_calls_are_made_again_each(client: Client, shaky: ShakyServer) -> None:
    shaky.cuts = 1
    texts = [str(number) for number in range(5)]
    got = await client.call_many(Shaky.again, texts, in_flight_max=1)
    assert (got, shaky.ran) == (texts, 6)


def test_the_blocking_client_makes_calls_again(via: Via) -> None:
    shaky = ShakyServer()
    shaky.cuts = 2
    with (
        serving(shaky, "127.0.0.1:0", via) as server,
        sync.connect(server.address, via=via, retries=QUICK) as client,
    ):
        assert client.method(Shaky.again)("a") == "a"
        assert shaky.ran == 3
        shaky.cuts = 1
        with pytest.raises(Unavailable):
            client.method(Shaky.once)("a")
        assert shaky.ran == 4


@only_memory
async def test_the_answer_of_a_handler_is_an_answer(client: Client, shaky: ShakyServer) -> None:
    def closed() -> str:
        raise Unavailable("the exchange is closed")

    shaky.answers = closed
    with pytest.raises(Unavailable) as caught:
        await client.stub(Shaky).again("a")
    assert (shaky.ran, caught.value.executed) == (1, "yes")


@only_memory
async def test_a_call_that_was_not_admitted_is_made_again(
    client: Client, shaky: ShakyServer
) -> None:
    first = asyncio.create_task(client.stub(Shaky).busy())
    await until(lambda: shaky.ran)
    second = asyncio.create_task(client.stub(Shaky).again("b"))
    retries = client._retries
    assert retries is not None
    await until(lambda: retries.made)
    shaky.done.set()
    assert (await first, await second) == (1, "b")


@only_memory
async def test_what_is_too_large_stays_too_large(client: Client, shaky: ShakyServer) -> None:
    with pytest.raises(ResourceExhausted) as caught:
        await client.stub(Shaky).again("a" * 2000)
    assert (shaky.ran, caught.value.attempts) == (0, 1)


async def test_no_pause_outlasts_the_deadline(network: MemoryNetwork, shaky: ShakyServer) -> None:
    shaky.cuts = 100
    slow = RetryPolicy(first_pause=1e6, longest_pause=1e6)
    async with (
        serve(shaky, ADDRESS, via=network, grace=0.0),
        connect(ADDRESS, via=network, retries=slow) as client,
    ):
        async with asyncio.timeout(4.0):
            with pytest.raises(Unavailable):
                await client.stub(Shaky).again("a")
    assert shaky.ran == 1


async def test_an_earlier_attempt_counts_for_what_was_executed(
    network: MemoryNetwork, shaky: ShakyServer
) -> None:
    """The first attempt ran; the last one found no server."""
    async with connect(ADDRESS, via=network, wait=False, retries=QUICK) as client:
        async with serve(shaky, ADDRESS, via=network, grace=0.0) as server:
            await client.stub(Shaky).again("a")
            shaky.cuts = 1
            call = asyncio.create_task(client.stub(Shaky).again("b"))
            await until(lambda: shaky.ran == 2)
            await server.close(0.0)
        with pytest.raises(RpcError) as caught:
            await call
    assert (caught.value.stage, caught.value.executed) == ("connecting", "maybe")
    assert caught.value.attempts == 2


async def test_a_call_is_cancelled_between_attempts(
    network: MemoryNetwork, shaky: ShakyServer
) -> None:
    shaky.cuts = 100
    slow = RetryPolicy(first_pause=2.0, longest_pause=2.0)
    async with (
        serve(shaky, ADDRESS, via=network, grace=0.0),
        connect(ADDRESS, via=network, retries=slow) as client,
    ):
        call = asyncio.create_task(client.stub(Shaky).again("a"))
        await until(lambda: shaky.ran and client._keeper.connection is not None)
        await until(lambda: not getattr(client._keeper.connection, "awaited", None))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_calls_made_while_the_server_is_away_wait_for_it(
    via: Via, shaky: ShakyServer
) -> None:
    async with serve(shaky, "127.0.0.1:0", via=via, grace=0.0) as server:
        address = server.address
        client = connect(address, via=via)
        await client.open()
        assert await client.stub(Shaky).once("a") == "a"
    try:
        connection = client._keeper.connection
        assert connection is not None
        await until(lambda: not connection.is_usable)
        waiting = asyncio.create_task(client.stub(Shaky).once("b"))
        with pytest.raises((Unavailable, DeadlineExceeded)) as caught:
            await client.stub(Shaky).once.using(timeout=0.05)("c")
        assert (caught.value.executed, waiting.done()) == ("no", False)
        async with serve(shaky, address, via=via, grace=0.0):
            assert await waiting == "b"
    finally:
        await client.close()


async def test_without_waiting_a_call_fails_at_once(
    network: MemoryNetwork, shaky: ShakyServer
) -> None:
    async with connect(ADDRESS, via=network) as client:
        waiting = asyncio.create_task(client.stub(Shaky).once("b"))
        with pytest.raises(Unavailable) as caught:
            await client.stub(Shaky).once.using(wait=False)("c")
        assert (caught.value.executed, waiting.done()) == ("no", False)
        async with serve(shaky, ADDRESS, via=network, grace=0.0):
            assert await waiting == "b"


def _failed(code: Code, executed: Executed, stage: str = "reply seen") -> RpcError:
    return RpcError("", code=code, executed=executed, stage=stage)


def test_only_some_failures_may_pass() -> None:
    assert may_pass(_failed(Code.UNAVAILABLE, "no"))
    assert may_pass(_failed(Code.UNAVAILABLE, "maybe", "sent"))
    assert not may_pass(_failed(Code.UNAVAILABLE, "yes"))
    assert not may_pass(_failed(Code.UNAVAILABLE, "no", "connecting"))
    assert not may_pass(_failed(Code.RESOURCE_EXHAUSTED, "no"))
    for code in set(Code) - {Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED}:
        assert not may_pass(_failed(code, "maybe"))


class Flow:
    """Stands for a connection, of which only the identity matters."""


def _call(flow: object, call_id: int) -> OutgoingCall:
    call = OutgoingCall(1, 0, None)
    call.connection, call.call_id = flow, call_id
    return call


def _spent(budget: RetryBudget, flow: object, call_id: int, now_ns: int) -> int:
    count = 0
    while budget.spend(_call(flow, call_id), now_ns):
        count += 1
        assert count < 100_000
    return count


class Twice:
    """Two more attempts of a call, of which the first may have been executed."""

    def __init__(self) -> None:
        self.since_ns: list[int | None] = []

    async def begin(self, deadline_ns: int, since_ns: int | None) -> OutgoingCall:
        self.since_ns.append(since_ns)
        return _call(Flow(), 1)

    async def end(self, call: OutgoingCall) -> str:
        if len(self.since_ns) == 1:
            raise Unavailable("it was sent", executed="maybe")
        return "done"


async def test_a_call_is_as_old_as_the_first_attempt_that_may_have_been_executed() -> None:
    begun_ns, attempts = time.monotonic_ns(), Twice()
    first = OutgoingCall(1, begun_ns + 5 * SECOND, None)
    never = Unavailable("it was not", executed="no")
    assert await Retries(QUICK).go_on(never, first, 5 * SECOND, attempts) == "done"
    second, third = attempts.since_ns
    assert (second, (third or 0) > begun_ns) == (None, True)


def test_a_budget_begins_with_what_the_minimum_gives() -> None:
    budget = RetryBudget(RetryPolicy(share=0.0, minimum=3.0), 0)
    assert _spent(budget, Flow(), 1, 0) == 3 * MEMORY_SECONDS
    assert not budget.spend(_call(Flow(), 1_000_000), 0)


def test_a_budget_grows_by_a_share_of_the_calls() -> None:
    budget, flow = RetryBudget(RetryPolicy(share=0.1, minimum=0.0), 0), Flow()
    assert budget.spend(_call(flow, 1000), 0)
    assert _spent(budget, flow, 500, 0) == 99  # an older one, which fails later
    assert _spent(budget, flow, 1500, 0) == 50
    assert _spent(budget, Flow(), 30, 0) == 3  # its ids start over


def test_a_budget_gives_the_minimum_every_second() -> None:
    budget, flow = RetryBudget(RetryPolicy(share=0.0, minimum=10.0), 0), Flow()
    _spent(budget, flow, 1, 0)
    spent = sum(_spent(budget, flow, 1, at * SECOND // 10) for at in range(1, 1001))
    assert 950 <= spent <= 1000


def test_a_budget_does_not_save_up() -> None:
    budget, flow = RetryBudget(RetryPolicy(share=0.1, minimum=0.0), 0), Flow()
    assert budget.spend(_call(flow, 1_000_000), 0)
    assert _spent(budget, flow, 1_000_000, int(20 * MEMORY_SECONDS) * SECOND) == 0


async def test_a_spent_budget_is_told(network: MemoryNetwork, shaky: ShakyServer) -> None:
    shaky.cuts = 100
    none = RetryPolicy(share=0.0, minimum=0.0)
    async with (
        serve(shaky, ADDRESS, via=network, grace=0.0),
        connect(ADDRESS, via=network, retries=none) as client,
    ):
        with pytest.raises(Unavailable, match="budget of retries is spent"):
            await client.stub(Shaky).again("a")
    assert shaky.ran == 1


def test_pauses_double_up_to_the_longest() -> None:
    policy = RetryPolicy(first_pause=0.5, longest_pause=3.0)
    for attempts, longest in ((1, 0.5), (2, 1.0), (3, 2.0), (4, 3.0), (10_000, 3.0)):
        pauses = [policy.pause(attempts) for _ in range(200)]
        assert 0.0 <= min(pauses) < longest / 4
        assert longest * 3 / 4 < max(pauses) <= longest


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts_max": 0},
        {"first_pause": -1.0},
        {"first_pause": 2.0, "longest_pause": 1.0},
        {"longest_pause": float("inf")},
        {"share": -0.1},
        {"minimum": float("nan")},
    ],
)
def test_a_policy_makes_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]

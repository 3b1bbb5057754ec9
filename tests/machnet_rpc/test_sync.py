"""The blocking client: the same calls, errors and deadlines, in threads without an event loop."""

import asyncio
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machnet_rpc import (
    ContractError,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    RpcError,
    Unavailable,
    Unimplemented,
    rpc,
    service,
    sync,
)
from machnet_rpc._aio.exchange import Exchange
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.conftest import ADDRESS, only_memory
from tests.machnet_rpc.ledger import Balance, Entry, Frozen, Ledger, LedgerBook, Overdrawn
from tests.machnet_rpc.server_thread import SECONDS_MAX, ServerThread, serving
from tests.machnet_rpc.waiting import until_seen
from transport_engine.config import EngineConfig
from transport_engine.config import Limits as EngineLimits


class BlockingLedger(Ledger, sync.BlockingContract):
    pass


@pytest.fixture
def server_thread(via: Via, book: LedgerBook) -> Iterator[ServerThread]:
    with serving(book, "127.0.0.1:0", via) as server:
        yield server


@pytest.fixture
def blocking(via: Via, server_thread: ServerThread) -> Iterator[sync.Client]:
    with sync.connect(server_thread.address, via=via, timeout=5.0) as client:
        yield client


def test_calls_of_every_form(blocking: sync.Client, book: LedgerBook) -> None:
    ledger = blocking.stub(BlockingLedger)
    entry = Entry(account="a", amount=Decimal("10.25"), tags=["x"])
    assert ledger.post(entry) == Balance("a", Decimal("10.25"))
    assert blocking.call(Ledger.post, entry) == Balance("a", Decimal("20.50"))
    assert blocking.method(Ledger.post)(entry) == Balance("a", Decimal("30.75"))
    assert blocking.stub(Ledger).balance(currency="USD", account="a") == Balance(
        "a/USD", Decimal("30.75")
    )
    assert ledger.nothing() is None
    assert blocking.call("ledger/nothing") is None
    assert blocking.call("ledger/balance", {"account": "b"}) is None
    assert blocking.call("ledger/echo", b"raw") == b"raw"
    assert book.journal == ["nothing", "nothing"]


def test_bytes_of_any_length(blocking: sync.Client) -> None:
    echo = blocking.method(Ledger.echo)

    @settings(
        max_examples=30,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(st.binary(), st.sampled_from([0, 1, 65_536, 65_537, 3_000_000]))
    def goes_there_and_back(head: bytes, size: int) -> None:
        data = head + bytes(size)
        assert echo(data) == data

    goes_there_and_back()


def test_many_in_flight(blocking: sync.Client) -> None:
    sent = [i.to_bytes(2, "big") * (i % 300) for i in range(1000)]
    assert blocking.call_many(Ledger.echo, sent) == sent
    outcomes = blocking.call_many(Ledger.fail, ["", "not found"], return_exceptions=True)
    assert outcomes[0] == 0
    assert isinstance(outcomes[1], NotFound)


def test_errors_arrive_as_what_they_are(blocking: sync.Client) -> None:
    ledger = blocking.stub(BlockingLedger)
    with pytest.raises(NotFound) as caught:
        ledger.fail("not found")
    assert caught.value.executed == "yes"
    assert caught.value.method == "ledger/fail"
    assert caught.value.next_step == "Insert it first."
    with pytest.raises(Frozen):
        ledger.fail("declared")
    with pytest.raises(Overdrawn) as overdrawn:
        ledger.post(Entry(account="a", amount=Decimal(-1)))
    assert overdrawn.value.missing == 1
    with pytest.raises(Internal, match="the handler's result is wrong"):
        ledger.fail("wrong result")
    with pytest.raises(Unimplemented) as unknown:
        blocking.call("ledger/unknown")
    assert unknown.value.executed == "no"
    assert ledger.echo(b"goes on") == b"goes on"


def test_what_cannot_be_sent_is_not(blocking: sync.Client, book: LedgerBook) -> None:
    with pytest.raises(InvalidArgument) as caught:
        blocking.stub(Ledger).post("no entry")
    assert (caught.value.executed, caught.value.stage) == ("no", "encoding")
    with pytest.raises(ResourceExhausted) as large:
        blocking.stub(Ledger).echo(bytes(20_000_000))
    assert large.value.executed == "no"
    with pytest.raises(ContractError):
        blocking.call("no method")
    untyped: Any = blocking
    with pytest.raises(TypeError, match=r'as in call\("ledger/nothing", {"account": ...}\)'):
        untyped.call("ledger/nothing", account="a")
    unopened = sync.connect("127.0.0.1:1")
    with pytest.raises(RuntimeError, match=r"or `with sync\.connect"):
        unopened.transport  # noqa: B018
    unopened.close()
    for wrong in (None, "ledger", book):
        with pytest.raises(ContractError):
            untyped.stub(wrong)
    with pytest.raises(ContractError, match="'ledger/post' is no method of a contract"):
        untyped.call_many("ledger/post", ["a"])
    with pytest.raises(ContractError, match=r"gives no items: use client\.call"):
        untyped.stream(Ledger.echo, b"")
    assert book.journal == []


def test_a_late_answer_is_a_deadline_exceeded(blocking: sync.Client, book: LedgerBook) -> None:
    ledger = blocking.stub(BlockingLedger)
    ledger.nothing()
    before = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        ledger.sleep.using(timeout=0.05)(30)
    assert 0.05 <= time.monotonic() - before < 2
    assert (caught.value.executed, caught.value.stage) == ("yes", "handler started")
    until_seen(lambda: book.journal == ["nothing", "start", "cancelled"])
    for seconds in (-1, 0, 1e-10):  # the last is less than a nanosecond
        with pytest.raises(DeadlineExceeded) as none_left:
            ledger.echo.using(timeout=seconds)(b"")
        assert none_left.value.executed == "no"
    assert ledger.sleep.using(timeout=5)(0.01).startswith("127.0.0.1:")


def test_timeouts_of_client_and_method_merge(blocking: sync.Client) -> None:
    remaining = blocking.using(timeout=2.0).stub(BlockingLedger).remaining()
    assert remaining is not None
    assert 1 < remaining <= 2
    remaining = blocking.using(timeout=2.0).using(priority=1).call(Ledger.remaining)
    assert remaining is not None
    assert 1 < remaining <= 2
    remaining = blocking.method(Ledger.remaining).using(timeout=0.5)()
    assert remaining is not None
    assert remaining <= 0.5


def test_threads_take_turns(blocking: sync.Client) -> None:
    echo = blocking.method(Ledger.echo)

    def calls(number: int) -> int:
        sent = [number.to_bytes(1, "big") * i for i in range(100)]
        return sum(echo(each) == each for each in sent)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(calls, range(4))) == [100] * 4


def test_a_thread_that_waits_too_long_for_its_turn_is_told(blocking: sync.Client) -> None:
    ledger = blocking.stub(BlockingLedger)
    ledger.nothing()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(ledger.sleep.using(timeout=5), 0.5)
        until_seen(lambda: blocking._blocking._is_busy)
        with pytest.raises(DeadlineExceeded, match="other threads") as caught:
            ledger.nothing.using(timeout=0.05)()
        assert caught.value.executed == "no"
        assert other.result(5)


def test_not_in_the_thread_of_an_event_loop(blocking: sync.Client) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="would stop the event loop"):
            blocking.call(Ledger.echo, b"")
        with pytest.raises(RuntimeError, match="would stop the event loop"):
            sync.connect(ADDRESS)

    asyncio.run(main())
    assert blocking.call(Ledger.echo, b"1") == b"1"


@only_memory
def test_a_notebook_may_wait(blocking: sync.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = types.ModuleType("IPython")
    monkeypatch.setattr(notebook, "get_ipython", object, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", notebook)

    async def cell() -> None:
        assert blocking.call(Ledger.echo, b"1") == b"1"
        assert blocking.call("ledger/echo", b"2") == b"2"
        await asyncio.sleep(0)

    asyncio.run(cell())


@pytest.mark.parametrize("via", ["memory", "sidecar", "direct"], indirect=True)
def test_tasks_of_its_loop_are_resumed_within_that(blocking: sync.Client) -> None:
    """What is under way there beside a call, as why a stream has failed is asked."""
    inside = blocking._blocking

    async def beside(seconds: float) -> asyncio.AbstractEventLoop:
        await inside.client.call(Ledger.sleep, seconds)
        return asyncio.get_running_loop()

    tasks = [inside.loop.create_task(beside(0.01 * number)) for number in range(10)]
    blocking.using(metadata={"a": "b"}).call(Ledger.nothing)  # a turn of the loop
    echo, late = blocking.method(Ledger.echo), time.monotonic() + 0.2
    while time.monotonic() < late:
        assert echo(b"past the loop") == b"past the loop"
    inside.run(SECONDS_MAX, asyncio.wait, tasks)
    assert {task.result() for task in tasks} == {inside.loop}


def test_an_idle_engine_answers_for_itself(book: LedgerBook) -> None:
    """Its peer would give the flow up after half a second without a word."""
    attentive = EngineConfig(limits=EngineLimits(keep_alive_seconds=0.1, dead_seconds=0.5))
    with (
        serving(book, "127.0.0.1:0", attentive) as server,
        sync.connect(server.address, via=EngineConfig(), timeout=5.0) as client,
    ):
        assert client.call(Ledger.echo, b"1") == b"1"
        pump = server.server._pump
        assert pump is not None
        accepted = list(pump.connections)
        time.sleep(1.2)
        assert len(accepted) == 1
        assert list(pump.connections) == accepted


@pytest.mark.parametrize("via", ["memory", "direct"], indirect=True)
def test_a_signal_handler_cannot_call_within_a_call(
    blocking: sync.Client, book: LedgerBook
) -> None:
    ledger = blocking.stub(BlockingLedger)
    failures: list[str] = []

    def handler(number: int, frame: object) -> None:
        try:
            ledger.nothing()
        except RuntimeError as error:
            failures.append(str(error))

    def interrupt() -> None:
        until_seen(lambda: book.journal == ["start"])
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        thread = threading.Thread(target=interrupt)
        thread.start()
        ledger.sleep.using(timeout=5)(0.5)
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(failures) == 1
    assert "a signal handler interrupted" in failures[0]


def test_a_child_must_connect_again(blocking: sync.Client) -> None:
    echo = blocking.method(Ledger.echo)
    assert echo(b"1") == b"1"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            echo(b"2")
        except RuntimeError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as said:
        assert "connected before the process forked" in said.read()
    assert echo(b"3") == b"3"


def test_a_closed_client_says_so(blocking: sync.Client) -> None:
    assert blocking.call(Ledger.echo, b"1") == b"1"
    blocking.close()
    blocking.close()
    for call in (lambda: blocking.call(Ledger.echo, b""), lambda: blocking.call("ledger/nothing")):
        with pytest.raises(Unavailable, match="the client is closed") as caught:
            call()
        assert caught.value.executed == "no"


@only_memory
def test_a_call_under_way_when_another_thread_closes_says_so(blocking: sync.Client) -> None:
    inner = blocking._blocking
    assert blocking.call(Ledger.echo, b"1") == b"1"
    connection = inner._keeper.connection
    assert connection is not None
    how = Exchange(1, 10**10, 0, 4, inner.loop, 0)
    sleep = blocking.method(Ledger.sleep)
    now_ns, payload, number = (
        time.monotonic_ns(),
        sleep._encoded((9,), {}),
        sleep._binding.method_id,
    )
    sent = connection.request(payload, number, now_ns + 10**10, now_ns, 0, None, 0, inner.loop)
    blocking.close()
    assert inner.finish(sent, 0) is sent
    method = blocking.method(Ledger.echo)
    with pytest.raises(Unavailable) as caught:
        method._given(b"2", sent)
    assert caught.value.executed in ("maybe", "yes")  # if word of it came
    assert method._given(b"2", inner.ended_call(b"3", how)) == b"3"


def test_nobody_listens(via: Via) -> None:
    with sync.connect("127.0.0.1:9", via=via, timeout=0.2) as client:
        for unlucky in (client, client.using(wait=False)):
            with pytest.raises(RpcError) as caught:
                unlucky.call(Ledger.echo, b"")
            assert isinstance(caught.value, Unavailable | DeadlineExceeded)
            assert (caught.value.executed, caught.value.stage) == ("no", "connecting")


def test_a_server_that_left_while_the_client_was_idle(via: Via, book: LedgerBook) -> None:
    with serving(book, "127.0.0.1:0", via) as first:
        address = first.address
        client = sync.connect(address, via=via, timeout=5.0)
        client.open()
        assert client.call(Ledger.echo, b"1") == b"1"
    with serving(book, address, via):
        time.sleep(0.05)  # as long as a client must be idle before it looks again
        assert client.call(Ledger.echo, b"2") == b"2"
        client.close()


@only_memory
def test_an_engine_that_dies_under_a_call(
    blocking: sync.Client, server_thread: ServerThread
) -> None:
    ledger = blocking.stub(BlockingLedger)
    assert ledger.echo(b"1") == b"1"
    pump = blocking._blocking._keeper.pump
    assert pump is not None
    timer = threading.Timer(0.05, pump.link.die)  # type: ignore[attr-defined]
    timer.start()
    with pytest.raises(Unavailable) as caught:
        ledger.sleep.using(timeout=5)(5)
    assert caught.value.executed == "yes"
    timer.join()
    assert ledger.echo(b"2") == b"2"


@service("ledger")
class OldLedger:
    @rpc
    async def echo(self, data: bytes) -> int:
        raise NotImplementedError


def test_a_result_of_another_contract_is_explained(blocking: sync.Client) -> None:
    assert blocking.call(Ledger.echo, b"text") == b"text"
    with pytest.raises(Internal, match="the contracts differ") as caught:
        blocking.call(OldLedger.echo, b"text")
    assert caught.value.executed == "yes"
    assert "Upgrade this client" in caught.value.next_step

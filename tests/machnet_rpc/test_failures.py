"""Calls that fail: each with its code, and the truth about whether the handler ran."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import InitVar, dataclass
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from machnet_rpc import (
    Cancelled,
    Client,
    Code,
    ContractError,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    Limits,
    MemoryNetwork,
    NotFound,
    ResourceExhausted,
    RpcError,
    Server,
    Unavailable,
    Unimplemented,
    connect,
    rpc,
    serve,
    service,
)
from machnet_rpc._protocol.records import MESSAGE_BYTES_MAX
from machnet_rpc._reasons import sentence
from machnet_rpc._repetitions import WHOLE_MAX
from machnet_rpc._transports.memory import MemoryLink
from machnet_rpc.testing import test_client
from tests.machnet_rpc.conftest import ADDRESS, only_memory
from tests.machnet_rpc.ledger import Entry, Frozen, Ledger, LedgerBook, Overdrawn, Undeclared
from tests.machnet_rpc.waiting import until
from transport_engine.config import EngineConfig
from transport_engine.config import Limits as EngineLimits

Call = Callable[[Client], Any]
BIG = b"x" * (MESSAGE_BYTES_MAX + 1)

TRUTH: list[tuple[str, Call, type[RpcError], str, str, str]] = [
    ("service", lambda c: c.call("nope/x", 1), Unimplemented, "no", "reply seen", "no such"),
    ("method", lambda c: c.call("ledger/x", 1), Unimplemented, "no", "reply seen", "it has"),
    (
        "field",
        lambda c: c.call("ledger/post", {"account": "a", "amount": "much"}),
        InvalidArgument,
        "no",
        "reply seen",
        "entry: amount: Input should be a valid decimal",
    ),
    (
        "missing",
        lambda c: c.call("ledger/balance", {"currency": "EUR"}),
        InvalidArgument,
        "no",
        "reply seen",
        "argument account is missing",
    ),
    (
        "not msgpack",
        lambda c: c.call("ledger/post", b"\xc1"),
        InvalidArgument,
        "no",
        "reply seen",
        "not msgpack",
    ),
    (
        "wrong here",
        lambda c: c.stub(Ledger).balance("a", 5),  # type: ignore[arg-type]
        InvalidArgument,
        "no",
        "encoding",
        "currency: must be str, not int 5",
    ),
    ("large", lambda c: c.stub(Ledger).echo(BIG), ResourceExhausted, "no", "encoding", "16773121"),
    ("handler", lambda c: c.stub(Ledger).fail("not found"), NotFound, "yes", "reply seen", "such"),
    ("bug", lambda c: c.stub(Ledger).fail("undeclared"), RpcError, "yes", "reply seen", "Undecla"),
    (
        "result",
        lambda c: c.stub(Ledger).fail("wrong result"),
        Internal,
        "yes",
        "reply seen",
        "must be int, not str 'text'",
    ),
    ("itself", lambda c: c.stub(Ledger).fail("cancelled"), Cancelled, "yes", "reply seen", "by it"),
    ("slow", lambda c: c.stub(Ledger).sleep.using(timeout=0.2)(9), DeadlineExceeded, "yes",
     "handler started", "no answer"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "kind", "executed", "stage", "words"),
    [row[1:] for row in TRUTH],
    ids=[row[0] for row in TRUTH],
)
async def test_what_an_error_says(
    client: Client, call: Call, kind: type[RpcError], executed: str, stage: str, words: str
) -> None:
    await client.stub(Ledger).echo(b"the flow is open")
    with pytest.raises(RpcError) as caught:
        await call(client)
    error = caught.value
    assert type(error) is kind
    assert (error.executed, error.stage) == (executed, stage)
    assert words in str(error)
    assert error.peer == client.address
    assert "/" in error.method
    assert error.code.name in str(error)
    assert error.as_dict()["executed"] == executed
    assert await client.stub(Ledger).echo(b"still up") == b"still up"


async def test_declared_exceptions_arrive_as_what_they_are(client: Client) -> None:
    with pytest.raises(Overdrawn) as caught:
        await client.stub(Ledger).post(Entry(account="a", amount=Decimal(-3)))
    assert (caught.value.account, caught.value.missing) == ("a", Decimal(3))
    assert any("executed: yes" in note for note in caught.value.__notes__)
    with pytest.raises(Frozen) as frozen:
        await client.stub(Ledger).fail("declared")
    assert frozen.value.args == ("until", 2027)
    with pytest.raises(RpcError) as plain:
        await client.call("ledger/fail", "declared")
    assert plain.value.code is Code.UNKNOWN


@dataclass(frozen=True)
class Fixed(Exception):
    at: int


@dataclass
class Sorted(Exception):
    at: int
    kind: ClassVar[str] = "any"
    seed: InitVar[int] = 5


class Closed(Unavailable):
    """For today: the handler has said so, and says so again."""


@service("odd", errors=[Fixed, Sorted, Closed])
class Odd:
    @rpc(idempotent=True)
    async def fail(self, how: str) -> None:
        raise NotImplementedError


class OddServer(Odd):
    @rpc
    async def fail(self, how: str) -> None:
        raise Closed("today") if how == "closed" else Fixed(3) if how == "fixed" else Sorted(3)


async def test_a_declared_error_says_where_it_comes_from_and_is_an_answer() -> None:
    async with test_client(OddServer()) as client:
        with pytest.raises(Closed, match=r"odd/fail at .*: today") as caught:
            await client.stub(Odd).fail("closed")
    assert (caught.value.executed, caught.value.stage) == ("yes", "reply seen")
    assert caught.value.attempts == 1


async def test_frozen_exceptions_and_those_with_more_than_fields_arrive() -> None:
    async with test_client(OddServer()) as client:
        with pytest.raises(Fixed) as fixed:
            await client.stub(Odd).fail("fixed")
        assert fixed.value == Fixed(3)
        with pytest.raises(Sorted) as sorted_:
            await client.stub(Odd).fail("sorted")
        assert sorted_.value.at == 3


def test_an_error_tells_of_attempts_where_there_were_several() -> None:
    error = Unavailable("it is gone", executed="maybe", stage="sent")
    assert str(error) == "it is gone (UNAVAILABLE, stage: sent, executed: maybe)"
    assert "attempts" not in error.as_dict()
    error.attempts, error.earlier = 2, "UNAVAILABLE: it was gone"
    assert "2 attempts, the one before ended as UNAVAILABLE: it was gone)" in str(error)
    assert error.as_dict()["attempts"] == "2"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (5, "NOT_FOUND"),
        (0, "UNKNOWN, since 0 is no code"),
        (17, "UNKNOWN, since 17 is no code"),
        ("NOT_FOUND", "UNKNOWN, since 'NOT_FOUND' is no code"),
    ],
)
def test_an_error_tells_of_its_code_where_that_is_a_number_or_none(code: Any, name: str) -> None:
    error = RpcError("it is gone", code=code)
    assert str(error) == f"it is gone ({name})"
    assert error.as_dict()["code"] == name


def test_an_error_without_words() -> None:
    assert str(RpcError("", method="a/b", peer="h:1")) == "a/b at h:1 (UNKNOWN)"
    assert str(RpcError("")) == "UNKNOWN"


async def test_next_step_travels(client: Client) -> None:
    with pytest.raises(NotFound, match=r"Insert it first\.$"):
        await client.stub(Ledger).fail("not found")


@pytest.mark.parametrize("wrong", ["x", "/x", "x/", ""])
async def test_a_name_without_a_method(client: Client, wrong: str) -> None:
    with pytest.raises(ContractError, match="service/method"):
        await client.call(wrong)


async def test_wrong_arity_is_a_type_error_as_for_any_function(client: Client) -> None:
    ledger: Any = client.stub(Ledger)
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: ledger.balance(), "needs its argument 'account'"),
        (lambda: ledger.balance("a", "b", "c"), "takes 2 arguments, not 3"),
        (lambda: ledger.balance("a", account="b"), "got 'account' twice"),
        (lambda: ledger.echo(dat=b""), "has no argument 'dat'"),
    ]
    for call, words in calls:
        with pytest.raises(TypeError, match=words):
            await call()


async def test_nobody_listens(network: MemoryNetwork) -> None:
    async with connect(ADDRESS, via=network, wait=False) as client:
        with pytest.raises(Unavailable, match="nobody listens on that port") as caught:
            await client.call("ledger/nothing")
    assert (caught.value.executed, caught.value.stage) == ("no", "connecting")


async def test_waiting_for_a_server_ends_at_the_deadline(network: MemoryNetwork) -> None:
    async with connect(ADDRESS, via=network, timeout=0.1) as client:
        with pytest.raises(Unavailable, match="until the call's time was over") as caught:
            await client.call("ledger/nothing")
    assert caught.value.executed == "no"


async def test_a_call_waits_for_its_server(network: MemoryNetwork, book: LedgerBook) -> None:
    async with connect(ADDRESS, via=network) as client:
        early = asyncio.ensure_future(client.stub(Ledger).echo(b"early"))
        await asyncio.sleep(0.03)
        async with serve(book, ADDRESS, via=network):
            assert await early == b"early"


async def test_a_dead_server_ends_calls_and_a_restarted_one_is_used(
    network: MemoryNetwork, book: LedgerBook
) -> None:
    async with connect(ADDRESS, via=network) as client:
        async with serve(book, ADDRESS, via=network, grace=0) as server:
            pending = asyncio.ensure_future(client.stub(Ledger).sleep.using(timeout=5)(5))
            await until(lambda: book.journal)
            die(server)
            with pytest.raises(Unavailable, match="stopped answering") as caught:
                await pending
            assert (caught.value.executed, caught.value.stage) == ("maybe", "sent")
            await asyncio.sleep(0)
        async with serve(LedgerBook(), ADDRESS, via=network):
            assert await client.stub(Ledger).echo(b"again") == b"again"


@only_memory
async def test_a_server_comes_back_when_its_engine_does(
    server: Server, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    assert await client.stub(Ledger).echo(b"1") == b"1"
    with caplog.at_level(logging.CRITICAL, "machnet_rpc"):
        die(server)
        connection = client._keeper.connection
        assert connection is not None
        await until(lambda: connection.is_closed)
        assert await client.stub(Ledger).echo(b"2") == b"2"


@only_memory
async def test_a_client_attaches_anew_when_its_engine_died(
    client: Client, book: LedgerBook
) -> None:
    ledger = client.stub(Ledger)
    assert await ledger.echo(b"1") == b"1"
    pending = asyncio.ensure_future(ledger.sleep.using(timeout=5)(5))
    await until(lambda: book.journal)
    assert client._keeper.pump is not None
    link = client._keeper.pump.link
    assert isinstance(link, MemoryLink)
    link.die()
    with pytest.raises(Unavailable, match="the engine stopped"):
        await pending
    assert await ledger.echo(b"2") == b"2"


def die(server: Server) -> None:
    assert isinstance(server._link, MemoryLink)
    server._link.die()


async def test_calls_beyond_the_limits_are_refused(network: MemoryNetwork) -> None:
    limits = Limits(handlers=2, request_bytes=100, reply_bytes=50)
    async with (
        serve(LedgerBook(), "127.0.0.1:1", via=network, limits=limits, grace=0) as server,
        connect(server.address, via=network) as client,
    ):
        ledger = client.stub(Ledger)
        with pytest.raises(ResourceExhausted, match="the server takes 100") as caught:
            await ledger.echo(b"x" * 101)
        assert caught.value.executed == "no"
        with pytest.raises(ResourceExhausted, match="at most 50 can be sent") as caught:
            await ledger.echo(b"x" * 51)
        assert caught.value.executed == "yes"
        slow = [asyncio.ensure_future(ledger.sleep.using(timeout=9)(9)) for _ in range(2)]
        await until(lambda: server.handlers_running == 2)
        with pytest.raises(ResourceExhausted, match="which is the limit") as caught:
            await ledger.echo(b"")
        assert caught.value.executed == "no"
        for call in slow:
            call.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


async def test_each_side_keeps_to_what_the_other_takes() -> None:
    small = EngineConfig(limits=EngineLimits(message_bytes_max=100_000))
    data = b"x" * 40_000
    for server_via, client_via, executed in (
        (small, EngineConfig(), "no"),
        (EngineConfig(), small, "yes"),
    ):
        async with (
            serve(LedgerBook(), "127.0.0.1:0", via=server_via) as server,
            connect(server.address, via=client_via) as client,
        ):
            ledger = client.stub(Ledger)
            assert await ledger.repeat(data, 2) == data * 2
            too_large = ledger.echo(data * 3) if executed == "no" else ledger.repeat(data, 3)
            with pytest.raises(ResourceExhausted, match="at most") as caught:
                await too_large
            assert caught.value.executed == executed
            assert await ledger.repeat(data, 2) == data * 2


class Failing(LedgerBook):
    @rpc
    async def nothing(self) -> None:
        raise Undeclared

    @rpc
    async def echo(self, data: bytes) -> bytes:
        return "text"  # type: ignore[return-value]


async def test_what_fails_again_and_again_is_counted_in_the_log(
    network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serve(Failing(), ADDRESS, via=network),
        connect(ADDRESS, via=network) as client,
    ):
        ledger = client.stub(Ledger)
        calls = [ledger.nothing() for _ in range(300)] + [ledger.echo(b"") for _ in range(200)]
        for ended in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(ended, RpcError)
    said = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    whole = [record for record in caplog.records if record.exc_info is not None]
    assert len(whole) == WHOLE_MAX
    assert sum(words.startswith("ledger/echo gave what") for words in said) == WHOLE_MAX + 1
    counted = [words for words in said if "times more within" in words]
    assert [words.partition(" within")[0] for words in counted] == [
        f"ledger/nothing raised Undeclared: {300 - WHOLE_MAX} times more",
        f"ledger/echo gave what its contract does not allow: {200 - WHOLE_MAX} times more",
    ]


def test_nobody_is_told_to_repeat_a_call_that_may_have_been_executed() -> None:
    again = [step for _, step in map(sentence, range(32)) if "again" in step and "call" not in step]
    assert again
    assert all("if it was not executed" in step for step in again)

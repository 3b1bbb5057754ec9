"""What a server that lives is asked about the calls of a flow that was cut."""

import asyncio
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from machnet_rpc import Client, NotFound, RpcError, Server, Unavailable, connect, serve, sync
from machnet_rpc._last_words import LastWords
from machnet_rpc._protocol.calls import (
    HEARD_NEVER,
    HEARD_NOTHING,
    HEARD_STARTED,
    IncomingCall,
    OutgoingCall,
)
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.starts import Starts
from machnet_rpc._transports.ladder import Via
from machnet_rpc.context import CURRENT
from machnet_rpc.fates import KEPT_MAX, Fates, FatesContract
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from tests.machnet_rpc.server_thread import serving
from tests.machnet_rpc.waiting import until, until_seen
from tests.memory_files import SHM, needs_shm
from transport_engine import starts_file
from transport_engine.config import EngineConfig
from transport_engine.errors import EngineGoneError
from transport_engine.starts_file import words_of

by_engines = pytest.mark.parametrize("via", ["inline", "sidecar"], indirect=True)
needs_crossing = pytest.mark.skipif(
    os.environ.get("MRPC_CROSSING") == "python", reason="what has started is noted in C"
)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where servers keep the files that outlive them."""
    with tempfile.TemporaryDirectory(dir=SHM) as made:
        monkeypatch.setattr(starts_file, "default_folder", lambda: Path(made))
        yield Path(made)


def files_in(folder: Path) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in folder.iterdir()]


def lose_engine(client: Client) -> Connection:
    """As if the client's engine had been killed: what it has said is not heard."""
    connection, pump = client._keeper.connection, client._keeper.pump
    assert connection is not None
    assert pump is not None
    for call in connection.awaited.values():
        call.heard = HEARD_NOTHING
    pump._lose(pump.port, EngineGoneError("it was killed"))
    return connection


@needs_crossing
@by_engines
async def test_whether_a_call_had_started_is_asked_once_on_the_next_flow(
    client: Client, book: LedgerBook, server: Server
) -> None:
    ledger = client.stub(Ledger)
    await ledger.echo(b"the flow is open")
    by_both = (None, {"made": "in Python"}, None)
    sleeps = [ledger.sleep.using(timeout=5.0, metadata=each) for each in by_both]
    calls = [asyncio.create_task(sleep(9.0)) for sleep in sleeps]
    by_name = client.using(timeout=5.0)
    calls.append(asyncio.create_task(by_name.call("ledger/sleep", 9.0)))
    by_name = by_name.using(metadata={"made": "in Python"})
    calls.append(asyncio.create_task(by_name.call("ledger/sleep", 9.0)))
    await until(lambda: book.journal.count("start") == 5)
    connection = client._keeper.connection
    assert connection is not None
    await until(lambda: all(each.heard == HEARD_STARTED for each in connection.awaited.values()))
    lose_engine(client)
    for call in calls:
        with pytest.raises(Unavailable) as caught:
            await call
        assert (caught.value.executed, caught.value.stage) == ("yes", "handler started")
    assert await ledger.echo(b"it is back") == b"it is back"
    assert (await server.statistics.read("mrpc.fates/last_word")).begun == 1


@needs_crossing
@pytest.mark.parametrize("call", [Ledger.sleep, "ledger/sleep"], ids=["by contract", "by name"])
def test_a_blocking_client_asks_as_well(call: Any, book: LedgerBook) -> None:
    with (
        serving(book, "127.0.0.1:0", EngineConfig()) as server,
        sync.connect(server.address, via=EngineConfig(), timeout=5.0) as blocking,
    ):
        assert blocking.call(Ledger.echo, b"the flow is open") == b"the flow is open"

        def cut() -> None:
            until_seen(lambda: book.journal == ["start"])
            loop = blocking._blocking.loop
            loop.call_soon_threadsafe(lose_engine, blocking._blocking.client)

        cutter = threading.Thread(target=cut)
        cutter.start()
        with pytest.raises(Unavailable) as caught:
            blocking.call(call, 9.0)
        cutter.join()
        assert (caught.value.executed, caught.value.stage) == ("yes", "handler started")


@by_engines
async def test_who_does_not_wait_does_not_ask(client: Client, book: LedgerBook) -> None:
    hasty = client.using(wait=False)
    await client.stub(Ledger).echo(b"the flow is open")
    call = asyncio.create_task(hasty.stub(Ledger).sleep.using(timeout=5.0)(9.0))
    await until(lambda: book.journal == ["start"])
    lose_engine(client)
    with pytest.raises(Unavailable):
        await call
    assert client._explaining._last_words._answer is None


@needs_crossing
@by_engines
async def test_an_open_flow_ends_when_it_is_asked_about(
    client: Client, server: Server, book: LedgerBook
) -> None:
    """So that nothing starts there after the answer."""
    await client.stub(Ledger).echo(b"")
    (lost,) = list(server._pump.connections) if server._pump is not None else []
    late = asyncio.create_task(client.stub(Ledger).sleep.using(timeout=5.0)(9.0))
    await until(lambda: book.journal == ["start"])
    starts = Starts(await server._fates.last_word(lost.number))
    assert lost.is_closed
    with pytest.raises(Unavailable):
        await late
    await until(lambda: "cancelled" in book.journal)
    assert starts.heard(2) == HEARD_STARTED
    assert starts.heard(3) == HEARD_NEVER


@needs_crossing
@by_engines
async def test_a_flow_that_was_closed_without_a_word_is_asked_about(
    client: Client, server: Server, book: LedgerBook
) -> None:
    """As by an engine that hears of a server's death before it sees the end of the channel."""
    await client.stub(Ledger).echo(b"")
    assert server._pump is not None
    assert client._keeper.connection is not None
    (lost,) = list(server._pump.connections)
    awaited = client._keeper.connection.awaited
    call = asyncio.create_task(client.stub(Ledger).sleep.using(timeout=5.0)(9.0))
    await until(lambda: [each.heard for each in awaited.values()] == [HEARD_STARTED])
    next(iter(awaited.values())).heard = HEARD_NOTHING
    server._pump.cut(lost)
    with pytest.raises(Unavailable) as caught:
        await call
    assert (caught.value.executed, caught.value.stage) == ("yes", "handler started")


@needs_crossing
@by_engines
async def test_a_server_that_ends_tells_what_it_will_not_start(via: Via, book: LedgerBook) -> None:
    """As one that was killed does."""
    with serving(book, "127.0.0.1:0", via) as running:
        async with connect(running.address, via=via, timeout=5.0) as client:
            ledger = client.stub(Ledger)
            await ledger.echo(b"the flow is open")
            begun = asyncio.create_task(ledger.sleep(9.0))
            await until(lambda: book.journal == ["start"])
            stands, goes_on = threading.Event(), threading.Event()

            def end() -> None:
                stands.set()
                goes_on.wait()
                server = running.server
                assert server._dispatcher is not None
                assert server._pump is not None
                server._dispatcher.stop()
                asyncio.ensure_future(server._pump.close())  # noqa: RUF006 (the server waits, too)

            running.loop.call_soon_threadsafe(end)
            await asyncio.to_thread(stands.wait)
            late = [asyncio.create_task(ledger.nothing()) for _ in range(3)]
            connection = client._keeper.connection
            assert connection is not None
            await until(lambda: len(connection.awaited) == 4)
            await until(lambda: all(each.sent for each in connection.awaited.values()))
            goes_on.set()
            for call, executed in ((begun, "yes"), *((each, "no") for each in late)):
                with pytest.raises(RpcError) as caught:
                    await call
                assert caught.value.executed == executed


async def test_nobody_knows_of_flows_that_are_not_there(client: Client) -> None:
    with pytest.raises(NotFound):
        await client.stub(FatesContract).last_word(7)


async def test_what_a_server_before_left_is_told() -> None:
    fates = Fates(lambda _: None, {7: b"left", 8: b""}.__getitem__)
    fates.keep(Numbered(9), b"own")  # type: ignore[arg-type]
    assert [await fates.last_word(number) for number in (7, 9)] == [b"left", b"own"]
    with pytest.raises(NotFound):
        await fates.last_word(8)


@needs_shm
@needs_crossing
async def test_a_server_with_its_own_engine_has_a_file_until_it_closes(
    folder: Path, book: LedgerBook
) -> None:
    async with (
        serve(book, "127.0.0.1:0", via=EngineConfig()) as server,
        connect(server.address, via=EngineConfig()) as client,
    ):
        await client.stub(Ledger).echo(b"the flow is open")
        ((name, data),) = files_in(folder)
        assert name.startswith(f"{server.address}.")
        (word,) = words_of(data).values()
        assert Starts(word).heard(1) == HEARD_STARTED
    assert files_in(folder) == []


@needs_shm
async def test_a_server_without_a_place_for_it_serves(
    folder: Path, book: LedgerBook, caplog: pytest.LogCaptureFixture
) -> None:
    os.chmod(folder, 0o755)
    caplog.set_level("INFO", "machnet_rpc")
    async with (
        serve(book, "127.0.0.1:0", via=EngineConfig()) as server,
        connect(server.address, via=EngineConfig()) as client,
    ):
        assert await client.stub(Ledger).echo(b"") == b""
        with pytest.raises(NotFound):
            await client.stub(FatesContract).last_word(7)
    assert "nobody will know what was started" in caplog.text
    assert "it is not this user's alone" in caplog.text


async def test_the_latest_flows_are_kept() -> None:
    fates = Fates(lambda _: None, lambda _: b"")
    connections = [Numbered(number) for number in range(KEPT_MAX + 2)]
    for each in connections:
        fates.keep(each, b"word")  # type: ignore[arg-type]
    fates.keep(Numbered(5000), b"")  # type: ignore[arg-type]
    assert len(fates._words) == KEPT_MAX
    assert await fates.last_word(KEPT_MAX + 1) == b"word"
    for number in (0, 1, 5000):
        with pytest.raises(NotFound):
            await fates.last_word(number)


class Numbered:
    """What is looked at of a connection."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_closed = True


class Asked:
    """A client whose server answers with that, or not at all."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.questions: list[int] = []
        self.within: list[IncomingCall | None] = []  # whose handlers, which bound its time
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    def using(self, *, timeout: float) -> "Asked":
        return self

    def stub(self, contract: type) -> "Asked":
        return self

    async def last_word(self, flow: int) -> bytes:
        self.questions.append(flow)
        self.within.append(CURRENT.get())
        await self.may_answer.wait()
        if self.answer is None:
            raise Unavailable("it is not back")
        return self.answer


def lost_call(connection: Numbered, call_id: int) -> OutgoingCall:
    call = OutgoingCall(1, (1 << 62), asyncio.get_running_loop())
    call.call_id, call.sent, call.connection = call_id, True, connection
    return call


async def told(asked: Asked, calls: Sequence[OutgoingCall]) -> list[str]:
    words = LastWords()
    failures = [Unavailable("lost", executed=each.executed, stage=each.stage) for each in calls]
    learning = [
        words.learn(asked, failure, call)  # type: ignore[arg-type]
        for failure, call in zip(failures, calls, strict=True)
    ]
    await asyncio.gather(*learning)
    return [failure.executed for failure in failures]


@pytest.mark.parametrize(
    ("answer", "executed"),
    [(bytes(264), ["no"] * 3), (None, ["maybe"] * 3), (b"short", ["maybe"] * 3)],
)
async def test_one_question_serves_all_calls(answer: bytes | None, executed: list[str]) -> None:
    asked, lost = Asked(answer), Numbered(9)
    assert await told(asked, [lost_call(lost, number) for number in (1, 2, 3)]) == executed
    assert asked.questions == [9]


async def test_who_asked_first_may_leave() -> None:
    asked, lost, words = Asked(bytes(264)), Numbered(9), LastWords()
    asked.may_answer.clear()
    failures = [Unavailable("lost", executed="maybe", stage="sent") for _ in range(2)]
    client: Any = asked
    first, second = (
        asyncio.create_task(words.learn(client, failure, lost_call(lost, number)))
        for number, failure in enumerate(failures)
    )
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    asked.may_answer.set()
    await second
    assert [failure.executed for failure in failures] == ["maybe", "no"]
    assert asked.questions == [9]


async def test_the_question_is_no_part_of_the_handler_that_asks_first() -> None:
    asked, words = Asked(bytes(264)), LastWords()
    CURRENT.set(IncomingCall(1, 1, 1, None))
    failure = Unavailable("lost", executed="maybe", stage="sent")
    await words.learn(asked, failure, lost_call(Numbered(9), 1))  # type: ignore[arg-type]
    assert asked.within == [None]


async def test_each_flow_is_asked_about_by_itself() -> None:
    asked = Asked(bytes(264))
    assert await told(asked, [lost_call(Numbered(number), 1) for number in (3, 4)])
    assert asked.questions == [3, 4]


async def test_who_needs_no_answer_does_not_ask() -> None:
    asked, words = Asked(bytes(264)), LastWords()
    retried = RpcError("", code=Unavailable.code, stage="sent")
    retried.attempts = 2
    for failure, call in (
        (Unavailable("", executed="yes"), lost_call(Numbered(9), 1)),
        (RpcError("no code of a lost flow"), lost_call(Numbered(9), 1)),
        (retried, lost_call(Numbered(9), 1)),
        (Unavailable("", executed="maybe", method="mrpc.fates/last_word"),
         lost_call(Numbered(9), 1)),
        (Unavailable("", executed="maybe"), lost_call(Numbered(0), 1)),
    ):  # fmt: skip
        before = failure.executed
        await words.learn(asked, failure, call)  # type: ignore[arg-type]
        assert failure.executed == before
    assert asked.questions == []

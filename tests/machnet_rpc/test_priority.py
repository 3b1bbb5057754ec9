"""Who says that a call is urgent, in whichever way it is made, has it and its answer go first."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import pytest

from machnet_rpc import (
    CallInfo,
    Client,
    InvalidArgument,
    MemoryNetwork,
    Next,
    connect,
    rpc,
    serve,
    service,
    sync,
)
from machnet_rpc._aio import crossing_port
from machnet_rpc._native import crossing
from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.events import Requested
from machnet_rpc._protocol.stream_table import OutgoingStream
from machnet_rpc._protocol.streams import Window
from machnet_rpc._transports.ladder import Via
from machnet_rpc.context import CURRENT
from machnet_rpc.middleware import Request
from machnet_rpc.testing import VirtualClock
from tests.machnet_rpc.commands import run
from tests.machnet_rpc.conftest import ADDRESS
from tests.machnet_rpc.protocol.pair import Pair, Side
from tests.machnet_rpc.server_thread import serving
from transport_engine.config import EngineConfig

BULK_BYTES = 50_000
BULK_CALLS = 40  # more than the engine looks through for the shortest of one priority


@service("queue")
class Queue:
    @rpc(timeout=60.0)
    async def put(self, data: bytes) -> bytes:
        """As many bytes as were sent."""
        raise NotImplementedError

    @rpc(timeout=60.0)
    async def get(self, size: int) -> bytes:
        raise NotImplementedError

    @rpc(idempotent="keyed")
    async def once(self) -> int:
        raise NotImplementedError

    @rpc
    def each(self, numbers: AsyncIterable[int]) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc
    async def last(self, numbers: AsyncIterable[int]) -> int:
        raise NotImplementedError

    @rpc(oneway=True)
    async def note(self) -> None:
        raise NotImplementedError

    @rpc
    async def priority(self, number: int) -> int:
        raise NotImplementedError


class QueueServer(Queue):
    """Answers with the priority that the request had, and notes in `came` who came, by size."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self.noted: asyncio.Queue[int] = asyncio.Queue()

    @rpc(timeout=60.0)
    async def put(self, data: bytes) -> bytes:
        self.came.append(len(data))
        return b""

    @rpc(timeout=60.0)
    async def get(self, size: int) -> bytes:
        return bytes(size)

    @rpc(idempotent="keyed")
    async def once(self) -> int:
        return had()

    @rpc
    async def each(self, numbers: AsyncIterable[int]) -> AsyncIterator[int]:
        async for _ in numbers:
            yield had()

    @rpc
    async def last(self, numbers: AsyncIterable[int]) -> int:
        return [had() async for _ in numbers][-1]

    @rpc(oneway=True)
    async def note(self) -> None:
        self.noted.put_nowait(had())

    @rpc
    async def priority(self, number: int) -> int:
        return had()


def had() -> int:
    """The priority of the call that is being answered."""
    call = CURRENT.get()
    assert call is not None
    return call.priority


async def two() -> AsyncIterator[int]:
    yield 1
    yield 2


@pytest.fixture(params=["in C", "in Python"])
def crossed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages cross into the rings in both ways that there are."""
    if request.param == "in Python":
        monkeypatch.setattr(crossing_port, "crossing", None)
    elif crossing is None:
        pytest.skip("messages cross in Python here")


@pytest.mark.usefixtures("crossed")
async def test_every_way_to_call_carries_it(via: Via) -> None:
    desk = QueueServer()
    async with (
        serve(desk, "127.0.0.1:0", via=via) as server,
        connect(server.address, via=via, timeout=5.0) as client,
    ):
        assert await seen(client, desk) == [4] * 8
        assert await seen(client.using(priority=1), desk) == [1] * 8
        stub = client.using(priority=1).stub(Queue)
        assert await stub.priority.using(priority=6)(1) == 6
        assert await stub.priority.using(timeout=1.0)(1) == 1
        assert await stub.priority.using(priority=7, metadata={"a": "b"})(1) == 7
        assert await stub.once.using(priority=0, key="k")() == 0
        assert [item async for item in stub.each.using(priority=5)(two())] == [5, 5]
        assert await stub.last.using(priority=3)(two()) == 3
        async with connect(server.address, via=via, timeout=5.0, middleware=[passed]) as other:
            assert await seen(other.using(priority=1), desk) == [1] * 8


async def passed(call: CallInfo, request: Request, following: Next) -> Any:
    return await following(request)


async def seen(client: Client, desk: QueueServer) -> list[Any]:
    """The priorities that a server sees of a client's calls, one of each kind."""
    stub = client.stub(Queue)
    await stub.note()
    return [
        await stub.priority(1),
        await client.call(Queue.priority, 1),
        await client.call("queue/priority", 1),
        *(await client.call_many(Queue.priority, [1])),
        *(await client.call_many(Queue.priority, [1], return_exceptions=True)),
        await stub.once(),
        *[item async for item in client.stream(Queue.each, two())][:1],
        await desk.noted.get(),
    ]


@pytest.mark.usefixtures("crossed")
def test_the_blocking_client_carries_it(via: Via) -> None:
    desk = QueueServer()
    with (
        serving(desk, "127.0.0.1:0", via) as server,
        sync.connect(server.address, via=via) as client,
    ):
        for number in range(3):  # by the loop, and past it
            assert client.method(Queue.priority)(number) == 4
            assert client.stub(Queue).priority.using(priority=2)(number) == 2
            assert client.stub(Queue).priority.using(priority=0)(number) == 0
            assert client.using(priority=1).call(Queue.priority, number) == 1
            assert client.using(priority=1).call("queue/priority", number) == 1
        urgent = client.using(priority=0)
        assert urgent.call_many(Queue.priority, [1, 2]) == [0, 0]
        assert urgent.call(Queue.once) == 0
        assert list(urgent.stream(Queue.each, sync.Items([1, 2]))) == [0, 0]
        assert client.method(Queue.last).using(priority=6)(sync.Items([1])) == 6
        assert urgent.using(priority=7).method(Queue.priority).using(timeout=1.0)(1) == 7


@pytest.mark.parametrize("wrong", [-1, 8, 1.0, "first", True])
def test_what_is_no_priority_is_said(wrong: Any) -> None:
    client, blocking = connect(ADDRESS), sync.connect(ADDRESS)
    for using in (
        client.using,
        client.stub(Queue).priority.using,
        blocking.using,
        blocking.method(Queue.priority).using,
        blocking.method(Queue.each).using,
    ):
        with pytest.raises(InvalidArgument, match="from 0, which goes first, to 7"):
            using(priority=wrong)
    blocking.close()


async def test_the_command_line_carries_it(
    network: MemoryNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serve(QueueServer(), ADDRESS, via=network):
        for given, seen in ([], 4), (["--priority", "0"], 0), (["--priority", "7"], 7):
            assert await run(network, "call", ADDRESS, "queue/priority", "1", *given) == 0
            assert capsys.readouterr().out == f"{seen}\n"
    with pytest.raises(SystemExit, match="2"):
        await run(network, "call", ADDRESS, "queue/priority", "1", "--priority", "8")
    assert "--priority: invalid choice: " in capsys.readouterr().err


def test_all_that_belongs_to_a_call_has_its_priority() -> None:
    pair = Pair()
    client, server = pair.client.connection, pair.server.connection
    calls = [pair.call(b"?", priority=priority) for priority in (0, 4, 7)]
    asked = [each.call for each in pair.to_server() if isinstance(each, Requested)]
    assert [call.priority for call in asked] == [0, 4, 7]
    server.reply(asked[0], b"")
    server.reply_error(asked[1], 5, b"")
    assert priorities(pair.server) == [(records.REPLY, 0), (records.REPLY, 4)]
    client.cancel(calls[2])
    assert priorities(pair.client) == [(records.CANCEL, 7)]
    client.go_away()
    client.go_away(records.LAST_PRIORITY)
    assert priorities(pair.client) == [(records.GOAWAY, 0), (records.GOAWAY, 7)]


def test_all_that_belongs_to_a_stream_has_its_priority() -> None:
    pair = Pair()
    call = OutgoingCall(77, pair.now_ns + 1_000_000_000, None)
    call.priority = 1
    near = OutgoingStream(call, gives=True, takes=True)
    pair.client.connection.open_stream(near, b"", pair.now_ns)
    (asked,) = pair.to_server()
    assert isinstance(asked, Requested)
    streams = pair.server.connection.streams
    far = streams.accept(asked.call, Window(4, 1000), gives=True)
    far.send(b"item")
    assert priorities(pair.server) == [(records.CREDIT, 1), (records.ITEM, 1)]
    near.finish()
    assert priorities(pair.client) == [(records.END, 1)]
    pair.server.connection.reply_stream(far, b"")
    assert priorities(pair.server) == [(records.REPLY, 1)]
    pair.client.connection.streams.cancel(near)
    assert priorities(pair.client) == [(records.CANCEL, 1)]


def priorities(side: Side) -> list[tuple[int, int]]:
    """Kind and priority of what a side sends."""
    return [(head[records.KIND], head[records.PRIORITY]) for head, _ in side.take()]


def test_urgent_calls_overtake_a_backlog() -> None:
    """Both ways; time and chance are the test's, so each run is the same."""
    runs: list[tuple[list[int], list[int]]] = []
    for _ in range(2):
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runs.append(runner.run(_overtaking()))
    assert runs[0] == runs[1]


async def _overtaking() -> tuple[list[int], list[int]]:
    """In which order requests came to a server, by size, and answers back, by number."""
    desk = QueueServer()
    async with (
        VirtualClock(),
        serve(desk, "127.0.0.1:0", via=EngineConfig()) as server,
        connect(server.address, via=EngineConfig(), timeout=60.0) as client,
    ):
        await client.stub(Queue).put(b"")
        desk.came.clear()
        await _overtake_requests(client)
        places = {size: desk.came.index(size) for size in (1, 4, 7)}
        assert places[1] < 5  # behind what was on its way, before the backlog
        assert places[1] < places[4] < places[7] == BULK_CALLS + 2
        order = await _overtake_answers(client)
        assert order.index(0) < BULK_CALLS // 2
        assert order[-1] == 7
        return desk.came, order


async def _overtake_requests(client: Client) -> None:
    async def put(size: int, priority: int | None) -> None:
        await client.stub(Queue).put.using(priority=priority)(bytes(size))

    bulk = [put(BULK_BYTES, None) for _ in range(BULK_CALLS)]
    await asyncio.gather(*bulk, put(7, 7), put(4, None), put(1, 0))


async def _overtake_answers(client: Client) -> list[int]:
    order: list[int] = []
    first = asyncio.Event()

    async def get(number: int, size: int, priority: int | None) -> None:
        await client.stub(Queue).get.using(priority=priority)(size)
        order.append(number)
        first.set()

    backlog = [asyncio.ensure_future(get(4, BULK_BYTES, None)) for _ in range(BULK_CALLS)]
    await first.wait()  # by then the server has answered all of them
    await asyncio.gather(get(7, 1, 7), get(0, 1, 0), *backlog)
    return order

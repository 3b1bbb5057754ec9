"""What a desk in C takes from the ring is served as Python would: in order, within limits, once."""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from machnet_rpc import Limits, current_call, rpc, service
from machnet_rpc._aio.dispatch import Dispatcher
from machnet_rpc._clock import monotonic_ns
from machnet_rpc._method_id import method_id
from machnet_rpc._native import crossing
from machnet_rpc._protocol import records
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.deadlines import Deadlines
from machnet_rpc.context import CURRENT
from machnet_rpc.errors import Code
from machnet_rpc.server import Server
from tests.machnet_rpc.test_crossing import FLOW, FOREVER_NS, Rig
from tests.machnet_rpc.waiting import until

pytestmark = pytest.mark.skipif(crossing is None, reason="requests are taken in Python here")

ECHO, LENGTH = method_id("desk", "echo"), method_id("desk", "length")
SECOND_NS = 1_000_000_000


@service("desk")
class Desk:
    @rpc
    async def echo(self, payload: bytes) -> bytes:
        raise NotImplementedError

    @rpc
    async def length(self, text: str) -> int:
        raise NotImplementedError


class DeskServer(Desk):
    """Does what the payload says, by a table of the test's own."""

    def __init__(self) -> None:
        self.doings: dict[bytes, Callable[[], Any]] = {}
        self.seen: list[bytes] = []

    @rpc
    async def echo(self, payload: bytes) -> bytes:
        self.seen.append(payload)
        if payload in self.doings and (waited := self.doings[payload]()) is not None:
            await waited
        return payload

    @rpc
    async def length(self, text: str) -> int:
        return len(text)


class Served(Rig):
    """A rig whose near end serves. To be made in a running loop."""

    def __init__(
        self,
        limits: Limits | None = None,
        message_bytes_max: int = 1 << 20,
        serving: Callable[[], Any] = DeskServer,
    ) -> None:
        super().__init__()
        self.service = serving()
        server = vars(Server(self.service))
        routes, services, others = server["_routes"], server["_services"], server["_others"]
        ways = self.no_room, server["_keyed"]
        self.dispatcher = Dispatcher(routes, services, limits or Limits(), others, ways)
        self.wheel: Deadlines[Any] = Deadlines()
        post = self.crossing.post
        self.connection = Connection(
            FLOW, "peer", self.outbox, self.wheel, message_bytes_max, post=post
        )
        self.crossing.is_watched = True
        flow = crossing.Flow(self.crossing, FLOW, self.connection, self.calls, self.wheel)
        self.connection.served_by(flow, self.dispatcher.desk)

    async def no_room(self, connection: Connection) -> None:
        raise AssertionError("nobody sends a stream")

    def request(
        self,
        call_id: int,
        payload: bytes,
        method: int = ECHO,
        kind: int = records.REQUEST,
        priority: int = records.USUAL_PRIORITY,
    ) -> None:
        fields = {"method_id": method, "remaining_ns": SECOND_NS, "priority": priority}
        for record in records.pieces(kind, FLOW, call_id, payload, **fields):
            assert self.far.send(record) == len(record)

    def ended(self, method: int) -> dict[int, int]:
        """How many calls of a method ended, by code; none is under way."""
        tally = vars(self.dispatcher)["_routes"][method].tally
        ended = {code: count for code, count in enumerate(tally.ended()) if count}
        assert sum(ended.values()) == tally.begun
        return ended

    def answers(self) -> list[tuple[int, int, bytes]]:
        """Call, status and payload of each; what is said of progress is no answer."""
        taken = self.taken()
        answers = [each for each in taken if each[0][records.KIND] != records.PROGRESS]
        return [(head[0], head[11], payload) for head, payload in answers]


async def in_turn(rig: Served, *how: Any) -> list[Any] | None:
    """Receives outside of any task, as the pump does."""
    done: asyncio.Future[list[Any] | None] = asyncio.get_running_loop().create_future()

    def turn() -> None:
        try:
            done.set_result(rig.crossing.receive(*(how or (0,))))
        except BaseException as error:  # noqa: BLE001 (it is the test's)
            done.set_exception(RuntimeError(repr(error)))

    asyncio.get_running_loop().call_soon(turn)
    return await done


def served(rigs: list[Served], *args: Any) -> Served:
    rigs.append(Served(*args))
    return rigs[-1]


async def test_bytes_are_answered_within_the_turn(rigs: list[Served]) -> None:
    rig = served(rigs)
    rig.service.doings[b"who"] = lambda: rig.service.seen.append(current_call().method.encode())
    for call_id, payload in enumerate((b"one", b"who", bytes(65537))):
        rig.request(call_id, payload)
    assert await in_turn(rig) == []
    assert rig.answers() == [(0, 0, b"one"), (1, 0, b"who")]
    assert await in_turn(rig) == []  # what is large keeps nobody waiting
    assert rig.answers() == [(2, 0, bytes(65537))]
    assert rig.service.seen[:3] == [b"one", b"who", b"desk/echo"]
    assert (rig.connection.incoming, len(rig.wheel)) == (0, 0)


async def test_answers_have_the_priority_of_their_requests(rigs: list[Served]) -> None:
    rig = served(rigs)
    number = vars(Server(rig.service))["_routes"][LENGTH].binding.arguments.encode(("four",), {})
    for priority in (0, 7):
        rig.request(priority, b"bytes", priority=priority)  # answered in C
        rig.request(10 + priority, bytes(number), LENGTH, priority=priority)  # and in Python
        rig.request(20 + priority, b"\xc1", LENGTH, priority=priority)
    assert await in_turn(rig) == []
    given = {head[records.CALL_ID]: head[records.PRIORITY] for head, _ in rig.taken()}
    assert given == {call_id: call_id % 10 for call_id in (0, 7, 10, 17, 20, 27)}


async def test_other_types_are_decoded_and_encoded(rigs: list[Served]) -> None:
    rig = served(rigs)
    binding = vars(Server(rig.service))["_routes"][LENGTH].binding
    rig.request(1, bytes(binding.arguments.encode(("four",), {})), LENGTH)
    rig.request(2, b"\xc1", LENGTH)
    rig.request(3, b"", 17)
    assert await in_turn(rig) == []
    good, bad, unknown = rig.answers()
    assert good == (1, 0, bytes(binding.result.encode(4)))
    assert bad[:2] == (2, Code.INVALID_ARGUMENT)
    assert unknown[:2] == (3, Code.UNIMPLEMENTED)
    assert (rig.connection.incoming, len(rig.wheel)) == (0, 0)


async def test_handlers_that_wait_raise_or_are_cancelled(rigs: list[Served]) -> None:
    rig = served(rigs)
    ended: list[object] = []

    def cancels() -> None:
        task: Any = asyncio.current_task()
        task.add_done_callback(ended.append)
        task.cancel("enough")

    def raises() -> None:
        raise ValueError("no")

    def watches() -> None:
        task: Any = asyncio.current_task()
        task.add_done_callback(ended.append)

    def cancels_alone() -> None:
        task: Any = asyncio.current_task()
        task.cancel()

    event = asyncio.Event()
    rig.service.doings = {b"wait": event.wait, b"cancel": cancels, b"raise": raises}
    rig.service.doings |= {b"watch": watches, b"cancel alone": cancels_alone}
    for call_id, payload in enumerate(
        (b"wait", b"cancel", b"raise", b"ok", b"watch", b"cancel alone")
    ):
        rig.request(call_id, payload)
    assert await in_turn(rig) == []
    assert rig.dispatcher.running == 1
    answers = rig.answers()
    statuses = (Code.CANCELLED, Code.UNKNOWN, 0, 0, Code.CANCELLED)
    assert [each[:2] for each in answers] == list(enumerate(statuses, 1))
    event.set()
    await until(lambda: rig.dispatcher.running == 0)
    assert rig.answers() == [(0, 0, b"wait")]
    assert len(ended) == 2
    assert (rig.connection.incoming, len(rig.wheel)) == (0, 0)


async def test_what_follows_a_message_for_python_waits_for_it(rigs: list[Served]) -> None:
    rig = served(rigs)
    rig.request(1, b"first")
    rig.request(9, b"", kind=records.GOAWAY)
    rig.request(2, b"second")
    left = await in_turn(rig)
    assert left is not None
    assert [(head[0], head[7]) for head, _ in left] == [(9, records.GOAWAY), (2, records.REQUEST)]
    assert rig.answers() == [(1, 0, b"first")]


async def test_a_call_id_that_is_taken_is_ignored(rigs: list[Served]) -> None:
    rig = served(rigs)
    event = asyncio.Event()
    rig.service.doings[b"wait"] = event.wait
    rig.request(1, b"wait")
    rig.request(1, b"again")
    assert await in_turn(rig) == []
    assert rig.connection.records_ignored == 1
    event.set()
    await until(lambda: rig.dispatcher.running == 0)
    assert rig.answers() == [(1, 0, b"wait")]
    assert rig.service.seen == [b"wait"]


@pytest.mark.parametrize("left_ns", [SECOND_NS, 0, FOREVER_NS, FOREVER_NS + 1, 2 * FOREVER_NS])
async def test_a_call_has_the_time_that_it_came_with(rigs: list[Served], left_ns: int) -> None:
    rig, calls = served(rigs), []
    rig.service.doings[b"look"] = lambda: calls.append(CURRENT.get())
    fields = {"method_id": ECHO, "remaining_ns": left_ns}
    for call_id in range(3):
        before_ns = monotonic_ns()
        rig.far.send(records.pack(records.REQUEST, FLOW, call_id, b"look", **fields))
        assert await in_turn(rig, call_id * SECOND_NS) == []
        call: Any = calls.pop()
        assert before_ns <= call.taken_ns <= monotonic_ns()
        bounded_ns = call.taken_ns + left_ns if left_ns == SECOND_NS else FOREVER_NS
        assert call.deadline_ns == bounded_ns


async def test_limits(rigs: list[Served]) -> None:
    rig = served(rigs, Limits(handlers=1, request_bytes=10, reply_bytes=8), 6)
    event = asyncio.Event()
    rig.service.doings[b"wait"] = event.wait
    for call_id, size in enumerate((6, 7, 9, 11)):
        rig.request(call_id, bytes(size))
    rig.request(4, b"wait")
    rig.request(5, b"more")
    assert await in_turn(rig) == []
    exhausted = Code.RESOURCE_EXHAUSTED
    statuses = [each[:2] for each in rig.answers()]
    assert statuses == [(0, 0), *((each, exhausted) for each in (1, 2, 3, 5))]
    assert rig.service.seen == [bytes(6), bytes(7), bytes(9), b"wait"]
    event.set()
    await until(lambda: rig.dispatcher.running == 0)


async def test_a_server_that_leaves_takes_no_more(rigs: list[Served]) -> None:
    rig = served(rigs)
    rig.request(0, b"before")
    assert await in_turn(rig) == []
    await rig.dispatcher.drain(0)
    rig.request(1, b"late")
    assert await in_turn(rig) == []
    assert [each[:2] for each in rig.answers()] == [(0, 0), (1, Code.UNAVAILABLE)]
    assert rig.service.seen == [b"before"]


async def test_each_method_and_each_flow_has_its_own(rigs: list[Served]) -> None:
    rig = served(rigs)
    other: dict[int, Any] = {}
    post = rig.crossing.post
    connection = Connection(FLOW + 1, "other", rig.outbox, rig.wheel, 1 << 20, post=post)
    flow = crossing.Flow(rig.crossing, FLOW + 1, connection, other, rig.wheel)
    connection.served_by(flow, rig.dispatcher.desk)
    number = bytes(
        vars(Server(rig.service))["_routes"][LENGTH].binding.arguments.encode(("four",), {})
    )
    for call_id in range(4):
        fields = {"method_id": ECHO, "remaining_ns": SECOND_NS}
        rig.request(call_id, b"one")
        rig.far.send(records.pack(records.REQUEST, FLOW + 1, call_id, b"two", **fields))
        rig.request(10 + call_id, number, LENGTH)
    assert await in_turn(rig) == []
    given = [(head[records.FLOW], payload) for head, payload in rig.taken()]
    four = bytes(vars(Server(rig.service))["_routes"][LENGTH].binding.result.encode(4))
    assert given == [(FLOW, b"one"), (FLOW + 1, b"two"), (FLOW, four)] * 4
    rig.crossing.forget(FLOW)
    rig.request(20, b"nobody's")
    assert len(await in_turn(rig) or ()) == 1


async def test_what_ends_the_process_loses_nobody(rigs: list[Served]) -> None:
    rig = served(rigs)

    def ends() -> None:
        raise SystemExit(3)

    rig.service.doings[b"exit"] = ends
    for call_id, payload in enumerate((b"before", b"exit", b"after")):
        rig.request(call_id, payload)
    rig.request(9, b"", kind=records.GOAWAY)
    with pytest.raises(RuntimeError, match=r"SystemExit\(3\)"):
        await in_turn(rig)
    assert [each[0] for each in rig.answers()] == [0, 1]
    left = await in_turn(rig)
    assert left is not None
    assert [(head[0], payload) for head, payload in left] == [(2, b"after"), (9, b"")]


async def test_a_handler_may_close_everything(rigs: list[Served]) -> None:
    rig = served(rigs)
    rig.service.doings[b"close"] = rig.crossing.close
    for call_id, payload in enumerate((b"before", b"close", b"after")):
        rig.request(call_id, payload)
    with suppress(RuntimeError):
        await in_turn(rig)
    assert rig.service.seen == [b"before", b"close"]
    assert rig.answers() == [(0, 0, b"before")]
    assert rig.ended(ECHO) == {0: 1, Code.CANCELLED: 1}


async def test_a_turn_goes_on_until_the_loop_has_work(rigs: list[Served]) -> None:
    rig = served(rigs)
    ready: list[object] = []

    def one() -> None:
        rig.request(2, b"two")

    def two() -> None:
        rig.request(3, b"three")
        ready.append("a callback")

    rig.service.doings = {b"one": one, b"two": two}
    rig.request(1, b"one")
    assert await in_turn(rig, 10 * SECOND_NS) == []
    assert rig.service.seen == [b"one"]
    assert await in_turn(rig, 10 * SECOND_NS, ready) == []
    assert rig.service.seen == [b"one", b"two"]
    assert await in_turn(rig, 1, ready) == []
    assert rig.service.seen == [b"one", b"two", b"three"]


async def test_a_turn_is_longer_while_no_descriptor_waits(rigs: list[Served]) -> None:
    rig = served(rigs)
    ours, peer = socket.socketpair()

    def late(payload: bytes) -> None:
        time.sleep(0.002)  # longer than the slice
        rig.request(len(rig.service.seen), payload)

    rig.service.doings = {b"one": partial(late, b"two"), b"three": partial(late, b"four")}
    with ours, peer:
        rig.request(0, b"one")
        assert await in_turn(rig, 1_000_000, [], ours.fileno()) == []
        assert rig.service.seen == [b"one", b"two"]
        peer.send(b"!")
        rig.request(2, b"three")
        assert await in_turn(rig, 1_000_000, [], ours.fileno()) == []
        assert rig.service.seen == [b"one", b"two", b"three"]
        assert await in_turn(rig, 1_000_000, [], ours.fileno()) == []
        assert rig.service.seen == [b"one", b"two", b"three", b"four"]


def test_what_cannot_be_made() -> None:
    class NoTask:
        """Is no task."""

    parts: tuple[Any, ...] = (print, print, print, {}, print)
    wrongs: tuple[tuple[Any, ...], ...] = (
        (),
        (None, {}, (NoTask, *parts), (1, 2, 3)),
        (None, [], (NoTask, *parts), (1, 2, 3)),
        (None, {}, (None, *parts), (1, 2, 3)),
    )
    for wrong in wrongs:
        with pytest.raises(TypeError):
            crossing.Desk(*wrong)

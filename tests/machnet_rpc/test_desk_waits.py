"""Handlers that wait, resumed and answered by the desk in C: as Python would."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import pytest

from idl import pack
from machnet_rpc import Limits, current_call, rpc, service
from machnet_rpc._aio.handler_task import HandlerTask
from machnet_rpc._method_id import method_id
from machnet_rpc._native import crossing
from machnet_rpc._protocol.events import Cause, Stopped
from machnet_rpc.errors import Code
from tests.machnet_rpc.test_desk import Served, in_turn
from tests.machnet_rpc.waiting import until

pytestmark = pytest.mark.skipif(crossing is None, reason="Python resumes them here")

BYTES, NUMBERS = method_id("waits", "raw"), method_id("waits", "numbers")
Wait = Callable[[], Awaitable[object]]


async def yields() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def future() -> None:
    loop = asyncio.get_running_loop()
    for _ in range(2):
        waited = loop.create_future()
        loop.call_soon(waited.set_result, None)
        await waited


async def fails() -> None:
    waited = asyncio.get_running_loop().create_future()
    waited.get_loop().call_soon(waited.set_exception, OSError("what it waits for"))
    with pytest.raises(OSError, match="what it waits for"):
        await waited
    await future()


async def python_future() -> None:
    loop = asyncio.get_running_loop()
    futures: Any = asyncio.futures
    waited = futures._PyFuture(loop=loop)
    loop.call_soon(waited.set_result, None)
    await waited


async def within_a_time() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()
    async with asyncio.TaskGroup() as group:
        group.create_task(future())


WAITS: tuple[Wait, ...] = (yields, future, fails, python_future, within_a_time)


@service("waits")
class Waits:
    @rpc
    async def raw(self, name: bytes) -> bytes:
        raise NotImplementedError

    @rpc
    async def numbers(self, name: str) -> Iterable[int]:
        raise NotImplementedError


class WaitsServer(Waits):
    """Waits, and gives what the test has under a name."""

    def __init__(self) -> None:
        self.wait: Wait = yields
        self.given: dict[str, Callable[[], Any]] = {}

    @rpc
    async def raw(self, name: bytes) -> bytes:
        await self.wait()
        given: bytes = self.given[name.decode()]()
        return given

    @rpc
    async def numbers(self, name: str) -> Iterable[int]:
        await self.wait()
        given: Iterable[int] = self.given[name]()
        return given


def served(
    rigs: list[Served], wait: Wait, limits: Limits | None = None, **given: Callable[[], Any]
) -> Served:
    rigs.append(Served(limits, 1 << 20, WaitsServer))
    rigs[-1].service.wait, rigs[-1].service.given = wait, given
    return rigs[-1]


def nothing_left(rig: Served) -> bool:
    return (rig.connection.incoming, len(rig.wheel), rig.dispatcher.running) == (0, 0, 0)


async def the_task(rig: Served) -> Any:
    """That of the one call that waits."""
    assert await in_turn(rig) == []
    everybody: set[Any] = asyncio.all_tasks()
    (task,) = (each for each in everybody if isinstance(each, HandlerTask))
    return task


@pytest.fixture(params=WAITS)
def wait(request: pytest.FixtureRequest) -> Wait:
    waits: Wait = request.param
    return waits


async def test_they_are_answered_when_they_end(rigs: list[Served], wait: Wait) -> None:
    def seen() -> bytes:
        assert asyncio.current_task() in asyncio.all_tasks()
        return current_call().method.encode()

    rig = served(rigs, wait, seen=seen, numbers=lambda: iter([1, 2]))
    rig.request(1, b"seen", BYTES)
    rig.request(2, pack("numbers"), NUMBERS)
    assert await in_turn(rig) == []
    assert rig.dispatcher.running == 2
    await until(lambda: nothing_left(rig))
    assert sorted(rig.answers()) == [(1, 0, b"waits/raw"), (2, 0, pack([1, 2]))]
    assert (rig.ended(BYTES), rig.ended(NUMBERS)) == ({0: 1}, {0: 1})


async def test_what_cannot_be_sent_is_refused(
    rigs: list[Served], wait: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    def raising() -> Iterator[int]:
        yield 1
        raise ValueError("half-way")

    def too_late() -> bytes:
        raise KeyError("here")

    rig = served(
        rigs,
        wait,
        Limits(reply_bytes=100),
        wrong=lambda: iter(["no number"]),
        raising=raising,
        large=lambda: iter([1] * 101),
        no_bytes=lambda: "text",
        much=lambda: bytes(101),
        raises=too_late,
    )
    for call_id, name in enumerate(("wrong", "raising", "large")):
        rig.request(call_id, pack(name), NUMBERS)
    for call_id, name in enumerate(("no_bytes", "much", "raises"), 3):
        rig.request(call_id, name.encode(), BYTES)
    assert await in_turn(rig) == []
    await until(lambda: nothing_left(rig))
    assert sorted(each[:2] for each in rig.answers()) == [
        (0, Code.INTERNAL),
        (1, Code.UNKNOWN),
        (2, Code.RESOURCE_EXHAUSTED),
        (3, Code.INTERNAL),
        (4, Code.RESOURCE_EXHAUSTED),
        (5, Code.UNKNOWN),
    ]
    ends = {Code.INTERNAL: 1, Code.UNKNOWN: 1, Code.RESOURCE_EXHAUSTED: 1}
    assert (rig.ended(NUMBERS), rig.ended(BYTES)) == (ends, ends)
    assert "gave what its contract does not allow" in caplog.text


async def test_one_that_ends_although_nobody_waits_gives_no_answer(rigs: list[Served]) -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await future()

    rig = served(rigs, stubborn, given=lambda: b"too late")
    rig.request(1, b"given", BYTES)
    task = await the_task(rig)
    rig.dispatcher.on_stopped(Stopped(task.call, Cause.DEADLINE))
    await until(lambda: nothing_left(rig))
    assert [each[:2] for each in rig.answers()] == [(1, Code.DEADLINE_EXCEEDED)]
    assert rig.ended(BYTES) == {Code.DEADLINE_EXCEEDED: 1}
    assert (task.done(), task.result()) == (True, b"too late")


async def test_one_that_cancels_itself_ends_at_its_next_wait(rigs: list[Served]) -> None:
    async def cancels() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel("by itself")
        await future()
        raise AssertionError("it goes on")

    rig = served(rigs, cancels, given=bytes)
    rig.request(1, b"given", BYTES)
    assert await in_turn(rig) == []
    await until(lambda: nothing_left(rig))
    ((call_id, status, payload),) = rig.answers()
    assert (call_id, status) == (1, Code.CANCELLED)
    assert b"by itself" in payload


@pytest.mark.parametrize("watches", [False, True])
async def test_others_see_how_it_ended(rigs: list[Served], watches: bool) -> None:
    rig = served(rigs, future, given=lambda: b"given")
    rig.request(1, b"given", BYTES)
    task = await the_task(rig)
    if watches:
        assert await task == b"given"
    await until(task.done)
    assert task.result() == b"given"
    assert (rig.answers(), rig.ended(BYTES)) == ([(1, 0, b"given")], {0: 1})
    assert nothing_left(rig)


async def test_it_may_close_everything_meanwhile(rigs: list[Served], wait: Wait) -> None:
    def closes() -> bytes:
        rig.crossing.close()
        return b"to nobody"

    rig = served(rigs, wait, closes=closes)
    rig.request(1, b"closes", BYTES)
    await in_turn(rig)
    await until(lambda: rig.dispatcher.running == 0)
    assert rig.answers() == []
    assert sum(rig.ended(BYTES).values()) == 1


async def test_metadata_that_it_gave_is_sent(rigs: list[Served], wait: Wait) -> None:
    def given() -> bytes:
        current_call().reply_metadata["said"] = "by it"
        return b"given"

    rig = served(rigs, wait, given=given)
    rig.request(1, b"given", BYTES)
    assert await in_turn(rig) == []
    await until(lambda: nothing_left(rig))
    ((_, status, payload),) = rig.answers()
    assert status == 0
    assert payload.endswith(b"given")
    assert b"by it" in payload


async def test_one_that_is_cancelled_as_its_wait_ends_hears_of_it_once(rigs: list[Served]) -> None:
    """The event loop has it told twice then."""
    first, second = (asyncio.get_running_loop().create_future() for _ in range(2))
    heard: list[object] = []

    async def goes_on() -> None:
        try:
            await first
        except asyncio.CancelledError as error:
            heard.extend(error.args)
        await second

    rig = served(rigs, goes_on, given=lambda: b"given")
    rig.request(1, b"given", BYTES)
    task = await the_task(rig)
    first.set_result(None)
    assert task.cancel("too late for what it waits for")
    await until(lambda: heard)
    await asyncio.sleep(0.01)
    assert not task.done()
    second.set_result(None)
    await until(lambda: nothing_left(rig))
    await asyncio.sleep(0.01)
    assert task.result() == b"given"
    assert heard == ["too late for what it waits for"]
    assert rig.answers() == [(1, 0, b"given")]


async def test_one_that_gave_way_is_cancelled_where_it_stands(rigs: list[Served]) -> None:
    heard: list[object] = []

    async def gives_way() -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            heard.extend(error.args)

    rig = served(rigs, gives_way, given=lambda: b"given")
    rig.request(1, b"given", BYTES)
    loop = asyncio.get_running_loop()

    def turn() -> None:
        assert rig.crossing.receive(0) == []
        (task,) = rig.dispatcher._tasks
        assert task.cancel("while it gives way")

    loop.call_soon(turn)
    await until(lambda: heard)
    await until(lambda: nothing_left(rig))
    assert heard == ["while it gives way"]
    assert rig.answers() == [(1, 0, b"given")]

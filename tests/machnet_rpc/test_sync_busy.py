"""A call of a blocking client waits for other threads within its time, whatever its kind."""

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from machnet_rpc import DeadlineExceeded, current_call, rpc, service, sync
from machnet_rpc._blocking import ClientBusy
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.conftest import only_memory
from tests.machnet_rpc.leftovers import nothing_left
from tests.machnet_rpc.server_thread import SECONDS_MAX, ServerThread, serving
from tests.machnet_rpc.waiting import until_seen

SECONDS = 0.3  # of each call here


@service("hasty")
class Hasty:
    @rpc(timeout=SECONDS)
    async def plain(self, number: int) -> int:
        raise NotImplementedError

    @rpc
    async def later(self, number: int) -> int:
        raise NotImplementedError

    @rpc
    async def left(self) -> float:
        raise NotImplementedError

    @rpc(timeout=SECONDS)
    def give(self, to: int) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc(timeout=SECONDS)
    async def take(self, numbers: AsyncIterable[int]) -> int:
        raise NotImplementedError

    @rpc(timeout=SECONDS)
    def both(self, numbers: AsyncIterable[int]) -> AsyncIterator[int]:
        raise NotImplementedError


class HastyServer(Hasty):
    @rpc(timeout=SECONDS)
    async def plain(self, number: int) -> int:
        return number

    @rpc
    async def later(self, number: int) -> int:
        return number

    @rpc
    async def left(self) -> float:
        return current_call().remaining or 0.0

    @rpc(timeout=SECONDS)
    async def give(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number
        await asyncio.sleep(SECONDS_MAX)

    @rpc(timeout=SECONDS)
    async def take(self, numbers: AsyncIterable[int]) -> int:
        return sum([number async for number in numbers])

    @rpc(timeout=SECONDS)
    async def both(self, numbers: AsyncIterable[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield number


@pytest.fixture
def server_thread(via: Via) -> Iterator[ServerThread]:
    with serving(HastyServer(), "127.0.0.1:0", via) as server:
        yield server


@pytest.fixture
def client(via: Via, server_thread: ServerThread) -> Iterator[sync.Client]:
    with sync.connect(server_thread.address, via=via) as client:
        assert client.method(Hasty.plain).using(timeout=SECONDS_MAX)(1) == 1
        yield client


class Others:
    """Another thread, which is inside for as long as it is told."""

    def __init__(self, client: sync.Client, pool: ThreadPoolExecutor) -> None:
        self._blocking = client._blocking
        self._pool = pool
        self._may_end = asyncio.Event()
        self._inside: Future[None] | None = None

    def enter(self) -> None:
        entered = threading.Event()

        async def inside() -> None:
            entered.set()
            await self._may_end.wait()

        self._inside = self._pool.submit(self._blocking.run, SECONDS_MAX, inside)
        assert entered.wait(SECONDS_MAX)

    def leave(self) -> None:
        if self._inside is not None:
            self._blocking.loop.call_soon_threadsafe(self._may_end.set)
            self._inside.result(SECONDS_MAX)
            self._may_end.clear()

    def beside(self, call: Callable[[], object]) -> object:
        """What it gives in one more thread, if it ends at all."""
        return self._pool.submit(call).result(SECONDS_MAX / 2)


@pytest.fixture
def others(client: sync.Client) -> Iterator[Others]:
    with ThreadPoolExecutor(2) as pool:
        others = Others(client, pool)
        yield others
        others.leave()


def all_ended(client: sync.Client) -> bool:
    """A call is over at its deadline, and found so in a turn of the loop."""
    client._blocking.run(SECONDS_MAX, asyncio.sleep, 0)
    return nothing_left(client._blocking.client)


FIRST_STEPS: dict[str, Callable[[sync.Client], object]] = {
    "plain": lambda client: client.call(Hasty.plain, 1),
    "metadata": lambda client: client.using(metadata={"a": "b"}).call(Hasty.plain, 1),
    "by name": lambda client: client.call("hasty/plain", 1),
    "many": lambda client: client.call_many(Hasty.plain, [1, 2]),
    "many within": lambda client: client.using(timeout=SECONDS).call_many(Hasty.later, [1]),
    "items": lambda client: next(client.stream(Hasty.give, 3)),
    "entered": lambda client: client.stream(Hasty.give, 3).__enter__(),
    "taken": lambda client: client.call(Hasty.take, sync.Items([1, 2])),
    "both": lambda client: next(client.stream(Hasty.both, sync.Items([1, 2]))),
}


@pytest.mark.parametrize("kind", FIRST_STEPS)
@only_memory
def test_a_call_is_told_that_others_took_all_of_its_time(
    client: sync.Client, others: Others, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "TIMEOUT", SECONDS)
    others.enter()
    with pytest.raises(DeadlineExceeded, match="other threads") as caught:
        others.beside(lambda: FIRST_STEPS[kind](client))
    assert caught.value.executed == "no"
    others.leave()
    assert client.call("hasty/plain", 1) == 1
    until_seen(lambda: all_ended(client))


@only_memory
def test_what_others_take_of_its_time_is_gone(client: sync.Client, others: Others) -> None:
    """For a call by name as for any."""
    calls = client.using(timeout=SECONDS_MAX / 4)
    for call in (lambda: calls.call(Hasty.left), lambda: calls.call("hasty/left")):
        others.enter()
        threading.Timer(1.0, others.leave).start()
        left: Any = others.beside(call)
        assert left <= SECONDS_MAX / 4 - 0.5


def next_item(client: sync.Client) -> Callable[[], object]:
    items = client.stream(Hasty.give, 3)
    assert next(items) == 0
    return items.__next__


def next_of_both(client: sync.Client) -> Callable[[], object]:
    items = client.stream(Hasty.both, sync.Items([1, 2]))
    assert next(items) == 1
    return items.__next__


def sent_with(items: object, step: Callable[..., None], *given: int) -> None:
    """Takes a step while the items are still held."""
    step(*given)
    assert items


def sent(client: sync.Client) -> Callable[[], object]:
    sender = sync.Sender[int]()
    sender.send(1)
    items: Any = client.stream(Hasty.both, sender)
    assert next(items) == 1
    return partial(sent_with, items, sender.send, 2)


def ended(client: sync.Client) -> Callable[[], object]:
    sender = sync.Sender[int]()
    sender.send(1)
    items: Any = client.stream(Hasty.both, sender)
    assert next(items) == 1
    return partial(sent_with, items, sender.close)


NEXT_STEPS = {"items": next_item, "both": next_of_both, "sent": sent, "ended": ended}


@pytest.mark.parametrize("kind", NEXT_STEPS)
@only_memory
def test_so_is_one_under_way(client: sync.Client, others: Others, kind: str) -> None:
    step = NEXT_STEPS[kind](client)
    others.enter()
    with pytest.raises(DeadlineExceeded, match="other threads") as caught:
        others.beside(step)
    assert caught.value.executed == "maybe"
    others.leave()
    del step
    assert client.call("hasty/plain", 1) == 1
    until_seen(lambda: all_ended(client))


@only_memory
def test_and_one_that_others_enter_during(client: sync.Client, others: Others) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        others.enter()
        yield 2

    with pytest.raises(DeadlineExceeded, match="other threads") as caught:
        others.beside(lambda: client.call(Hasty.take, sync.Items(numbers())))
    assert caught.value.executed == "maybe"
    others.leave()
    assert client.call("hasty/plain", 1) == 1
    until_seen(lambda: all_ended(client))


@only_memory
def test_an_upload_is_ended_once_the_others_are_through(
    client: sync.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long after its caller was told."""
    blocking, ends = client._blocking, list[Any]()

    def busy(*_: object, **__: object) -> None:
        raise ClientBusy("other threads")

    def numbers() -> Iterator[int]:
        yield 1
        monkeypatch.setattr(blocking, "run", busy)
        monkeypatch.setattr(blocking, "run_sometime", ends.append)
        yield 2

    with pytest.raises(DeadlineExceeded, match="other threads"):
        client.using(timeout=60.0).call(Hasty.take, sync.Items(numbers()))
    monkeypatch.undo()
    (end,) = ends
    blocking.run(SECONDS_MAX, end)
    until_seen(lambda: all_ended(client))


@only_memory
def test_leaving_a_stream_waits_for_others_no_longer_than_the_call(
    client: sync.Client, others: Others
) -> None:
    items = client.stream(Hasty.give, 3)
    assert next(items) == 0
    others.enter()
    others.beside(items.close)
    others.leave()
    assert client.call("hasty/plain", 1) == 1
    until_seen(lambda: all_ended(client))


@only_memory
def test_nor_does_opening(client: sync.Client, others: Others) -> None:
    others.enter()
    with pytest.raises(TimeoutError, match="other threads"):
        others.beside(client.using(timeout=SECONDS).open)


@only_memory
def test_a_sender_does_not_wait_for_a_call_that_has_not_begun(
    client: sync.Client, others: Others
) -> None:
    """Where it waits, nobody could begin it."""
    sender = sync.Sender[int](room=1)
    items: Any = client.stream(Hasty.both, sender)
    sender.send(1)
    with pytest.raises(RuntimeError, match="pass the sender to a call first"):
        others.beside(lambda: sender.send(2))
    assert next(items) == 1
    sender.close()
    assert list(items) == []

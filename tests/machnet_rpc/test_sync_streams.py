"""Streams of the blocking client: plain iterators, and nothing left of those left early."""

import asyncio
import gc
import itertools
import os
import queue
import signal
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterator

import pytest

from machnet_rpc import (
    Cancelled,
    ContractError,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    RpcError,
    Unavailable,
    rpc,
    service,
    sync,
)
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.conftest import only_memory
from tests.machnet_rpc.leftovers import nothing_left
from tests.machnet_rpc.server_thread import ServerThread, serving
from tests.machnet_rpc.waiting import until_seen


@service("kv")
class Kv:
    @rpc(timeout=60)
    def count(self, to: int, *, fail: bool = False) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc
    def watch(self) -> AsyncIterator[bytes]:
        raise NotImplementedError

    @rpc
    async def load(self, scale: int, rows: AsyncIterable[int]) -> int:
        raise NotImplementedError

    @rpc
    async def first(self, rows: AsyncIterable[int], *, scale: int = 1) -> int:
        raise NotImplementedError

    @rpc
    def lookup(self, keys: AsyncIterable[str], *, suffix: str = "") -> AsyncIterator[str]:
        raise NotImplementedError

    @rpc
    async def plain(self, key: str) -> str:
        raise NotImplementedError


class BlockingKv(Kv, sync.BlockingContract):
    pass


class Store(Kv):
    def __init__(self) -> None:
        self.left: list[str] = []

    @rpc(timeout=60)
    async def count(self, to: int, *, fail: bool = False) -> AsyncIterator[int]:
        try:
            for number in range(to):
                yield number
            if fail:
                raise NotFound("no more of them")
        finally:
            self.left.append("count")

    @rpc
    async def watch(self) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.sleep(60)
        finally:
            self.left.append("watch")

    @rpc
    async def load(self, scale: int, rows: AsyncIterable[int]) -> int:
        try:
            return scale * sum([row async for row in rows])
        except asyncio.CancelledError:
            self.left.append("load")
            raise

    @rpc
    async def first(self, rows: AsyncIterable[int], *, scale: int = 1) -> int:
        async for row in rows:
            return row * scale
        raise NotFound("there was none")

    @rpc
    async def lookup(self, keys: AsyncIterable[str], *, suffix: str = "") -> AsyncIterator[str]:
        async for key in keys:
            yield key + suffix

    @rpc
    async def plain(self, key: str) -> str:
        return key


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def server_thread(via: Via, store: Store) -> Iterator[ServerThread]:
    with serving(store, "127.0.0.1:0", via) as server:
        yield server


@pytest.fixture
def client(via: Via, server_thread: ServerThread) -> Iterator[sync.Client]:
    with sync.connect(server_thread.address, via=via, timeout=10.0) as client:
        yield client
        until_seen(
            lambda: (
                client._blocking._closing.is_set()
                or nothing_left(client._blocking.client, server_thread.server)
            )
        )


def test_items_of_every_kind_of_call(client: sync.Client) -> None:
    kv = client.stub(BlockingKv)
    assert list(kv.count(300)) == list(range(300))
    assert sum(kv.count(to=1000)) == 499_500
    assert kv.load(2, sync.Items(range(500))) == 249_500
    assert kv.load(scale=2, rows=sync.Items([1, 2])) == 6
    assert client.stub(Kv).load(3, [1, 2]) == 9  # as it is, where no type checker minds
    assert client.stub(Kv).load(3, iter(())) == 0
    keys = [str(number) for number in range(300)]
    assert list(kv.lookup(sync.Items(keys), suffix="!")) == [f"{key}!" for key in keys]
    assert list(client.stream(Kv.count, 3)) == [0, 1, 2]
    assert client.method(Kv.load)(1, sync.Items([4])) == 4
    assert client.call(Kv.load, 1, sync.Items([4])) == 4


def test_leaving_a_block_early_ends_the_call(client: sync.Client, store: Store) -> None:
    with client.stub(BlockingKv).watch() as events:
        for event in events:
            assert event == b"first"
            break
    until_seen(lambda: store.left == ["watch"])
    assert list(events) == []
    events.close()
    assert client.stub(BlockingKv).plain("goes on") == "goes on"


def test_dropping_a_stream_ends_the_call(client: sync.Client, store: Store) -> None:
    for event in client.stub(BlockingKv).watch():
        assert event == b"first"
        break
    gc.collect()
    until_seen(lambda: store.left == ["watch"])
    never_begun = client.stub(BlockingKv).watch()
    del never_begun
    asked = client.stub(BlockingKv).count(100_000)
    assert next(asked) == 0
    del asked
    gc.collect()
    until_seen(lambda: store.left == ["watch", "count"])


@only_memory
def test_a_stream_that_is_dropped_within_a_call_ends_after_it(
    client: sync.Client, store: Store
) -> None:
    held = [client.stub(BlockingKv).watch()]
    assert next(held[0]) == b"first"

    def rows() -> Iterator[int]:
        yield 1

    async def drops() -> None:
        held.clear()

    client._blocking.run(1.0, drops)
    assert client.stub(BlockingKv).load(1, sync.Items(rows())) == 1
    until_seen(lambda: store.left == ["watch"])


def test_errors_come_after_the_items(client: sync.Client) -> None:
    numbers = client.stub(BlockingKv).count(3, fail=True)
    assert [next(numbers), next(numbers), next(numbers)] == [0, 1, 2]
    with pytest.raises(NotFound, match="no more of them") as caught:
        next(numbers)
    assert (caught.value.executed, caught.value.method) == ("yes", "kv/count")
    with pytest.raises(StopIteration):
        next(numbers)


def test_deadlines_cover_streams(client: sync.Client, store: Store) -> None:
    kv = client.stub(BlockingKv)
    kv.plain("the flow is open")
    events = kv.watch.using(timeout=0.1)()
    before = time.monotonic()
    assert next(events) == b"first"
    with pytest.raises(DeadlineExceeded):
        next(events)
    assert 0.05 < time.monotonic() - before < 2
    until_seen(lambda: store.left == ["watch"])

    def slow() -> Iterator[int]:
        while True:
            time.sleep(0.01)
            yield 1

    with pytest.raises(DeadlineExceeded):
        kv.load.using(timeout=0.1)(1, sync.Items(slow()))


def test_a_call_that_ends_early_closes_what_it_is_fed_from(client: sync.Client) -> None:
    closed: list[str] = []

    def numbers() -> Iterator[int]:
        try:
            number = 7
            while True:
                yield number
                number += 1
        finally:
            closed.append("numbers")

    held = numbers()  # or it would be closed because nobody holds it
    assert client.stub(Kv).first(held, scale=2) == 14
    assert closed == ["numbers"]
    keys = (str(number) for number in itertools.count())
    with client.stub(Kv).lookup(keys) as answers:
        assert next(answers) == "0"
    assert next(keys, None) is None
    with pytest.raises(NotFound, match="there was none"):
        client.stub(Kv).first([])


def test_what_an_iterator_raises_ends_the_call(client: sync.Client, store: Store) -> None:
    client.call(Kv.plain, "the flow is open")

    def rows() -> Iterator[int]:
        yield 1
        raise OSError("the file is gone")

    with pytest.raises(OSError, match="the file is gone"):
        client.stub(Kv).load(1, rows())
    until_seen(lambda: store.left == ["load"])

    def keys() -> Iterator[str]:
        yield "a"
        raise OSError("the file is gone")

    answers = client.stub(Kv).lookup(keys())
    with pytest.raises(OSError, match="the file is gone"):
        list(answers)

    def nothing() -> str:
        raise StopAsyncIteration("nothing")

    with pytest.raises(RuntimeError, match=r"the items for kv/lookup raised StopAsyncIteration"):
        list(client.stub(Kv).lookup(iter(nothing, "")))
    with pytest.raises(InvalidArgument, match="an item to send"):
        client.stub(Kv).load(1, ["no number"])


def test_an_iterator_that_is_interrupted_ends_the_call(
    client: sync.Client, server_thread: ServerThread
) -> None:
    client.call(Kv.plain, "the flow is open")

    def keys() -> Iterator[str]:
        yield "a"
        raise KeyboardInterrupt

    answers = client.stub(Kv).lookup(keys())
    with pytest.raises(KeyboardInterrupt):
        list(answers)
    until_seen(lambda: nothing_left(client._blocking.client, server_thread.server))


def test_an_iterator_may_call(client: sync.Client) -> None:
    kv = client.stub(BlockingKv)

    def rows() -> Iterator[int]:
        for number in kv.count(5):
            yield int(kv.plain(str(number)))

    assert kv.load(1, sync.Items(rows())) == 10


def test_a_sender_waits_for_room(client: sync.Client) -> None:
    sender = sync.Sender[str](room=2)
    sender.send("a")
    sender.send("b")
    with pytest.raises(RuntimeError, match="pass the sender to a call first"):
        sender.send("c")
    kv = client.stub(BlockingKv)
    with kv.lookup(sender, suffix="!") as answers:
        for key in "cdefgh":
            sender.send(key)
        sender.close()
        sender.close()
        with pytest.raises((RuntimeError, Cancelled)):
            sender.send("i")
        assert "".join(answers) == "a!b!c!d!e!f!g!h!"
    with pytest.raises(RuntimeError, match="another call"):
        kv.lookup(sender)
    with pytest.raises(TypeError, match="a Sender is for calls that answer with a stream"):
        client.stub(Kv).load(1, sync.Sender[int]())
    with pytest.raises(TypeError, match="must be an iterable, not int"):
        client.stub(Kv).load(1, 5)
    with pytest.raises(TypeError, match="the stream 'rows' is missing"):
        client.stub(Kv).load(1)
    with pytest.raises(ContractError, match="no key"):
        client.method(Kv.load).using(key="1")
    with pytest.raises(ContractError):
        client.call_many(Kv.load, [1])  # type: ignore[arg-type]


def test_another_thread_may_send(client: sync.Client) -> None:
    sender, got = sync.Sender[str](), queue.Queue[str]()
    answers = client.stub(BlockingKv).lookup(sender)

    def sends() -> None:
        for key in "abc":
            got.get(timeout=5)
            sender.send(key)
        sender.close()

    thread = threading.Thread(target=sends)
    thread.start()
    taken: list[str] = []
    for _ in range(3):
        got.put("now")
        until_seen(lambda: got.empty())
        time.sleep(0.02)  # it is sent before this thread waits for it
        taken.append(next(answers))
    thread.join()
    assert [*taken, *answers] == ["a", "b", "c"]


@pytest.mark.parametrize("via", ["memory", "direct"], indirect=True)
def test_ctrl_c_while_an_item_is_waited_for(client: sync.Client, store: Store) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        events = client.stub(BlockingKv).watch()
        assert next(events) == b"first"
        timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            next(events)
        assert time.monotonic() - began < 2
        timer.join()
        assert client.stub(BlockingKv).plain("goes on") == "goes on"
        events.close()
        until_seen(lambda: store.left == ["watch"])
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("via", ["memory"], indirect=True)
def test_a_stream_that_was_interrupted_ends_in_silence(
    client: sync.Client, caplog: pytest.LogCaptureFixture
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        events = client.stub(BlockingKv).watch()
        assert next(events) == b"first"
        threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            next(events)
    finally:
        signal.signal(signal.SIGINT, before)
    client.close()
    del events
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_a_client_that_closes_ends_its_streams(client: sync.Client, store: Store) -> None:
    events = client.stub(BlockingKv).watch()
    assert next(events) == b"first"
    client.close()
    until_seen(lambda: store.left == ["watch"])
    with pytest.raises(Unavailable, match="the client is closed") as caught:
        next(events)
    assert caught.value.executed == "maybe"
    events.close()
    with pytest.raises(RpcError) as unsent:
        client.stub(BlockingKv).load(1, sync.Items([1]))
    assert unsent.value.executed == "no"

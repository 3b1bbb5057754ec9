"""Threads that share a blocking client: who sleeps inside is woken, and nobody waits too long."""

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from machnet_rpc import DeadlineExceeded, rpc, service, sync
from machnet_rpc._aio.port import Port
from machnet_rpc._native import crossing
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.conftest import only_memory
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from tests.machnet_rpc.server_thread import SECONDS_MAX, serving
from tests.machnet_rpc.waiting import until_seen
from tests.transport_engine.sidecars import descriptors, no_thread
from transport_engine import EngineConfig, NoRoomError


@pytest.fixture
def blocking(via: Via, book: LedgerBook) -> Iterator[sync.Client]:
    with (
        serving(book, "127.0.0.1:0", via) as server,
        sync.connect(server.address, via=via, timeout=20.0, spin=0.0) as client,
    ):
        yield client


def test_without_a_thread_there_is_no_client_and_it_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = descriptors()
    with monkeypatch.context() as none:
        none.setattr(threading.Thread, "start", no_thread)
        with (
            pytest.raises(NoRoomError, match=r"no thread machnet-rpc: .*`ulimit -u`"),
            sync.connect("127.0.0.1:9", via=EngineConfig(port=0)),
        ):
            pass
    assert descriptors() == held


def test_who_sleeps_inside_is_woken_though_another_thread_calls_meanwhile(
    blocking: sync.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may enter wherever Python runs: also where a call has just been sent."""
    inside, pump = blocking._blocking, blocking._blocking._keeper.pump
    assert pump is not None
    rouse, caller = pump._rouse, threading.current_thread()
    sleepers: list[Future[str]] = []

    def interrupted(port: Port) -> None:
        if threading.current_thread() is caller and not (inside._is_busy or sleepers):
            sleepers.append(pool.submit(blocking.call, Ledger.sleep, 0.2))
            until_seen(lambda: inside._is_busy and not any(each.is_awake for each in pump._ports))
        rouse(port)

    echo = blocking.method(Ledger.echo)
    assert echo(b"a flow") == b"a flow"
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(pump, "_rouse", interrupted)
        for each in range(10):
            assert echo(bytes([each])) == bytes([each])
        for sleeper in sleepers:
            assert sleeper.result(SECONDS_MAX)


@service("slow")
class Slow:
    """Takes and gives bytes, as calls past the loop do."""

    @rpc(timeout=20.0)
    async def at_once(self, data: bytes) -> bytes:
        raise NotImplementedError

    @rpc(timeout=20.0)
    async def later(self, data: bytes) -> bytes:
        raise NotImplementedError


class SlowServer(Slow):
    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    @rpc
    async def at_once(self, data: bytes) -> bytes:
        return data

    @rpc
    async def later(self, data: bytes) -> bytes:
        await self.may_end.wait()
        return data

    async def end(self) -> None:
        self.may_end.set()


@pytest.mark.skipif(crossing is None, reason="messages cross in Python here")
@pytest.mark.parametrize("is_answered", [False, True])
def test_a_call_under_way_waits_for_other_threads_until_its_deadline(
    via: Via, monkeypatch: pytest.MonkeyPatch, is_answered: bool
) -> None:
    slow, others = SlowServer(), list[Future[bytes]]()
    with (
        serving(slow, "127.0.0.1:0", via) as server,
        sync.connect(server.address, via=via, spin=0.0) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        assert client.call(Slow.at_once, b"a flow") == b"a flow"
        inside, caller = client._blocking, threading.current_thread()
        enter = inside._enter

        def entered(seconds: float) -> None:
            if threading.current_thread() is caller and not others:
                others.append(pool.submit(client.call, Slow.later, b"other"))
                until_seen(lambda: inside._is_busy)
            enter(seconds)

        monkeypatch.setattr(inside, "_enter", entered)
        at_once = client.method(Slow.at_once).using(timeout=0.2)
        while is_answered and not others:  # the first call after a pause is not past the loop
            assert at_once(b"in time") == b"in time"
        if not is_answered:
            with pytest.raises(DeadlineExceeded):
                client.method(Slow.later).using(timeout=0.2)(b"late")
        (other,) = others
        assert not other.done()
        server.do(slow.end())
        assert other.result(SECONDS_MAX) == b"other"
        assert client.call(Slow.at_once, b"goes on") == b"goes on"


class Finalized:
    """Garbage in a cycle, of which the collection does something."""

    def __init__(self, finalize: Callable[[], None]) -> None:
        self.cycle = self
        self.finalize = finalize

    def __del__(self) -> None:
        self.finalize()


@pytest.mark.skipif(crossing is None, reason="messages cross in Python here")
@pytest.mark.parametrize("via", ["sidecar", "direct"], indirect=True)
def test_nobody_calls_beside_a_thread_that_entered_during_a_collection(via: Via) -> None:
    """Objects that a call makes may have garbage collected, whose finalizers may do anything."""
    slow, others = SlowServer(), list[Future[bytes]]()
    with (
        serving(slow, "127.0.0.1:0", via) as server,
        sync.connect(server.address, via=via, spin=0.0) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        inside = client._blocking
        call, at_once = client.method(Slow.at_once), client.method(Slow.at_once).using(timeout=0.2)
        assert pool.submit(call, b"a flow").result(SECONDS_MAX) == b"a flow"

        def enter() -> None:
            others.append(pool.submit(client.call, Slow.later, b"other"))
            until_seen(lambda: inside._is_busy)

        threshold, error = gc.get_threshold(), None
        gc.disable()
        Finalized(enter)
        try:
            gc.set_threshold(1)
            gc.enable()
            at_once(b"beside")
        except DeadlineExceeded as late:
            error = late
        finally:
            gc.set_threshold(*threshold)
        (other,) = others
        assert not other.done()
        server.do(slow.end())
        assert other.result(SECONDS_MAX) == b"other"
        assert error is not None
        assert error.executed == "no"


@pytest.fixture
def switching() -> Iterator[None]:
    """Whoever waits for the GIL gets it at once, wherever the other thread is in Python."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching")
def test_threads_that_share_a_client_wait_for_nothing_in_vain(blocking: sync.Client) -> None:
    echo = blocking.method(Ledger.echo)

    def calls(number: int) -> int:
        sent = [bytes([number, each % 256]) for each in range(500)]
        return sum(echo(each) == each for each in sent)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(calls, range(4))) == [500] * 4


@only_memory
def test_threads_that_close_a_client_wait_for_each_other(
    blocking: sync.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, may_end = blocking._blocking, asyncio.Event()
    enter, entering = inside._enter, list[float]()

    def entered(seconds: float) -> None:
        entering.append(seconds)
        enter(seconds)

    with ThreadPoolExecutor(3) as pool:
        busy = pool.submit(inside.run, SECONDS_MAX, may_end.wait)
        until_seen(lambda: inside._is_busy)
        monkeypatch.setattr(inside, "_enter", entered)
        closing = [pool.submit(blocking.close) for _ in range(2)]
        until_seen(lambda: len(entering) == 2)
        inside.loop.call_soon_threadsafe(may_end.set)
        assert busy.result(SECONDS_MAX)
        for each in closing:
            each.result(SECONDS_MAX)

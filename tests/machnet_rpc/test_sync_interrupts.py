"""Ctrl-C in the blocking client: it comes between any two steps, and the client goes on."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import pytest

from machnet_rpc import Client, RpcError, _blocking, sync
from machnet_rpc._native import crossing
from machnet_rpc._private_loop import EndLost
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.events import Failed
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from tests.machnet_rpc.moments import MOMENTS_MAX, Alarm, Moments
from tests.machnet_rpc.server_thread import SECONDS_MAX, serving
from tests.machnet_rpc.tap import Drop, Tap
from tests.machnet_rpc.waiting import until_seen
from transport_engine.errors import TransportError


@pytest.fixture
def blocking(via: Via, book: LedgerBook) -> Iterator[sync.Client]:
    with (
        serving(book, "127.0.0.1:0", via) as server,
        sync.connect(server.address, via=via, timeout=5.0) as client,
    ):
        yield client
    gc.collect()  # what was cut short warns of it, if it does, while this test may


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_call_at_once(blocking: sync.Client, book: LedgerBook) -> None:
    blocking.call(Ledger.nothing)
    for spun in (30.0, 0.0):  # caught while it looks, and while it sleeps
        client = sync.Client(blocking._blocking, blocking._options)
        blocking._blocking.spin = spun
        timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.start()
        before = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            client.method(Ledger.sleep).using(timeout=20)(20)
        assert time.monotonic() - before < 2
        timer.join()
        assert blocking.call(Ledger.echo, b"goes on") == b"goes on"
    until_seen(lambda: book.journal.count("cancelled") == 2)
    connection = blocking._blocking._keeper.connection
    assert connection is not None
    assert connection.outgoing == 0


@pytest.mark.skipif(crossing is None, reason="messages cross in Python here")
@pytest.mark.parametrize("is_occupied", [False, True])
@pytest.mark.parametrize("via", ["sidecar", "direct"], indirect=True)
def test_ctrl_c_on_the_way_in_gives_the_call_up_inside(
    blocking: sync.Client, book: LedgerBook, monkeypatch: pytest.MonkeyPatch, is_occupied: bool
) -> None:
    """The call was sent past the lock; who gives it up may meet another thread there."""
    inside, caller, may_end = blocking._blocking, threading.current_thread(), asyncio.Event()
    enter, cancel = inside._enter, Connection.cancel
    others, cancelled = list[Future[bool]](), list[bool]()

    def entered(seconds: float) -> None:
        if threading.current_thread() is not caller:
            enter(seconds)
            return
        monkeypatch.setattr(inside, "_enter", enter)
        if is_occupied:
            others.append(pool.submit(inside.run, SECONDS_MAX, may_end.wait))
            until_seen(lambda: inside._is_busy)
        raise KeyboardInterrupt

    def seen(connection: Connection, call: OutgoingCall) -> Failed | None:
        cancelled.append(inside._is_busy and inside.loop.is_running())
        return cancel(connection, call)

    monkeypatch.setattr(Connection, "cancel", seen)
    sleep = blocking.method(Ledger.sleep).using(timeout=2)
    with ThreadPoolExecutor(1) as pool:
        while not cancelled:  # the first after a pause is not past the loop
            blocking.call(Ledger.echo, b"a flow")
            blocking.call(Ledger.echo, b"no pause")
            monkeypatch.setattr(inside, "_enter", entered)
            with pytest.raises(KeyboardInterrupt):
                sleep(20)
            inside.loop.call_soon_threadsafe(may_end.set)
            for other in others:
                other.result(SECONDS_MAX)
            may_end.clear()
            assert blocking.call(Ledger.echo, b"goes on") == b"goes on"
            blocking.using(metadata={"a": "b"}).call(Ledger.echo, b"a turn of the loop")
    assert cancelled == [True]
    until_seen(lambda: book.journal[-1] == "cancelled")
    connection = inside._keeper.connection
    assert connection is not None
    assert connection.outgoing == 0


@pytest.mark.parametrize("is_queued", [False, True])
@pytest.mark.parametrize("via", ["memory"], indirect=True)
def test_ctrl_c_while_a_call_is_made_ends_in_silence(
    blocking: sync.Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    is_queued: bool,
) -> None:
    def interrupted(*args: Any, **kwargs: Any) -> None:
        monkeypatch.undo()
        if is_queued:
            loop.call_soon(*args, **kwargs)
        raise KeyboardInterrupt

    loop = blocking._blocking.loop
    gc.collect()  # what others left
    caplog.clear()
    monkeypatch.setattr(loop, "call_soon", interrupted)
    with pytest.raises(KeyboardInterrupt):
        blocking.using(metadata={"a": "b"}).call(Ledger.nothing)
    assert blocking.using(metadata={"a": "b"}).call(Ledger.echo, b"goes on") == b"goes on"
    gc.collect()
    assert not caplog.text


@pytest.mark.parametrize("via", ["memory", "inline"], indirect=True)
def test_ctrl_c_in_the_midst_of_a_turn_stops_no_turns(
    blocking: sync.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = blocking.using(metadata={"a": "b"}, timeout=2.0)
    assert calls.call(Ledger.echo, b"a flow") == b"a flow"
    pump = blocking._blocking._keeper.pump
    assert pump is not None
    loop = blocking._blocking.loop

    def interrupted(callback: Any, *args: Any, **kwargs: Any) -> Any:
        if callback == pump._scheduled.callback:
            monkeypatch.undo()
            raise KeyboardInterrupt
        return plain(callback, *args, **kwargs)

    plain = loop.call_soon
    for _ in range(3):
        monkeypatch.setattr(loop, "call_soon", interrupted)
        with pytest.raises(KeyboardInterrupt):
            calls.call(Ledger.echo, b"interrupted")
        assert calls.call(Ledger.echo, b"goes on") == b"goes on"
    assert not (pump._scheduled.is_due and not loop._ready)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("via", ["inline"], indirect=True)
def test_ctrl_c_waits_for_nothing_that_does_not_end(blocking: sync.Client) -> None:
    """As a task does not of which asyncio itself lost the wake-up when Ctrl-C met it."""

    with interrupted_after(SECONDS_MAX) as is_over:
        with interrupted_after(0.1), pytest.raises(KeyboardInterrupt):
            blocking._blocking.run(1.0, stubborn)
        assert not is_over.is_set()
    assert blocking.call(Ledger.echo, b"goes on") == b"goes on"


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("via", ["inline"], indirect=True)
def test_closing_waits_for_no_task_that_does_not_end(blocking: sync.Client) -> None:
    left: Any = blocking._blocking.loop.create_task(stubborn())
    left._log_destroy_pending = False
    assert blocking.call(Ledger.echo, b"it has begun") == b"it has begun"
    with interrupted_after(SECONDS_MAX) as is_over:
        with contextlib.suppress(KeyboardInterrupt):
            blocking.close()
        assert not is_over.is_set()


class Stuck:
    """A stream that never gives an item."""

    async def __aenter__(self) -> Self:
        return self

    async def __anext__(self) -> None:
        await stubborn()

    async def aclose(self) -> None:
        """Ends."""


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("via", ["inline"], indirect=True)
def test_ctrl_c_waits_for_no_stream_that_does_not_end(
    blocking: sync.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upload() -> None:
        drops: Any = [Drop(1)]
        blocking.call(Tap.total, drops)

    def read() -> None:
        with blocking.stream(Tap.run, 3) as items:
            next(items)

    for begun, call in ((stubborn, upload), (Stuck, read)):
        monkeypatch.setattr(Client, "begin", lambda *_, begun=begun: begun())
        with interrupted_after(SECONDS_MAX) as is_over:
            with interrupted_after(0.1), pytest.raises(KeyboardInterrupt):
                call()
            assert not is_over.is_set()
    assert blocking.call(Ledger.echo, b"goes on") == b"goes on"


async def stubborn() -> None:
    try:
        await asyncio.sleep(60.0)
    finally:
        await asyncio.get_running_loop().create_future()


@contextlib.contextmanager
def interrupted_after(seconds: float) -> Generator[threading.Event]:
    """Ctrl-C, unless this is left before; says whether it came."""
    is_over = threading.Event()

    def interrupt() -> None:
        is_over.set()
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(seconds, interrupt)
    timer.start()
    try:
        yield is_over
    finally:
        timer.cancel()
        timer.join()


def with_metadata(client: sync.Client) -> None:
    client.using(metadata={"a": "b"}).call(Ledger.nothing)


def asleep(client: sync.Client) -> None:
    client.call(Ledger.sleep, 0.001)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("call", [with_metadata, asleep])
@pytest.mark.parametrize("via", ["inline", "direct"], indirect=True)
def test_what_is_raised_as_any_function_begins_stops_no_later_call(
    blocking: sync.Client, call: Callable[[sync.Client], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it within a stream: test_sync_stream_interrupts.py."""
    monkeypatch.setattr(_blocking, "LEAVE_SECONDS", 0.1)
    call(blocking)  # what a first call compiles is not what is looked at
    hasty = blocking.using(timeout=0.1)
    moments = Moments()
    while not moments.is_over:
        with interrupted_after(SECONDS_MAX) as is_over, contextlib.suppress(KeyboardInterrupt):
            with contextlib.suppress(Alarm, RpcError), moments:
                call(hasty)
            assert blocking.call(Ledger.echo, b"goes on") == b"goes on"
        assert not is_over.is_set(), f"{moments.at}: it waits for ever"
    assert 20 < moments.at < MOMENTS_MAX


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("call", [with_metadata, asleep])
@pytest.mark.parametrize("via", ["direct"], indirect=True)
def test_what_is_raised_as_any_function_begins_keeps_no_other_thread_out(
    blocking: sync.Client, call: Callable[[sync.Client], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_blocking, "LEAVE_SECONDS", 0.1)
    call(blocking)
    hasty, others = blocking.using(timeout=0.1), blocking.using(timeout=2.0)
    moments = Moments()
    with ThreadPoolExecutor(1) as pool:
        while not moments.is_over:
            with contextlib.suppress(Alarm, RpcError), moments:
                call(hasty)
            echo = pool.submit(others.call, Ledger.echo, b"goes on")
            assert echo.result(SECONDS_MAX) == b"goes on"
    assert 20 < moments.at < MOMENTS_MAX


@pytest.mark.usefixtures("interruptible")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("via", ["inline", "direct"], indirect=True)
def test_what_is_raised_as_the_link_is_lost_loses_no_call(
    blocking: sync.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_blocking, "LEAVE_SECONDS", 0.1)
    with_metadata(blocking)
    keeper, loop = blocking._blocking._keeper, blocking._blocking.loop
    hasty, moments = blocking.using(timeout=0.1), Moments()
    for name in ("machnet_rpc", "asyncio"):  # the locks of logs are Python's
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    while not moments.is_over:
        pump = keeper.pump
        assert pump is not None
        loop.call_soon_threadsafe(pump._lose, pump.port, TransportError("the engine is gone"))
        with interrupted_after(SECONDS_MAX) as is_over, contextlib.suppress(KeyboardInterrupt):
            with contextlib.suppress(Alarm, RpcError, EndLost), moments:
                with_metadata(hasty)
            assert blocking.call(Ledger.echo, b"goes on") == b"goes on"
        assert not is_over.is_set(), f"{moments.at}: it waits for ever"
    assert 20 < moments.at < MOMENTS_MAX


class Interrupted:
    """A lock; a signal's handler raises right when somebody has got it."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        self._lock.acquire(*args, **kwargs)
        raise Alarm

    def release(self) -> None:
        self._lock.release()


@pytest.mark.parametrize("method", [Ledger.echo, Ledger.nothing])
@pytest.mark.parametrize("via", ["inline", "direct"], indirect=True)
def test_what_is_raised_as_a_thread_comes_in_keeps_no_other_out(
    blocking: sync.Client, method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = blocking._blocking
    args = (b"interrupted",) if method is Ledger.echo else ()
    assert blocking.call(Ledger.echo, b"a flow") == b"a flow"
    if inside._line is not None:
        inside._line.close()  # as where another thread is inside
    with monkeypatch.context() as patched:
        patched.setattr(inside, "_lock", Interrupted(inside._lock))
        with pytest.raises(Alarm):
            blocking.call(method, *args)
    with ThreadPoolExecutor(1) as pool:
        echo = pool.submit(blocking.using(timeout=2.0).call, Ledger.echo, b"goes on")
        assert echo.result(SECONDS_MAX) == b"goes on"


@pytest.mark.parametrize("via", ["inline", "direct"], indirect=True)
def test_a_signal_handler_that_raises_stops_no_turns(
    blocking: sync.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = blocking.using(metadata={"a": "b"}, timeout=2.0)
    assert calls.call(Ledger.echo, b"a flow") == b"a flow"
    pump = blocking._blocking._keeper.pump
    assert pump is not None

    def interrupted() -> None:
        monkeypatch.undo()
        raise Alarm

    for _ in range(3):
        monkeypatch.setattr(pump._scheduled, "_step", interrupted)
        assert calls.call(Ledger.echo, b"goes on") == b"goes on"


@pytest.mark.parametrize("via", ["inline", "direct"], indirect=True)
def test_a_signal_handler_that_raises_while_nothing_happens_ends_the_call(
    blocking: sync.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(number: int, frame: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, raising)
    try:
        blocking.call(Ledger.nothing)
        for spun in (30.0, 0.0):
            client = sync.Client(blocking._blocking, blocking._options)
            blocking._blocking.spin = spun
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Alarm):
                client.method(Ledger.sleep).using(timeout=20)(20)
            assert blocking.call(Ledger.echo, b"goes on") == b"goes on"
    finally:
        signal.signal(signal.SIGALRM, before)

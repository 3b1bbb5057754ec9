"""An asyncio client in the hands of threads that have no event loop.

A call goes straight to the ring and looks there for its answer. What is rare (to attach, to open a
flow, to sleep, to fail) is the asyncio client's, on a private loop that runs in the thread of
whoever calls, one at a time. Does not know contracts and codecs.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from time import monotonic_ns
from typing import Any, Final, TypeAlias, TypeVar, cast

from machnet_rpc._aio.belonging import FORKED, check_thread, loop_if_any, watch_forks
from machnet_rpc._aio.exchange import Exchange
from machnet_rpc._aio.flows import FlowKeeper
from machnet_rpc._native import crossing
from machnet_rpc._private_loop import EndLost, PrivateLoop
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._told import Outcome, told
from machnet_rpc.client import Client
from machnet_rpc.context import CURRENT
from transport_engine.errors import TransportError
from transport_engine.threads import repeated, started

T = TypeVar("T")
Made: TypeAlias = Callable[..., Coroutine[Any, Any, T]]

WATCH_SECONDS: Final = 0.02  # between looks after an engine in this process, while nobody calls
CLOSE_SECONDS: Final = 5.0  # for calls of other threads to end
LEAVE_SECONDS: Final = 1.0  # for tasks to end that were interrupted, perhaps in asyncio's midst

_current: Final = CURRENT.get

INTERRUPTED: Final = (
    "a call of this client is under way in this thread already, which a signal handler "
    "interrupted, or which runs this itself (middleware, the items of call_many): let handlers "
    "note what happened, and no more; elsewhere use another client"
)


class ClientClosed(RuntimeError):
    """`close` was called."""

    def __init__(self) -> None:
        super().__init__("the client is closed: connect again for more calls")


class ClientInherited(RuntimeError):
    """It is the parent's, and this is a child."""

    def __init__(self) -> None:
        super().__init__(FORKED)


class ClientBusy(TimeoutError):
    """Other threads call by this client all the time."""


def seconds_left(call: OutgoingCall) -> float:
    """Until the call's deadline; below 0 after it."""
    return (call.deadline_ns - monotonic_ns()) / 1e9


class Blocking:
    """One client with its loop. Thread: any; calls of several threads wait for each other.

    Errors: RuntimeError in the thread of a running event loop, after a fork, and for a call that a
    signal handler makes while another is under way in its thread.
    """

    def __init__(
        self, keeper: FlowKeeper, client: Client, spin: float, *, has_middleware: bool
    ) -> None:
        check_thread()
        self.client = client
        self.has_middleware = has_middleware
        self.spin = spin
        self._private = PrivateLoop()
        self.loop: asyncio.AbstractEventLoop = self._private.loop
        self.loop.set_exception_handler(self._on_exception)
        self.lent: set[int] = keeper.lent
        self._keeper = keeper
        keeper.on_lost = self._on_lost
        self._lock = threading.RLock()
        self._is_busy = False  # somebody is inside the lock
        self._is_doubtful = False  # what was raised inside may have met the pump's work
        self._is_bounded = False  # it was so before whoever is inside came
        self._line: Any = crossing and crossing.Line(loop_if_any, CURRENT)
        self._is_used = False  # since the watcher looked last
        self._pid = os.getpid()
        self._closing = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()  # of nobody, to be run at some time
        self._watcher: threading.Thread | None = None
        watch_forks(self)

    def __repr__(self) -> str:
        state = "closed" if self._closing.is_set() else "busy" if self._is_busy else "idle"
        return f"<Blocking {self.client!r} {state}>"

    def open(self, seconds: float) -> None:
        """Attaches to an engine. Errors: AddressError, TransportError; those of `run`."""
        self.run(seconds, self.client.open)
        if self.client.transport.rung.startswith("inline"):  # nobody else runs this engine
            watch = repeated(WATCH_SECONDS, self._watch, self._closing)
            self._watcher = started(watch, "machnet-rpc")

    def close(self) -> None:
        """Ends the flow. A second call does nothing.

        Errors: ClientBusy, when calls of other threads do not end.
        """
        if self._closing.is_set() or self._pid != os.getpid():
            return
        with contextlib.suppress(ClientClosed):  # meanwhile, by another thread
            self._visit(CLOSE_SECONDS, self._close)
        if self._watcher is not None:
            self._watcher.join()

    def _close(self) -> None:
        self._closing.set()
        try:
            with contextlib.suppress(EndLost):  # it was closed at once then
                self._run(CLOSE_SECONDS, self.client.close, is_bounded=True)
            self._run(LEAVE_SECONDS, _end_tasks, is_bounded=True)
        finally:
            self.loop.close()

    def caller(self, how: Exchange, method: Callable[..., Any] | None = None, *given: Any) -> Any:
        """What calls past the loop while nobody else is inside, in C; None where there is none.

        Has `exchange`, as this does; and if it is given a `method`, the callable that answers for
        it, and whether that takes and gives bytes, it can be called in its place.
        """
        if self._line is None:
            return None
        rest = given or (None, False, False)
        return crossing.Caller(self._line, tuple(how), self.finish, self.give_up, method, *rest)

    def exchange(self, payload: bytes | memoryview, how: Exchange) -> bytes | OutgoingCall | None:
        """Calls, past the event loop; gives the result.

        Or the call, if it ended in another way; None where the asyncio client must make it.
        """
        if loop_if_any() is not None:
            self._check_loop()
        if _current() is not None or not self._locked():
            return None  # the deadline of the handler in whose thread this is may be earlier
        try:
            if self._is_busy or self._closing.is_set():
                return None
            try:
                self._begin()
                return self._exchanged(payload, how)
            except BaseException:
                self._is_doubtful = True
                self._recover()
                raise
            finally:
                self._is_busy = False
                self._end()
        finally:
            self._lock.release()

    def finish(self, call: OutgoingCall, spin_ns: int) -> bytes | OutgoingCall:
        """Waits for a call that is under way: gives the result, or the call, if it has none.

        Or if other threads call until its deadline.
        """
        try:
            return self._visit(seconds_left(call), partial(self._waited, call, spin_ns))
        except (ClientClosed, ClientBusy):
            return call

    def give_up(self, call: OutgoingCall) -> None:
        """Nobody waits for it any more: cancels it inside, now or once the others are through."""
        self.run_sometime(partial(_given_up, call))

    def ended_call(self, answer: bytes, how: Exchange) -> OutgoingCall:
        """The call that `exchange` gave the answer of."""
        call = OutgoingCall(how.method_id, monotonic_ns() + how.timeout_ns, self.loop)
        call.connection = self._keeper.connection
        call.complete(answer)
        return call

    def run(self, seconds: float, function: Made[T], *args: Any, is_bounded: bool = False) -> T:
        """Runs a coroutine on the private loop; `is_bounded`: see `PrivateLoop.run`.

        Errors: ClientBusy, when other threads kept it so for as long; ClientClosed.
        """
        step = partial(self._run, seconds, function, *args, is_bounded=is_bounded)
        return self._visit(seconds, step)

    def run_sometime(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs a coroutine now, if nobody is inside; else when the loop runs next.

        May be called from anywhere, as the garbage collector calls.
        """
        if self._closing.is_set() or self._pid != os.getpid():
            return
        if loop_if_any() is None and self._locked():
            try:
                if not (self._is_busy or self._closing.is_set()):
                    self._begin()
                    try:
                        self._run(LEAVE_SECONDS, function, is_bounded=True)
                    finally:
                        self._is_busy = False
                        self._end()
                    return
            finally:
                self._lock.release()
        self.loop.call_soon_threadsafe(self._begin_task, function)

    def _begin_task(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = self.loop.create_task(function())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _visit(self, seconds: float, step: Callable[[], T]) -> T:
        """Takes a step inside. What a signal's handler raises leaves it open, wherever it comes."""
        self._enter(seconds)
        try:
            if self._closing.is_set():
                raise ClientClosed
            self._begin()
            return step()
        finally:
            self._is_busy = False  # no call of Python's before it, for a handler runs at its begin
            try:
                self._end()
            finally:
                self._lock.release()

    def _enter(self, seconds: float) -> None:
        if self._pid != os.getpid():
            raise ClientInherited
        self._check_loop()
        if not self._locked(min(max(seconds, 0), threading.TIMEOUT_MAX)):
            raise ClientBusy("other threads call by this client all the time")
        if self._is_busy:
            self._lock.release()
            raise RuntimeError(INTERRUPTED)

    def _locked(self, seconds: float = 0.0) -> bool:
        """Takes the lock; lets go of it where a signal's handler raises as it gets it."""
        try:
            return self._lock.acquire(timeout=seconds)
        except BaseException:
            if not self._is_busy:
                with contextlib.suppress(RuntimeError):  # it did not get it
                    self._lock.release()
            raise

    def _begin(self) -> None:
        """Nobody else calls from here on, not in C either."""
        if self._line is not None:
            self._line.close()
        self._is_busy = self._is_used = True
        if self._is_doubtful:
            self._recover()
        self._is_bounded, self._is_doubtful = self._is_doubtful, False

    def _end(self) -> None:
        connection = self._keeper.connection
        if (
            self._line is not None
            and self._watcher is None
            and connection is not None
            and connection.is_usable
            and not self._closing.is_set()
            and isinstance(connection.exchanger, crossing.Flow)
        ):
            self._line.open(connection.exchanger)

    def _check_loop(self) -> None:
        if loop_if_any() is self.loop:
            raise RuntimeError(INTERRUPTED)
        check_thread()

    def _exchanged(self, payload: bytes | memoryview, how: Exchange) -> bytes | OutgoingCall | None:
        answer: bytes | OutgoingCall | None = None
        for is_again in (False, True):
            connection = self._keeper.connection
            if connection is None or not connection.is_usable:
                return None
            if len(payload) > connection.message_bytes_max:
                return None
            answer = connection.exchanger.exchange(payload, how)
            if answer is not None or is_again:
                break
            self._look()  # what has happened meanwhile is seen first; then once more
        return self._waited(answer, how.spin_ns) if isinstance(answer, OutgoingCall) else answer

    def _waited(self, call: OutgoingCall, spin_ns: int) -> bytes | OutgoingCall:
        try:
            answer: bytes | OutgoingCall = call.connection.exchanger.wait(call, spin_ns)
        except BaseException:
            self._is_doubtful = True
            self._recover()
            raise
        if isinstance(answer, OutgoingCall):
            self._run(seconds_left(answer), _ended, answer)
        return answer

    def _run(self, seconds: float, function: Made[T], *args: Any, is_bounded: bool = False) -> T:
        outcome: list[Outcome[T]] = []
        coroutine, task = told(function, args, outcome), None
        try:
            task = self._private.task(coroutine)
            left = max(seconds, 0.0) + LEAVE_SECONDS
            is_bounded = is_bounded or self._is_bounded or self._is_doubtful
            self._private.run(task, left, is_bounded=is_bounded)
        except BaseException:
            self._is_doubtful = True
            self._recover()
            if task is None:
                coroutine.close()
            elif not task.done():
                task.cancel()
                self._private.wait(task, LEAVE_SECONDS)
            raise
        result, failure = outcome.pop()
        try:
            if failure is not None:
                raise failure
            return cast(T, result)
        finally:
            del task, coroutine, result, failure  # they would hold each other

    def _look(self) -> None:
        """Lets the pump and the descriptors have their turns."""
        try:
            self._private.turn()
            self._private.turn()
        except BaseException:
            self._is_doubtful = True
            self._recover()
            raise

    def _recover(self) -> None:
        """Has the client go on after what a signal's handler raised: between any two steps.

        Who calls next does it again: others may raise in here, and as what was cut short ends.
        """
        self._keeper.recover()

    def _on_lost(self, error: TransportError) -> None:
        self._is_doubtful = True  # of what a signal's handler raised in the pump's turn
        self._private.doubt(error)

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """For asyncio, which goes on after all but Ctrl-C. Not always in the loop's thread."""
        if "handle" in context:  # in a callback of the loop, which may have been the pump's
            self._is_doubtful = True
            self._recover()
            self._private.doubt(context.get("exception"))
        loop.default_exception_handler(context)

    def _watch(self) -> None:
        """Answers for an engine that nobody polls: its peers ask whether it is alive."""
        if self._is_used:
            self._is_used = False
        elif self._lock.acquire(blocking=False):
            try:
                if not (self._is_busy or self._closing.is_set()):
                    self._look()
            finally:
                self._lock.release()

    def forked(self) -> None:
        """This is the child, and the client is the parent's."""
        if not self.loop.is_closed():
            self._private.forked()
        if self._line is not None:
            self._line.close()


async def _ended(call: OutgoingCall) -> None:
    try:
        await call
    except BaseException:
        call.connection.cancel(call)
        raise


async def _given_up(call: OutgoingCall) -> None:
    call.connection.cancel(call)


async def _end_tasks() -> None:
    """Ends what streams that nobody closed have left."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest, timeout=LEAVE_SECONDS)

"""The task of one handler, driven at once until it first suspends, and by the loop after that.

To handlers and libraries it is what `asyncio.current_task()` gives, from the first step on: it can
be cancelled, awaited, and have timeouts and task groups. Unlike an asyncio.Task it costs no trip
through the event loop, which learns of it only when it suspends.
Source: asyncio/tasks.py of Python 3.11, whose protocol this follows
"""

import asyncio
import itertools
import traceback
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, TextIO

from idl.raised import is_of
from machnet_rpc._aio.belonging import enter_task, leave_task
from machnet_rpc._faults import log_raised
from machnet_rpc._native import crossing
from machnet_rpc._protocol.calls import IncomingCall

# Typed for asyncio.Task alone, as those two are; what they need of a task is written here.
_register_task: Final[Callable[..., None]] = asyncio.tasks._register_task  # noqa: SLF001
_names: Final = itertools.count(1)


class TaskState:
    """What a task keeps."""

    # What most tasks never set stands here, so that making one costs what it needs.
    _callbacks: list[tuple[Callable[[Any], object], Context | None]] | None = None
    _fut_waiter: Any = None
    _must_cancel = False
    error: BaseException | None = None
    is_done = False
    kept: dict[Any, IncomingCall] | None = None  # of which it is a key until it ends
    returned: Any = None

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        loop: asyncio.AbstractEventLoop,
        context: Context,
        on_end: Callable[[Any], None],
        call: IncomingCall,
    ) -> None:
        self._coroutine = coroutine
        self._loop = loop
        self._context = context
        self.on_end = on_end
        self.call = call

    def _step(self, error: BaseException | None = None) -> None:
        raise NotImplementedError

    def _wake(self, waited: Any) -> None:
        if waited is not self._fut_waiter:
            return  # `cancel` has it told twice
        try:
            waited.result()
        except BaseException as error:  # noqa: BLE001 (the handler is given what it waited for)
            self._step(error)
        else:
            self._step()
        finally:
            del self, waited


if not TYPE_CHECKING and crossing is not None:
    TaskState = crossing.TaskState


class HandlerTask(TaskState):
    """A handler's coroutine on its way, for one call.

    `on_end` is told right when it ends, in the task's context: then `returned` and `error` are set.
    Thread: the event loop's.
    """

    _asyncio_future_blocking = False
    _cancel_message: object = None
    _cancels = 0
    _name: str | None = None
    keyed: Any = None  # the execution, where it is of a keyed method
    lease: memoryview | None = None  # what the handler was lent until it ends

    def __repr__(self) -> str:
        state = "done" if self.is_done else f"waiting for {self._fut_waiter!r}"
        return f"<HandlerTask {self.get_name()} {state} coro={self._coroutine!r}>"

    def start(self) -> None:
        """Takes the first step; to be called once, where no task is current."""
        try:
            self._context.run(self._step)
        finally:
            del self

    def keep(self, kept: "dict[HandlerTask, IncomingCall]") -> None:
        """It waits: lets `asyncio.all_tasks` know of it, and is a key of `kept` until it ends."""
        _register_task(self)
        if self.kept is None:
            self.kept = kept
        else:
            self.add_done_callback(kept.pop)
        kept[self] = self.call

    # -- what others ask of a task --

    def done(self) -> bool:
        return self.is_done

    def cancelled(self) -> bool:
        return is_of(self.error, asyncio.CancelledError)

    def result(self) -> Any:
        """What the coroutine returned. Errors: what it raised; InvalidStateError."""
        exception = self.exception() if not self.cancelled() else self.error
        if exception is not None:
            raise exception
        return self.returned

    def exception(self) -> BaseException | None:
        """What it raised, if it did. Errors: CancelledError; InvalidStateError."""
        if not self.is_done:
            raise asyncio.InvalidStateError("the handler has not ended")
        if self.cancelled():
            raise self._make_cancelled_error()
        return self.error

    def cancel(self, msg: object = None) -> bool:
        """Throws CancelledError into the coroutine, where it waits or in its next step."""
        if self.is_done:
            return False
        self._cancels += 1
        waited = self._fut_waiter
        if waited is not None and waited.cancel(msg=msg):
            return True
        if waited is not None and waited.done():  # a signal's handler may have met the wake-up
            self._loop.call_soon(self._wake, waited, context=self._context)
        self._must_cancel = True
        self._cancel_message = msg
        return True

    def stop(self, reason: str) -> None:
        """Cancels it, also where what it waits for raises at that, and does not end."""
        waited = self._fut_waiter
        try:
            self.cancel(reason)
        except Exception as error:  # noqa: BLE001 (it is the user's, or a signal's handler raised)
            log_raised(self.call.binding.full_name, error, " where it was cancelled")
            self._must_cancel, self._cancel_message = True, reason
            if waited is not None:
                self._loop.call_soon(self._wake, waited, context=self._context)

    def cancelling(self) -> int:
        return self._cancels

    def uncancel(self) -> int:
        """Takes back one `cancel`; after the last nothing is thrown any more, as since 3.13."""
        self._cancels = max(self._cancels - 1, 0)
        if self._cancels == 0:
            self._must_cancel = False
        return self._cancels

    def add_done_callback(
        self, fn: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        if self.is_done:
            self._loop.call_soon(fn, self, context=context)
            return
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append((fn, context))

    def remove_done_callback(self, fn: Callable[[Any], object]) -> int:
        before = self._callbacks or []
        self._callbacks = [item for item in before if item[0] != fn]
        return len(before) - len(self._callbacks)

    def get_coro(self) -> Coroutine[Any, Any, Any]:
        return self._coroutine

    def get_context(self) -> Context:
        return self._context

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def get_name(self) -> str:
        if self._name is None:
            self._name = f"Handler-{next(_names)}"
        return self._name

    def set_name(self, value: object) -> None:
        self._name = str(value)

    def get_stack(self, *, limit: int | None = None) -> list[Any]:
        """The frame in which the handler stands, if it has one."""
        frame = getattr(self._coroutine, "cr_frame", None)
        return [] if frame is None or limit == 0 else [frame]

    def print_stack(self, *, limit: int | None = None, file: TextIO | None = None) -> None:
        """Where the handler stands, as `asyncio.Task` prints it."""
        for frame in self.get_stack(limit=limit):
            traceback.print_stack(frame, 1, file)

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self.is_done:
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    def _make_cancelled_error(self) -> asyncio.CancelledError:
        exception = self.error
        if is_of(exception, asyncio.CancelledError):
            return exception
        if self._cancel_message is None:
            return asyncio.CancelledError()
        return asyncio.CancelledError(self._cancel_message)

    # -- steps --

    def _step(self, error: BaseException | None = None) -> None:
        self._fut_waiter = None  # here: until then `cancel` can have it told again
        try:
            if self._must_cancel:
                self._must_cancel = False
                if not is_of(error, asyncio.CancelledError):
                    error = self._make_cancelled_error()
            if error is None:
                is_over, value = _advanced(self._loop, self, self._coroutine)
            else:
                is_over, value = _thrown(self._loop, self, self._coroutine, error)
        except BaseException as exception:  # noqa: BLE001 (it is whoever ends the call that reacts)
            self.fail(exception)
        else:
            if not is_over:
                self._wait_for(value)
                return
            self.returned = value
            self._end()
        finally:
            del self, error  # what was raised has this frame, and would hold what holds it

    def _wait_for(self, waited: Any) -> None:
        try:
            self._watch(waited)
        except Exception as error:  # noqa: BLE001 (the handler is told of it)
            self._go_on_with(error)
        finally:
            del self, waited

    def _watch(self, waited: Any) -> None:
        """Goes on once that is done. Errors: RuntimeError for no future; what one raises."""
        try:
            blocking = getattr(waited, "_asyncio_future_blocking", None)
            if waited is None:
                self._loop.call_soon(self._step, context=self._context)
                return
            if not blocking or waited is self:
                raise RuntimeError(f"the handler waits for what is no future: {waited!r}")
            if _loop_of(waited, self._loop) is not self._loop:
                raise RuntimeError(f"the handler waits for {waited!r} of another event loop")
            waited._asyncio_future_blocking = False  # noqa: SLF001
            waited.add_done_callback(self._wake, context=self._context)
            self._fut_waiter = waited
            if self._must_cancel and waited.cancel(msg=self._cancel_message):
                self._must_cancel = False
        finally:
            del self, waited  # what was raised has this frame, too

    def _go_on_with(self, error: Exception) -> None:
        """It cannot wait: the next step raises this."""
        self._fut_waiter = None
        self._loop.call_soon(self._step, error, context=self._context)

    def fail(self, error: BaseException) -> None:
        """The coroutine raised it. Errors: itself, where it is to end the process."""
        self.error = error
        self._end()
        raise_further(self.call, error)

    def _end(self) -> None:
        if self._must_cancel and self.error is None:  # cancelled in its last step
            self.error = self._make_cancelled_error()
            self.returned = None
        self.is_done = True
        try:
            self.on_end(self)
        finally:  # it may raise what ends the process
            self.call.task = None  # they would hold each other, and what is large
            if self.kept is not None:
                self.kept.pop(self, None)
            if self._callbacks is not None:
                for callback, context in self._callbacks:
                    self._loop.call_soon(callback, self, context=context)
                self._callbacks = None


def _advanced(
    loop: asyncio.AbstractEventLoop, task: HandlerTask, coroutine: Coroutine[Any, Any, Any]
) -> tuple[bool, Any]:
    """Takes a step: (True, what it returned) or (False, what it waits for)."""
    enter_task(loop, task)
    try:
        return False, coroutine.send(None)
    except StopIteration as stop:
        return True, stop.value
    finally:
        leave_task(loop, task)
        del task


def _thrown(
    loop: asyncio.AbstractEventLoop,
    task: HandlerTask,
    coroutine: Coroutine[Any, Any, Any],
    error: BaseException,
) -> tuple[bool, Any]:
    enter_task(loop, task)
    try:
        return False, coroutine.throw(error)
    except StopIteration as stop:
        return True, stop.value
    finally:
        leave_task(loop, task)
        del task, error


def _loop_of(future: Any, usual: asyncio.AbstractEventLoop) -> Any:
    """Futures of others may say it as those of Python 3.6 did, or not at all."""
    get_loop = getattr(future, "get_loop", None)
    return getattr(future, "_loop", usual) if get_loop is None else get_loop()


def ends_process(error: BaseException) -> bool:
    """Whether it goes on past the event loop, as Ctrl-C does."""
    return is_of(error, KeyboardInterrupt) or is_of(error, SystemExit)


def raise_further(call: IncomingCall, error: BaseException) -> None:
    """For what was raised in an answered call. Errors: itself, where it is to end the process."""
    if ends_process(error):
        if is_of(error, SystemExit):  # of which Python says nothing
            log_raised(call.binding.full_name, error, ", and the process ends")
        raise error


if not TYPE_CHECKING and crossing is not None:
    _advanced = crossing.step

"""Runs handlers: one task per call, so that cancelling a call cancels exactly its handler.

A handler runs at once, until it first waits for something. Each call has a context of its own.

Whatever way a handler ends, its call is answered: result, declared exception, RpcError, any other
exception, cancellation. What can be refused is refused before a task is made, as executed "no".
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextvars import copy_context
from functools import partial
from typing import Any, Final

from idl import CodecError
from idl.raised import is_of, text_of
from machnet_rpc import _clock, _faults
from machnet_rpc._aio.beginnings import Beginnings, executed_by
from machnet_rpc._aio.handler_task import HandlerTask, ends_process, raise_further
from machnet_rpc._aio.items import Room
from machnet_rpc._aio.keyed_handlers import Execution, KeyedHandlers, Sent, sent_by
from machnet_rpc._aio.limits import Limits, Route, unknown
from machnet_rpc._aio.results import too_large, wrong
from machnet_rpc._aio.stream_handlers import StreamHandlers, is_but_cancelled
from machnet_rpc._binding import MethodBinding
from machnet_rpc._metadata import KEY, reply, reply_error, reply_stream
from machnet_rpc._native import crossing
from machnet_rpc._protocol.calls import Executed, IncomingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.events import Cause, Stopped
from machnet_rpc._protocol.streams import Window
from machnet_rpc._protocol.tally import OK, begin, end
from machnet_rpc.context import CURRENT
from machnet_rpc.errors import (
    Cancelled,
    Code,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    RpcError,
    Unavailable,
)
from machnet_rpc.leases import end_lease

_set_current: Final = CURRENT.set

CANCELLED_SECONDS_MAX: Final = 10.0  # for handlers that were cancelled to end
LOOK_SECONDS: Final = 1.0  # between looks at whether they have

log: Final = logging.getLogger("machnet_rpc")


class Dispatcher:
    """The handlers of one server that run now."""

    def __init__(
        self,
        routes: dict[int, Route],
        services: dict[int, str],
        limits: Limits,
        others: dict[int, Route],
        ways: tuple[Room, KeyedHandlers],
    ) -> None:
        """`others` are the routes of methods that are keyed, or not unary.

        `ways` are what waits for room to send, and the keyed calls by all links of the server.
        """
        room, self._keyed = ways
        self.is_draining = False
        self._routes = routes
        self._others = others
        self._streams = StreamHandlers(
            Window(limits.stream_items, limits.stream_bytes),
            limits.request_bytes,
            limits.reply_bytes,
            room,
        )
        self._services = services  # high half of a method id -> service name
        self._handlers_max = limits.handlers
        self._request_bytes_max = limits.request_bytes
        self._reply_bytes_max = limits.reply_bytes
        self._tasks: dict[HandlerTask, IncomingCall] = {}  # of handlers that wait for something
        self._loop = asyncio.get_running_loop()
        self._beginnings = Beginnings(self._loop)
        self._context = copy_context()
        self._quick: dict[int, tuple[Any, ...]] = {}
        self.desk: Callable[[IncomingCall, bytes], None] = self.on_request
        """Takes requests as `on_request` does; in C, the usual ones without it."""
        for task in self._keyed.running():  # by a link that is gone
            self.keep(task)
        if crossing is not None:
            quick = ((number, route) for number, route in routes.items() if _is_quick(route))
            self._quick.update((number, _unpacked(route)) for number, route in quick)
            self.desk = self._desk_in_c(limits)

    @property
    def running(self) -> int:
        return len(self._tasks)

    def on_request(self, call: IncomingCall, payload: bytes) -> None:
        """Starts the call's handler, or refuses it."""
        route = self._routes.get(call.method_id)
        if route is not None:
            begin(call, route.tally)
        if (
            route is None
            or self.is_draining
            or len(self._tasks) >= self._handlers_max
            or len(payload) > self._request_bytes_max
            or (call.metadata is not None and KEY in call.metadata)
        ):
            if route is None and call.method_id in self._others:
                self._begin_other(call, payload)
            else:
                self._refuse(call, self._refusal(call, payload))
            return
        binding = call.binding = route.binding
        context = self._context.copy()
        context.run(_set_current, call)
        lease: memoryview | None = None
        try:
            if binding.takes_bytes:
                coroutine = route.handler(payload)
            elif binding.takes_view:
                lease = memoryview(payload)
                coroutine = route.handler(lease)
            else:
                args, kwargs = binding.arguments.decode(payload)
                coroutine = route.handler(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 (whatever is raised is answered)
            self.unstarted(call, error)
            return
        call.task = HandlerTask(coroutine, self._loop, context, self._answer, call)
        if lease is not None:
            call.task.lease, call.task.on_end = lease, self._answer_lent
        self._start(call.task)

    def unstarted(self, call: IncomingCall, error: BaseException) -> None:
        """Answers a call whose handler could not be called. Errors: those that end the process."""
        if is_of(error, CodecError):
            log.debug("%s: %s", call.binding.full_name, error, exc_info=error)
            self._refuse(call, InvalidArgument(str(error)))
        elif ends_process(error):  # a signal's handler raised it, before the call or in it
            self._give_up(call, Internal("the server is going down", executed="maybe"))
            raise_further(call, error)
        else:
            self._answer_error(call, error)

    def keep(self, task: HandlerTask) -> None:
        """Counts a handler that waits for something, until it ends."""
        task.keep(self._tasks)
        self._beginnings.watch(task)

    def on_stopped(self, event: Stopped) -> None:
        """Cancels the handler of a call that nobody waits for any more."""
        call = event.call
        executed: Executed = "maybe" if call.task is None else executed_by(call.task)
        error: RpcError = DeadlineExceeded("the call's time was over", executed=executed)
        if event.cause is Cause.BROKEN:
            error = Internal("the caller broke the rules of streams", executed=executed)
        self._give_up(call, error)
        end(call, Code.CANCELLED, _clock.monotonic_ns())
        if call.binding is not None and call.binding.is_keyed:
            self._keyed.leave(call, event.cause)
        elif call.task is not None:
            call.task.stop(f"nobody waits for the call any more: {event.cause.value}")

    async def drain(self, grace_seconds: float) -> None:
        """Lets handlers end by themselves, then cancels those that have not.

        What goes on all the same is left behind after a while.
        """
        self.is_draining = True
        self._quick.clear()
        if self._tasks:
            await _ended(self._tasks, grace_seconds)
        self.stop()
        ends = self._loop.time() + CANCELLED_SECONDS_MAX
        while self._tasks and self._loop.time() < ends:
            await _ended(self._tasks, LOOK_SECONDS)
        for call in self._tasks.values():
            log.error("%s does not end although it was cancelled", call.binding.full_name)

    def stop(self) -> None:
        """Cancels the handlers that run, and takes no more calls."""
        self.is_draining = True
        self._quick.clear()
        for task, call in self._tasks.items():
            self._give_up(call, Cancelled("the server shuts down", executed=executed_by(task)))
            task.stop("the server shuts down")

    def _begin_other(self, call: IncomingCall, payload: bytes) -> None:
        """The same for a call that is keyed, or not unary."""
        route = self._others[call.method_id]
        begin(call, route.tally)
        binding = call.binding = route.binding
        sent = sent_by(call) if binding.is_keyed else None
        if sent is not None and self._keyed.known(call, sent, payload):
            return
        if (
            self.is_draining
            or len(self._tasks) >= self._handlers_max
            or len(payload) > self._request_bytes_max
        ):
            self._refuse(call, self._refusal(call, payload))
            return
        try:
            args, kwargs = binding.arguments.decode(payload)
        except BaseException as error:  # noqa: BLE001 (whatever is raised is answered)
            self.unstarted(call, error)
            return
        if sent is not None:
            self._begin_keyed(call, sent, payload, partial(route.handler, *args, **kwargs))
            return
        context = self._context.copy()
        context.run(_set_current, call)
        try:
            coroutine = self._streams.begin(call, route.handler, args, kwargs)
        except BaseException as error:  # noqa: BLE001 (whatever is raised is answered)
            self.unstarted(call, error)
            return
        on_end = self._end_oneway if binding.kind == "oneway" else self._answer_stream
        call.task = HandlerTask(coroutine, self._loop, context, on_end, call)
        self._start(call.task)

    def _begin_keyed(
        self, call: IncomingCall, sent: Sent, payload: bytes, handler: Callable[[], Any]
    ) -> None:
        execution = Execution(call.binding, handler, self._reply_bytes_max)
        coroutine = self._keyed.begin(call, sent, payload, execution)
        context = self._context.copy()
        context.run(_set_current, call)
        call.task = HandlerTask(coroutine, self._loop, context, self._keyed.end, call)
        call.task.keyed, execution.entry.task = execution, call.task
        self._start(call.task)

    def _start(self, task: HandlerTask) -> None:
        try:
            task.start()
            if not task.is_done:
                self.keep(task)
        finally:
            del task  # what was raised has this frame, too

    def _end_oneway(self, task: HandlerTask) -> None:
        call, error = task.call, task.error
        connection: Connection = call.connection
        connection.done(call)
        end(call, OK if error is None else Code.UNKNOWN, _clock.monotonic_ns())
        if error is None or is_of(error, asyncio.CancelledError) or ends_process(error):
            return  # what ends the process is logged where it does
        _faults.log_raised(call.binding.full_name, error, ", and nobody waits for it")

    def _answer_stream(self, task: HandlerTask) -> None:
        call, error = task.call, task.error
        if error is not None:
            if not (call.answered and is_but_cancelled(error)):
                self._answer_error(call, error)
            return
        if call.answered:
            return
        connection: Connection = call.connection
        end(call, OK, _clock.monotonic_ns())
        reply_stream(connection.streams.incoming[call.call_id], task.returned)

    def _desk_in_c(self, limits: Limits) -> Callable[[IncomingCall, bytes], None]:
        parts = HandlerTask, self._answer, self._loop, self._context, self._tasks, CURRENT
        sizes = limits.handlers, limits.request_bytes, limits.reply_bytes
        desk: Callable[[IncomingCall, bytes], None]
        desk = crossing.Desk(self, self._quick, parts, sizes)
        return desk

    def _refusal(self, call: IncomingCall, payload: bytes) -> RpcError:
        if call.method_id not in self._routes and call.method_id not in self._others:
            return unknown(call.method_id, self._routes | self._others, self._services)
        if self.is_draining:
            return Unavailable(
                "the server shuts down", next_step="Try again, on another connection."
            )
        if len(self._tasks) >= self._handlers_max:
            busy = ResourceExhausted(
                f"{len(self._tasks)} calls are being handled, which is the limit",
                next_step="Try again later, or raise Limits.handlers.",
            )
            busy.is_passing = True
            return busy
        if len(payload) <= self._request_bytes_max:
            return FailedPrecondition(
                "the call has a key, and the method is not keyed here",
                next_step='Serve a contract that says idempotent="keyed".',
            )
        return ResourceExhausted(
            f"the arguments are {len(payload)} bytes, and the server takes "
            f"{self._request_bytes_max}",
            next_step="Send less at once, or raise Limits.request_bytes.",
        )

    def _answer_lent(self, task: HandlerTask) -> None:
        """Answers for a handler to which a view was lent, and ends the lease."""
        try:
            self._answer(task)
        finally:
            if task.lease is not None:
                end_lease(task.lease)

    def _answer(self, task: HandlerTask) -> None:
        call, error = task.call, task.error
        if error is not None:
            self._answer_error(call, error)
            return
        binding: MethodBinding = call.binding
        payload = task.returned
        if not (binding.gives_bytes and type(payload) is bytes):
            try:
                payload = binding.result.encode(payload)
            except BaseException as raised:  # noqa: BLE001 (also by an iterable of the handler's)
                self.unsent(call, raised)
                return
        self.answer_with(call, payload)

    def answer_with(self, call: IncomingCall, payload: bytes | memoryview) -> None:
        """Answers with an encoded result, or the error that says why it cannot be sent."""
        connection: Connection = call.connection
        size_max = min(self._reply_bytes_max, connection.message_bytes_max)
        if len(payload) > size_max:
            self._fail(call, call.binding, too_large("result", len(payload), size_max))
            return
        end(call, OK, _clock.monotonic_ns())
        reply(call, payload)

    def unsent(self, call: IncomingCall, raised: BaseException) -> None:
        """Answers for a result that cannot be encoded. Errors: those that end the process."""
        if is_of(raised, CodecError):
            raised = wrong("result", call.binding, raised)
        self._answer_error(call, raised)
        raise_further(call, raised)

    def _answer_error(self, call: IncomingCall, error: BaseException) -> None:
        if is_of(error, asyncio.CancelledError):
            words = f"the handler was cancelled {text_of(error)}".strip()
            executed: Executed = "yes" if call.task is None else executed_by(call.task)
            self._give_up(call, Cancelled(words, executed=executed))
        elif ends_process(error):
            self._fail(call, call.binding, Internal("the server is going down", executed="yes"))
        else:
            self._fail(call, call.binding, error)

    def _fail(self, call: IncomingCall, binding: MethodBinding, error: BaseException) -> None:
        status, payload = _faults.encode_raised(binding.full_name, binding.errors, error)
        end(call, status, _clock.monotonic_ns())
        reply_error(call, status, payload)

    def _give_up(self, call: IncomingCall, error: RpcError) -> None:
        """Answers for a handler that has not; a task cancelled before its start never would."""
        if not call.answered:
            end(call, error.code, _clock.monotonic_ns())
            _faults.answer(call, error.code, _faults.encode(error))

    def _refuse(self, call: IncomingCall, error: RpcError) -> None:
        error.executed = "no"
        end(call, error.code, _clock.monotonic_ns())
        _faults.answer(call, error.code, _faults.encode(error))


def _is_quick(route: Route) -> bool:
    """Whether nothing has to be done after it but the answer."""
    return not route.binding.takes_view


def _unpacked(route: Route) -> tuple[Any, ...]:
    """Handler, binding, decoder and encoder (None: bytes are their own payload), and the tally."""
    binding = route.binding
    decode = None if binding.takes_bytes else binding.arguments.decode
    encode = None if binding.gives_bytes else binding.result.encode
    return route.handler, binding, decode, encode, route.tally


async def _ended(tasks: Iterable[HandlerTask], seconds: float) -> None:
    """Returns when all have ended, or the time is over."""
    waited: Any = list(tasks)  # to asyncio.wait they are futures
    await asyncio.wait(waited, timeout=seconds)

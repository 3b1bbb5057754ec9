"""What lives in a cycle by way of an object of C is found by the garbage collector.

One witness for each reference that such an object keeps; whoever made it refers to nothing else.
"""

import gc
import weakref
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any

import pytest

from machnet_rpc._aio.handler_task import HandlerTask
from machnet_rpc._native import crossing
from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import IncomingCall, OutgoingCall
from tests.machnet_rpc.test_crossing import FLOW, FOREVER_NS, Rig
from tests.machnet_rpc.test_crossing import rig as rig  # a fixture

pytestmark = pytest.mark.skipif(crossing is None, reason="messages cross in Python here")

HELD: ContextVar[Any] = ContextVar("held", default=None)


class Witness:
    """Whatever it is to be: a loop, a connection, a function."""

    held: object

    def __call__(self, *args: object) -> None:
        """Does nothing."""

    def create_future(self) -> None:
        """Does nothing."""


Make = Callable[[Rig, Witness], object]


def context_of(witness: Witness) -> Context:
    context = Context()
    context.run(HELD.set, witness)
    return context


def call_of(witness: Any = None, **attributes: object) -> Any:
    call: Any = OutgoingCall(1, FOREVER_NS, witness)
    for name, value in attributes.items():
        setattr(call, name, value)
    return call


def awaited(wakeup: Any, context: Context) -> Any:
    call = call_of()
    call.add_done_callback(wakeup, context=context)
    return call


def ended(witness: Witness) -> Any:
    call = call_of()
    call.complete(witness)
    return call


def incoming(**attributes: object) -> Any:
    call: Any = IncomingCall(1, 2, FOREVER_NS, None)
    for name, value in attributes.items():
        setattr(call, name, value)
    return call


def timed(witness: Witness) -> Any:
    wheel = crossing.Deadlines()
    wheel.add(call_of(witness))
    return wheel


def crossed(rig: Rig, queue: Any = None, rouse: Any = None, lent: Any = None) -> Any:
    made = crossing.Crossing(rig.near.lend(int), 0, queue, rouse)
    made.lent = lent
    return made


def watching(rig: Rig, calls: dict[int, Any]) -> Any:
    made = crossed(rig)
    made.watch(FLOW, calls)
    return made


def flow_of(rig: Rig, connection: Any = None, awaited: Any = None, wheel: Any = None) -> Any:
    wheel = crossing.Deadlines() if wheel is None else wheel
    return crossing.Flow(crossed(rig), FLOW, connection, {} if awaited is None else awaited, wheel)


def serving(rig: Rig, incoming: Any = None, ticket: Any = None, desk: Any = None) -> Any:
    flow = flow_of(rig)
    desk = desk_of() if desk is None else desk
    flow.serve({} if incoming is None else incoming, ticket, 1 << 20, desk)
    return flow


def spared(rig: Rig, loop: Any) -> Any:
    """A flow that has made what a call past the loop may need; its message does not fit."""
    flow = flow_of(rig)
    for _ in range(3):  # of which the first looks
        assert flow.exchange(b"payload", (1, 1, 0, 4, loop, 0)) is None
    return flow


def served(rig: Rig, witness: Witness, payload: bytes) -> Any:
    """A crossing that knows of the witness by a flow alone, and took a message there."""
    made = crossed(rig, print, print)
    flow = crossing.Flow(made, FLOW, witness, {}, crossing.Deadlines())
    flow.serve({}, witness, 1 << 20, desk_of(witness))
    if payload:
        rig.far.send(records.pack(records.REQUEST, FLOW, 1, payload))
        made.receive(0)
    return made


def desk_of(dispatcher: Any = None, methods: Any = None, tasks: Any = None, **parts: Any) -> Any:
    class Dispatcher:
        def on_request(self, *_: object) -> None:
            """Refuses it."""

    made = Dispatcher()
    made.held = dispatcher  # type: ignore[attr-defined]
    parts = {"kind": HandlerTask, "on_end": None, "loop": None, "context": None} | parts
    given = (*parts.values(), {} if tasks is None else tasks, HELD)
    return crossing.Desk(made, {} if methods is None else methods, given, (1, 2, 3))


def task_of(**attributes: object) -> Any:
    names = "coroutine", "loop", "context", "on_end", "call"
    task: Any = crossing.TaskState(*(attributes.pop(name, None) for name in names))
    for name, value in attributes.items():
        setattr(task, name, value)
    return task


def line_of(flow: Any = None, running: Any = None, current: Any = None) -> Any:
    line = crossing.Line(running, current)
    if flow is not None:
        line.open(flow)
    return line


def caller_of(line: Any = None, loop: Any = None, *functions: Any) -> Any:
    how = (1, 1, 0, 4, loop, 0)
    line = line_of() if line is None else line
    functions = functions or (None, None, None, None)
    return crossing.Caller(line, how, *functions, False, False)


def requester_of(loop: Any = None, *given: Any) -> Any:
    return crossing.Requester((1, 1, 0, 4, loop, 0), *(given or (None, None, None)))


KEPT: dict[str, Make] = {
    "call, connection": lambda _, it: call_of(connection=it),
    "call, loop": lambda _, it: call_of(it),
    "call, wakeup": lambda _, it: awaited(it, Context()),
    "call, context": lambda _, it: awaited(print, context_of(it)),
    "call, result": lambda _, it: ended(it),
    "incoming, connection": lambda _, it: incoming(connection=it),
    "incoming, binding": lambda _, it: incoming(binding=it),
    "incoming, task": lambda _, it: incoming(task=it),
    "incoming, tally": lambda _, it: incoming(tally=it),
    "incoming, metadata": lambda _, it: incoming(metadata=it),
    "deadlines": lambda _, it: timed(it),
    "crossing, queue": lambda rig, it: crossed(rig, queue=it),
    "crossing, rouse": lambda rig, it: crossed(rig, rouse=it),
    "crossing, lent": lambda rig, it: crossed(rig, lent=it),
    "crossing, flows": lambda rig, it: watching(rig, {1: it}),
    "crossing, served": lambda rig, it: served(rig, it, b""),
    "crossing, near": lambda rig, it: served(rig, it, b"request"),
    "flow, connection": lambda rig, it: flow_of(rig, it),
    "flow, awaited": lambda rig, it: flow_of(rig, None, {1: it}),
    "flow, deadlines": lambda rig, it: flow_of(rig, None, {}, timed(it)),
    "flow, spare": spared,
    "flow, incoming": lambda rig, it: serving(rig, {1: it}),
    "flow, ticket": lambda rig, it: serving(rig, {}, it),
    "flow, desk": lambda rig, it: serving(rig, {}, None, desk_of(it)),
    "desk, dispatcher": lambda _, it: desk_of(it),
    "desk, methods": lambda _, it: desk_of(methods={1: it}),
    "desk, tasks": lambda _, it: desk_of(tasks={1: it}),
    "desk, task class": lambda _, it: desk_of(kind=type("Kind", (HandlerTask,), {"it": it})),
    "desk, on_end": lambda _, it: desk_of(on_end=it),
    "desk, loop": lambda _, it: desk_of(loop=it),
    "desk, context": lambda _, it: desk_of(context=context_of(it)),
    "task, coroutine": lambda _, it: task_of(coroutine=it),
    "task, loop": lambda _, it: task_of(loop=it),
    "task, context": lambda _, it: task_of(context=context_of(it)),
    "task, on_end": lambda _, it: task_of(on_end=it),
    "task, call": lambda _, it: task_of(call=it),
    "task, callbacks": lambda _, it: task_of(_callbacks=[it]),
    "task, returned": lambda _, it: task_of(returned=it),
    "task, error": lambda _, it: task_of(error=it),
    "line, flow": lambda rig, it: line_of(flow_of(rig, it)),
    "line, running loop": lambda _, it: line_of(None, it),
    "line, current": lambda _, it: line_of(None, None, it),
    "caller, line": lambda _, it: caller_of(line_of(None, it)),
    "caller, loop": lambda _, it: caller_of(None, it),
    "caller, finish": lambda _, it: caller_of(None, None, it, None, None, None),
    "caller, give_up": lambda _, it: caller_of(None, None, None, it, None, None),
    "caller, method": lambda _, it: caller_of(None, None, None, None, it, None),
    "caller, given": lambda _, it: caller_of(None, None, None, None, None, it),
    "requester, loop": lambda _, it: requester_of(it),
    "requester, current": lambda _, it: requester_of(None, it, None, None),
    "requester, keeper": lambda _, it: requester_of(None, None, it, None),
    "requester, running loop": lambda _, it: requester_of(None, None, None, it),
}


def left_in_a_cycle(rig: Rig, make: Make) -> weakref.ref[Witness]:
    witness = Witness()
    witness.held = make(rig, witness)
    return weakref.ref(witness)


def test_cycles_are_collected(rig: Rig) -> None:
    gc.disable()
    try:
        gone = {what: left_in_a_cycle(rig, make) for what, make in KEPT.items()}
        assert [what for what, each in gone.items() if each() is None] == []  # they are cycles
        gc.collect()
        assert [what for what, each in gone.items() if each() is not None] == []
    finally:
        gc.enable()

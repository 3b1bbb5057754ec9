"""Tells callers that their handlers have started, where those wait for something.

In the next turn of the event loop, but not more often than once in a while; all of a connection in
one message. Those that have answered by then cost nothing.
"""

import asyncio
from functools import partial
from typing import Final

from machnet_rpc._aio.handler_task import HandlerTask
from machnet_rpc._aio.keyed_handlers import Execution
from machnet_rpc._protocol.calls import Executed, IncomingCall
from machnet_rpc._protocol.connection import Connection

WHILE_SECONDS: Final = 0.001


class Beginnings:
    """Calls of one server whose callers are to be told. Thread: the event loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: list[IncomingCall] = []
        self._next_at = 0.0  # by the loop's clock

    def __repr__(self) -> str:
        return f"<Beginnings: {len(self._calls)} to tell of>"

    def watch(self, task: HandlerTask) -> None:
        """It has not ended; a handler with a key starts after what a store is asked first."""
        keyed: Execution | None = task.keyed
        if keyed is None or keyed.has_begun:
            self._note(task.call)
        else:
            keyed.on_begun = partial(self._note, task.call)

    def _note(self, call: IncomingCall) -> None:
        if not self._calls:
            wait_seconds = self._next_at - self._loop.time()
            if wait_seconds > 0.0:
                self._loop.call_later(wait_seconds, self._tell)
            else:
                self._loop.call_soon(self._tell)
        self._calls.append(call)

    def _tell(self) -> None:
        calls, self._calls = self._calls, []
        self._next_at = self._loop.time() + WHILE_SECONDS
        by_connection: dict[Connection, list[int]] = {}
        for call in calls:
            if not call.answered:
                by_connection.setdefault(call.connection, []).append(call.call_id)
        for connection, call_ids in by_connection.items():
            connection.tell_begun(call_ids)


def executed_by(task: HandlerTask) -> Executed:
    """What is true of a call whose task has started."""
    keyed: Execution | None = task.keyed
    return "yes" if keyed is None or keyed.has_begun else "maybe"

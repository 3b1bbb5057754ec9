"""What is asked once a flow was cut: which of its calls the server had started.

Entered by failures alone, and only by those that cannot say it themselves. One question serves all
calls of a flow, whatever becomes of the first that asked.
"""

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING

from machnet_rpc import _clock
from machnet_rpc._protocol.calls import SENT, OutgoingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.starts import Starts
from machnet_rpc.context import CURRENT
from machnet_rpc.errors import Code, RpcError
from machnet_rpc.fates import NAME, TIMEOUT_SECONDS, FatesContract

if TYPE_CHECKING:
    from machnet_rpc.client import Client


class LastWords:
    """What is known of the flow that a client lost last. Thread: its event loop's."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._answer: asyncio.Task[Starts | None] | None = None

    async def learn(self, client: "Client", failure: RpcError, call: OutgoingCall) -> None:
        """Lets a failure say whether the call was executed, if the server knows; never fails.

        Waits for the server to be back, for some seconds at most, within the call's time.
        """
        connection: Connection = call.connection
        left_seconds = (call.deadline_ns - _clock.monotonic_ns()) / 1e9
        if (
            failure.executed != "maybe"
            or failure.code is not Code.UNAVAILABLE
            or failure.attempts > 1
            or failure.method.startswith(f"{NAME}/")
            or not (connection.is_closed and connection.number)
            or left_seconds <= 0
        ):
            return
        seconds = min(left_seconds, TIMEOUT_SECONDS)
        if connection is not self._connection or self._answer is None:
            self._connection = connection
            context = copy_context()  # in which middleware finds what it needs, and no handler
            context.run(CURRENT.set, None)
            asking = _answered(client, connection.number)
            self._answer = asyncio.create_task(asking, context=context)
        answer = self._answer
        await asyncio.wait([answer], timeout=seconds)
        starts = answer.result() if answer.done() and not answer.cancelled() else None
        if starts is not None:
            starts.tell([call])
            failure.executed = call.executed
            failure.stage = failure.stage if call.stage == SENT else call.stage


async def _answered(client: "Client", number: int) -> Starts | None:
    """Within its own time, not that of whoever asks first. None: nobody knows."""
    fates = client.using(timeout=TIMEOUT_SECONDS).stub(FatesContract)
    try:
        return Starts(await fates.last_word(number))
    except (RpcError, RuntimeError, ValueError):
        return None  # it is not back, or another one, or too old to know; or the client is closed

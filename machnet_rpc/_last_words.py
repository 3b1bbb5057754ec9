"""What is asked once a flow was cut: which of its calls the server had started.

Entered by failures alone, and only by those that cannot say it themselves. One question serves all
calls of a flow.
"""

import asyncio
from typing import TYPE_CHECKING

from machnet_rpc import _clock
from machnet_rpc._protocol.calls import SENT, OutgoingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.starts import Starts
from machnet_rpc.errors import Code, RpcError
from machnet_rpc.fates import NAME, TIMEOUT_SECONDS, FatesContract

if TYPE_CHECKING:
    from machnet_rpc.client import Client


class LastWords:
    """What is known of the flow that a client lost last. Thread: its event loop's."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._answer: asyncio.Future[Starts | None] | None = None

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
            await self._ask(client, connection.number, seconds)
        else:
            await asyncio.wait([self._answer], timeout=seconds)
        answer = self._answer
        if connection is not self._connection or answer is None or not answer.done():
            return
        starts = answer.result()
        if starts is not None:
            starts.tell([call])
            failure.executed = call.executed
            failure.stage = failure.stage if call.stage == SENT else call.stage

    async def _ask(self, client: "Client", number: int, seconds: float) -> None:
        answer = self._answer = asyncio.get_running_loop().create_future()
        starts: Starts | None = None
        try:
            fates = client.using(timeout=seconds).stub(FatesContract)
            starts = Starts(await fates.last_word(number))
        except (RpcError, ValueError):
            pass  # it is not back, is another one, or too old to know
        finally:
            answer.set_result(starts)

"""How old a keyed call says that it is, when it is made again."""

import asyncio
import time
from typing import Any

import pytest

from machnet_rpc import RetryPolicy, Unavailable
from machnet_rpc._calling import Target
from machnet_rpc._carrying_calls import CarryingCall
from machnet_rpc._client_calls import Ways
from machnet_rpc._options import CallOptions, MethodOptions
from machnet_rpc._protocol.calls import SENT, OutgoingCall
from machnet_rpc._retries import Retries

SECOND = 1_000_000_000
BOOK = Target("shop/book", 1, MethodOptions(10.0, idempotent="keyed"))


class Lost(CarryingCall):
    """Its first two attempts are lost; notes since when each of them says that it is under way."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.since_ns: list[int | None] = []

    async def begin(self, deadline_ns: int, since_ns: int | None) -> OutgoingCall:
        self.since_ns.append(since_ns)
        return OutgoingCall(BOOK.method_id, deadline_ns, asyncio.get_running_loop())

    async def end(self, call: OutgoingCall) -> Any:
        if len(self.since_ns) <= 2:
            raise Unavailable("it is lost", executed="maybe", stage=SENT)


@pytest.mark.parametrize("around_seconds", [1, 60])
async def test_a_call_is_no_older_than_it_is_where_another_ends_sooner(around_seconds: int) -> None:
    def deadline(target: object, options: CallOptions, now_ns: int) -> int:
        return now_ns + min(around_seconds, 10) * SECOND

    nothing: Any = None
    retries = Retries(RetryPolicy(first_pause=0.0))
    before_ns = time.monotonic_ns()
    call = Lost(
        Ways(nothing, deadline, nothing, nothing, retries), BOOK, b"", CallOptions(), nothing
    )
    await call.run()
    first, second, third = call.since_ns
    assert first is None
    assert second is not None
    assert before_ns <= second <= time.monotonic_ns()
    assert third == second

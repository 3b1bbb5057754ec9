"""How old a keyed call says that it is, when it is made again."""

import asyncio
import time
from typing import Any, NamedTuple

import pytest

from machnet_rpc import RetryPolicy, Unavailable
from machnet_rpc._calling import Target
from machnet_rpc._carrying_calls import CarryingCall
from machnet_rpc._client_calls import Ways
from machnet_rpc._metadata import KEY_AGE, split
from machnet_rpc._options import CallOptions, Metadata, MethodOptions
from machnet_rpc._protocol.calls import SENT, OutgoingCall
from machnet_rpc._protocol.events import Cause, Failed
from machnet_rpc._retries import Retries

SECOND = 1_000_000_000
MS = 1_000_000
BOOK = Target("shop/book", 1, MethodOptions(10.0, idempotent="keyed"))


class Keeper:
    address = "127.0.0.1:1"


class Nowhere:
    def __init__(self) -> None:
        self.reply_metadata: dict[int, Metadata] = {}


class Sent(NamedTuple):
    metadata: Metadata
    deadline_ns: int

    def was_begun_between(self, early_ns: int, late_ns: int) -> bool:
        """Its age is in milliseconds, and no less than it is."""
        age_ms = int(str(self.metadata[KEY_AGE]))
        return early_ns < self.deadline_ns - (age_ms - 1) * MS and (
            self.deadline_ns - age_ms * MS <= late_ns
        )


@pytest.mark.parametrize("around_seconds", [1, 60])
async def test_a_call_is_no_older_than_it_is_where_another_ends_sooner(around_seconds: int) -> None:
    attempts: list[Sent] = []
    nothing: Any = None

    def deadline(target: object, options: CallOptions, now_ns: int) -> int:
        seconds = 10.0 if options.timeout is None else options.timeout
        return now_ns + int(min(around_seconds, seconds) * SECOND)

    def sent(_: object, payload: bytes, deadline_ns: int, *__: object) -> OutgoingCall:
        attempts.append(Sent(split(payload)[0], deadline_ns))
        call = OutgoingCall(BOOK.method_id, deadline_ns, asyncio.get_running_loop())
        call.connection = Nowhere()
        call.complete(Failed(call, Cause.FLOW_CLOSED, "maybe", SENT, 0))
        return call

    async def ready(*_: object) -> None:
        """There is always room."""

    def result_of(_: object, target: Target) -> str:
        if len(attempts) <= 2:
            raise Unavailable(f"{target.full_name} is lost", executed="maybe", stage=SENT)
        return "done"

    retries = Retries(RetryPolicy(first_pause=0.0))
    before_ns = time.monotonic_ns()
    ways: Any = (Keeper(), deadline, ready, sent, nothing, retries)
    call = CarryingCall(Ways(*ways), BOOK, b"", CallOptions(), result_of)
    assert await call.run() == "done"
    first, second, third = attempts
    assert KEY_AGE not in first.metadata
    assert first.deadline_ns == second.deadline_ns == third.deadline_ns
    assert second.was_begun_between(before_ns, time.monotonic_ns())
    assert second.metadata == third.metadata

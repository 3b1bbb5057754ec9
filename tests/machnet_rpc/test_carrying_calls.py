"""How old a keyed call says that it is, when it is made again."""

import asyncio
from typing import Any, NamedTuple

import pytest

from machnet_rpc import RetryPolicy, Unavailable
from machnet_rpc._calling import Target
from machnet_rpc._carrying_calls import CarryingCall
from machnet_rpc._client_calls import Ways
from machnet_rpc._metadata import KEY, KEY_AGE, split
from machnet_rpc._options import CallOptions, Metadata, MethodOptions
from machnet_rpc._protocol.calls import SENT, Executed, OutgoingCall
from machnet_rpc._protocol.events import Cause, Failed
from machnet_rpc._protocol.records import METADATA
from machnet_rpc._retries import Retries

SECOND = 1_000_000_000
BOOK = Target("shop/book", 1, MethodOptions(10.0, idempotent="keyed"))
LOOK = Target("shop/look", 2, MethodOptions(10.0, idempotent=True))


class Keeper:
    address = "127.0.0.1:1"


class Nowhere:
    def __init__(self) -> None:
        self.reply_metadata: dict[int, Metadata] = {}


class Sent(NamedTuple):
    metadata: Metadata
    deadline_ns: int


async def made(target: Target, executed: Executed, around_seconds: int = 10) -> list[Sent]:
    """The attempts of one call, of which the first two are lost."""
    nothing: Any = None
    sent: list[Sent] = []

    def deadline(target: object, options: CallOptions, now_ns: int) -> int:
        seconds = 10.0 if options.timeout is None else options.timeout
        return now_ns + int(min(around_seconds, seconds) * SECOND)

    def send(_: object, payload: bytes, deadline_ns: int, *rest: int) -> OutgoingCall:
        has_metadata = rest[-1] == METADATA
        sent.append(Sent(split(payload)[0] if has_metadata else {}, deadline_ns))
        call = OutgoingCall(BOOK.method_id, deadline_ns, asyncio.get_running_loop())
        call.connection = Nowhere()
        call.complete(Failed(call, Cause.FLOW_CLOSED, executed, SENT, 0))
        return call

    async def ready(*_: object) -> None:
        """There is always room."""

    def result_of(_: object, target: Target) -> str:
        if len(sent) <= 2:
            raise Unavailable(f"{target.full_name} is lost", executed=executed, stage=SENT)
        return "done"

    retries = Retries(RetryPolicy(first_pause=0.0))
    ways: Any = (Keeper(), deadline, ready, send, nothing, retries)
    call = CarryingCall(Ways(*ways), target, b"", CallOptions(metadata={"a": "b"}), result_of)
    assert await call.run() == "done"
    return sent


@pytest.mark.parametrize("around_seconds", [1, 60])
async def test_a_call_is_no_older_than_it_is_where_another_ends_sooner(around_seconds: int) -> None:
    first, second, third = await made(BOOK, "maybe", around_seconds)
    assert KEY_AGE not in first.metadata
    assert first.deadline_ns == second.deadline_ns == third.deadline_ns
    oldest_ms = min(around_seconds, 10) * 1000 + 1
    assert second.metadata == third.metadata == {**first.metadata, KEY_AGE: str(oldest_ms)}


@pytest.mark.parametrize(("target", "executed"), [(BOOK, "no"), (LOOK, "maybe"), (LOOK, "no")])
async def test_a_call_that_needs_none_says_no_age(target: Target, executed: Executed) -> None:
    first, second, third = await made(target, executed)
    assert (KEY in first.metadata) == (target is BOOK)
    assert KEY_AGE not in first.metadata
    assert first.metadata == second.metadata == third.metadata

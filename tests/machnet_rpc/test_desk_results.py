"""Results that a desk in C has encoded: sent within the turn, or refused as Python would.

What is encoded may be an iterable of the handler's, whose code runs then and may do anything.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from idl import pack
from machnet_rpc import Limits, current_call, rpc, service
from machnet_rpc._method_id import method_id
from machnet_rpc._native import crossing
from machnet_rpc.errors import Code
from tests.machnet_rpc.test_desk import Served, in_turn
from tests.machnet_rpc.waiting import until

pytestmark = pytest.mark.skipif(crossing is None, reason="results are encoded in Python here")

NUMBERS, TEXT = method_id("results", "numbers"), method_id("results", "text")


@service("results")
class Results:
    @rpc
    async def numbers(self, name: str) -> Iterable[int]:
        raise NotImplementedError

    @rpc
    async def text(self, size: int) -> str:
        raise NotImplementedError


class ResultsServer(Results):
    """Gives what the test has under a name."""

    def __init__(self) -> None:
        self.given: dict[str, Callable[[], Iterator[Any]]] = {}

    @rpc
    async def numbers(self, name: str) -> Iterable[int]:
        return self.given[name]()

    @rpc
    async def text(self, size: int) -> str:
        return "x" * size


def served(
    rigs: list[Served],
    limits: Limits | None = None,
    message_bytes_max: int = 1 << 20,
    **given: Callable[[], Iterator[Any]],
) -> Served:
    rigs.append(Served(limits, message_bytes_max, ResultsServer))
    rigs[-1].service.given = given
    return rigs[-1]


def asked(rig: Served, *names: str) -> None:
    for call_id, name in enumerate(names):
        rig.request(call_id, pack(name), NUMBERS)


async def test_they_are_sent_in_order_within_the_turn(rigs: list[Served]) -> None:
    def seen() -> Iterator[int]:
        yield len(current_call().method)  # its context is still the call's

    rig = served(rigs, seen=seen, none=lambda: iter(()))
    asked(rig, "seen", "none", "seen")
    assert await in_turn(rig) == []
    name = pack([len("results/numbers")])
    assert rig.answers() == [(0, 0, name), (1, 0, pack([])), (2, 0, name)]
    assert rig.ended(NUMBERS) == {0: 3}
    assert (rig.connection.incoming, len(rig.wheel), rig.dispatcher.running) == (0, 0, 0)


async def test_what_cannot_be_sent_is_refused_and_read_once(
    rigs: list[Served], caplog: pytest.LogCaptureFixture
) -> None:
    read: list[str] = []

    def wrong() -> Iterator[Any]:
        read.append("wrong")
        yield "no number"

    def raising() -> Iterator[int]:
        read.append("raising")
        yield 1
        raise ValueError("half-way")

    def cancelled() -> Iterator[int]:
        read.append("cancelled")
        yield 1
        raise asyncio.CancelledError

    rig = served(rigs, wrong=wrong, raising=raising, cancelled=cancelled, good=lambda: iter([7]))
    asked(rig, "wrong", "raising", "cancelled", "good")
    assert await in_turn(rig) == []
    first, second, third, last = rig.answers()
    assert first[:2] == (0, Code.INTERNAL)
    assert b"the handler's result is wrong" in first[2]
    assert second[:2] == (1, Code.UNKNOWN)
    assert third[:2] == (2, Code.CANCELLED)
    assert last == (3, 0, pack([7]))
    assert read == ["wrong", "raising", "cancelled"]
    assert "results/numbers gave what its contract does not allow" in caplog.text
    assert rig.ended(NUMBERS) == {0: 1, Code.INTERNAL: 1, Code.UNKNOWN: 1, Code.CANCELLED: 1}
    assert (rig.connection.incoming, len(rig.wheel)) == (0, 0)


@pytest.mark.parametrize(
    ("limits", "message_bytes_max"), [(Limits(reply_bytes=100), 1 << 20), (Limits(), 100)]
)
async def test_what_is_too_large_is_refused(
    rigs: list[Served], limits: Limits, message_bytes_max: int
) -> None:
    rig = served(rigs, limits, message_bytes_max)
    for call_id, size in enumerate((98, 99, 1)):  # with two bytes of its length
        rig.request(call_id, pack(size), TEXT)
    assert await in_turn(rig) == []
    good, large, small = rig.answers()
    assert good == (0, 0, pack("x" * 98))
    assert large[:2] == (1, Code.RESOURCE_EXHAUSTED)
    assert b"the result is 101 bytes, and at most 100 can be sent" in large[2]
    assert small == (2, 0, pack("x"))


async def test_what_ends_the_process_is_answered_first(rigs: list[Served]) -> None:
    def ends() -> Iterator[int]:
        yield 1
        raise SystemExit(3)

    rig = served(rigs, ends=ends, good=lambda: iter([7]))
    asked(rig, "good", "ends", "good")
    with pytest.raises(RuntimeError, match=r"SystemExit\(3\)"):
        await in_turn(rig)
    assert [each[:2] for each in rig.answers()] == [(0, 0), (1, Code.INTERNAL)]
    left = await in_turn(rig)
    assert [head[0] for head, _ in left or ()] == [2]


async def test_it_may_close_everything_meanwhile(rigs: list[Served]) -> None:
    def closes() -> Iterator[int]:
        rig.crossing.close()
        yield 1

    rig = served(rigs, closes=closes, good=lambda: iter([7]))
    asked(rig, "good", "closes", "good")
    with suppress(RuntimeError):
        await in_turn(rig)
    assert rig.answers() == [(0, 0, pack([7]))]
    assert rig.ended(NUMBERS) == {0: 1, Code.CANCELLED: 1}


async def test_it_may_cancel_and_watch_its_own_task(rigs: list[Served]) -> None:
    """It comes too late to be cancelled, as in Python; it has ended already for who watches."""
    tasks: list[Any] = []
    ended: list[object] = []

    def watching() -> Iterator[int]:
        assert tasks[0].done()
        assert not tasks[0].cancel()
        tasks[0].add_done_callback(ended.append)
        yield 1

    def watches() -> Iterator[int]:
        tasks.append(asyncio.current_task())
        return watching()

    rig = served(rigs, watches=watches)
    asked(rig, "watches")
    assert await in_turn(rig) == []
    assert rig.answers() == [(0, 0, pack([1]))]
    await until(lambda: ended == tasks)

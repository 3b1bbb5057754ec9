"""The queue of callbacks that an event loop has, and how long one may hold up the others."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from unittest.mock import Mock

import pytest
import uvloop

from machnet_rpc._aio.ready_queue import (
    TURN_BLIND_NS,
    TURN_NS,
    TURN_SLOW_NS,
    ready_queue,
    turn_ns,
)

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("new_loop", LOOPS)
def test_it_is_the_loops_own(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    loop = new_loop()
    seen: list[int] = []

    async def look() -> None:
        queue = ready_queue(loop)
        assert queue is not None
        await asyncio.sleep(0)
        seen.append(len(queue))
        loop.call_soon(seen.append, -1)
        loop.call_soon(seen.append, -2)
        seen.append(len(queue))
        await asyncio.sleep(0)
        other = threading.Thread(target=loop.call_soon_threadsafe, args=(seen.append, -3))
        other.start()
        other.join()
        seen.append(len(queue))

    try:
        loop.run_until_complete(look())
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()
    assert seen == [0, 2, -1, -2, 1, -3]


def test_a_loop_that_hides_it() -> None:
    added = Mock()
    hiding = Mock(spec=["call_soon"], call_soon=Mock(return_value=added), others=deque([1]))
    assert ready_queue(hiding) is None
    added.cancel.assert_called_once()


def test_turns() -> None:
    slow, fast = (new_loop() for new_loop in LOOPS)
    try:
        assert turn_ns(slow, ready_queue(slow)) == TURN_SLOW_NS
        assert turn_ns(fast, ready_queue(fast)) == TURN_NS
        assert turn_ns(fast, None) == TURN_BLIND_NS
    finally:
        slow.close()
        fast.close()

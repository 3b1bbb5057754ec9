"""What waits for an event loop, as one of its callbacks can see it."""

import asyncio
import select
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from unittest.mock import Mock

import pytest
import uvloop

from machnet_rpc._aio.loop_work import TURN_BLIND_NS, TURN_NS, LoopWork, ready_queue
from tests.machnet_rpc.waiting import until

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


@pytest.mark.parametrize("new_loop", LOOPS)
def test_descriptors_that_wait_for_the_loop_show(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    loop = new_loop()
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    seen: list[bytes] = []

    async def look() -> None:
        work = LoopWork(loop)
        waiting = select.poll()
        waiting.register(work.fileno, select.POLLIN)
        loop.add_reader(ours, lambda: seen.append(ours.recv(9)))
        for _ in range(3):
            await asyncio.sleep(0)
        assert waiting.poll(0) == []
        peer.send(b"one")
        assert waiting.poll(0) != []
        await until(lambda: seen == [b"one"])
        assert waiting.poll(0) == []
        loop.remove_reader(ours)
        other = threading.Thread(target=loop.call_soon_threadsafe, args=(seen.append, b"two"))
        other.start()
        other.join()
        assert waiting.poll(0) != []
        await until(lambda: seen == [b"one", b"two"])

    try:
        loop.run_until_complete(look())
    finally:
        loop.close()
        ours.close()
        peer.close()


@pytest.mark.parametrize("new_loop", LOOPS)
def test_turns(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    loop = new_loop()
    try:
        work = LoopWork(loop)
        assert work.turn_ns == TURN_NS
        assert work.fileno >= 0
    finally:
        loop.close()


def test_a_loop_that_hides_everything() -> None:
    hiding = Mock(spec=["call_soon"], call_soon=Mock(return_value=Mock()))
    work = LoopWork(hiding)
    assert (len(work.ready), work.fileno, work.turn_ns) == (0, -1, TURN_BLIND_NS)


def test_a_loop_whose_selector_is_no_descriptor() -> None:
    with selectors.SelectSelector() as selector:
        loop = asyncio.SelectorEventLoop(selector)
        try:
            assert LoopWork(loop).fileno == -1
        finally:
            loop.close()

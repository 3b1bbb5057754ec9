"""The event loop of a blocking client: for how long it waits."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from machnet_rpc._private_loop import EndLost, PrivateLoop

FOREVER_SECONDS = 1e9  # the longest timeout of a call


@pytest.fixture
def private() -> Iterator[PrivateLoop]:
    private = PrivateLoop()
    yield private
    private.loop.close()


async def ended(future: "asyncio.Future[str]") -> str:
    return await future


@pytest.mark.parametrize("is_bounded", [False, True])
def test_it_waits_for_as_long_as_any_call_may(private: PrivateLoop, is_bounded: bool) -> None:
    future: asyncio.Future[str] = private.loop.create_future()
    task = private.task(ended(future))
    end = threading.Timer(0.05, private.loop.call_soon_threadsafe, (future.set_result, "over"))
    end.start()
    private.run(task, FOREVER_SECONDS, is_bounded=is_bounded)
    assert task.result() == "over"
    end.join()


def test_what_is_in_doubt_and_tells_of_no_end_has_one(private: PrivateLoop) -> None:
    task = private.task(ended(private.loop.create_future()))
    with pytest.raises(EndLost):
        private.run(task, 0.05, is_bounded=True)
    assert not task.done()
    private.loop.call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        private.run(task, 0.05, is_bounded=True)

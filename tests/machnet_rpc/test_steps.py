"""A step of a handler's coroutine, in C as in Python: its task is current in it, and only there."""

import asyncio
from typing import Any, cast

import pytest

from machnet_rpc._aio.handler_task import HandlerTask, _advanced


async def test_a_step_is_refused_where_another_task_is_current() -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    begun: list[object] = []

    async def begins() -> None:
        begun.append(asyncio.current_task())

    coroutine = begins()
    with pytest.raises(RuntimeError, match="Cannot enter into task"):
        _advanced(loop, cast(HandlerTask, object()), coroutine)
    coroutine.close()
    assert (begun, asyncio.current_task()) == ([], task)


async def test_a_step_that_leaves_another_task_behind_fails() -> None:
    loop = asyncio.get_running_loop()
    stepping, other = (cast(Any, object()) for _ in range(2))
    raised: list[BaseException] = []

    async def changes() -> None:
        asyncio.tasks._leave_task(loop, stepping)
        asyncio.tasks._enter_task(loop, other)

    def step() -> None:
        try:
            _advanced(loop, stepping, changes())
        except RuntimeError as error:
            raised.append(error)
        asyncio.tasks._leave_task(loop, other)
        over.set_result(None)

    over: asyncio.Future[None] = loop.create_future()
    loop.call_soon(step)
    await over
    (error,) = raised
    assert repr(stepping) in str(error)  # asyncio's words differ with the Python
    assert repr(other) in str(error)

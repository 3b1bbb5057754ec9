"""A handler that takes back its cancellation before it was seen goes on, as since Python 3.13.

Groups do so whose eager tasks failed before the group waited for them.
"""

import asyncio

import pytest

from tests.machnet_rpc.test_handler_task import answer, nap


@pytest.mark.parametrize("has_waited", [False, True])
async def test_what_takes_back_its_cancellation_goes_on(has_waited: bool) -> None:
    async def cancelled(times: int) -> None:
        if has_waited:
            await nap()
        task = asyncio.current_task()
        assert task is not None
        for _ in range(times):
            task.cancel()
        left = [task.uncancel() for _ in range(times + 1)]
        assert left == [*reversed(range(times)), 0]

    async def waits() -> str:
        await cancelled(2)
        await asyncio.sleep(0)
        return await nap()

    async def returns() -> str:
        await cancelled(1)
        return "ended"

    assert await answer(waits, returns) == ["rested", "ended"]


async def test_what_takes_back_some_of_its_cancellations_is_cancelled() -> None:
    async def body() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        task.cancel()
        assert task.uncancel() == 1
        with pytest.raises(asyncio.CancelledError):
            await nap()
        return "cancelled"

    assert await answer(body) == ["cancelled"]

"""Turns of users: one each, and what one of them raises is no other's loss."""

import asyncio
from functools import partial
from typing import Any

from transport_engine.users import Turns


async def test_one_request_of_each_user_in_a_turn() -> None:
    turns, served = Turns(), list[str]()
    for name in ("a1", "a2", "a3", "b1"):
        turns.enter(ord(name[0]), partial(served.append, name))
    for _ in range(10):
        await asyncio.sleep(0)
    assert served == ["a1", "b1", "a2", "a3"]


async def test_who_raises_costs_no_other_its_turn() -> None:
    turns, served, told = Turns(), list[int](), list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    turns.enter(1, lambda: served.append(1 // 0))
    turns.enter(2, lambda: served.append(2))
    turns.enter(1, lambda: served.append(1))
    for _ in range(10):
        await asyncio.sleep(0)
    assert served == [2, 1]
    assert [type(context["exception"]) for context in told] == [ZeroDivisionError]

"""Users: a turn each, and what is remembered and written of each is bounded."""

import asyncio
import logging
from functools import partial
from typing import Any

import pytest

from transport_engine.users import LINES_BURST, USERS_MAX, Turns, Users


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


def test_who_owes_is_not_forgotten_for_those_who_come() -> None:
    users = Users(2000, logging.getLogger("test"))
    owing = users.get(0, 0.0)
    owing.asking.owe(100)
    for uid in range(1, 2 * USERS_MAX):
        users.get(uid, 0.0)
    assert users.get(0, 0.0) is owing
    assert len(users._users) <= USERS_MAX


def test_lines_that_are_left_out_are_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    users = Users(2000, logging.getLogger("test"))
    for now in (*[0.0] * (LINES_BURST + 5), 1.0, 2.0):
        users.write(logging.WARNING, 7, now, f"at {now:g} s")
    assert caplog.messages == [
        *["at 0 s"] * LINES_BURST,
        "5 lines about user 7 left out",
        "at 1 s",
        "at 2 s",
    ]

"""The timing wheel against a sorted list."""

import random

from machnet_rpc._protocol.calls import Timed
from machnet_rpc._protocol.deadlines import SLOTS, TICK_NS, Deadlines


class Item(Timed):
    def __init__(self, deadline_ns: int) -> None:
        self.deadline_ns = deadline_ns


def test_empty() -> None:
    wheel: Deadlines[Item] = Deadlines()
    assert wheel.next_ns() is None
    assert wheel.expire(10**18) == []


def test_one_fires_not_early_and_at_most_a_tick_late() -> None:
    wheel: Deadlines[Item] = Deadlines()
    item = Item(5 * TICK_NS + 1)
    wheel.add(item)
    assert wheel.expire(5 * TICK_NS) == []
    wake_ns = wheel.next_ns()
    assert wake_ns is not None
    assert item.deadline_ns <= wake_ns < item.deadline_ns + TICK_NS
    assert wheel.expire(wake_ns) == [item]
    assert len(wheel) == 0


def test_the_last_deadlines_that_there_are_do_not_come_at_once() -> None:
    wheel: Deadlines[Item] = Deadlines()
    for deadline_ns in ((1 << 63) - 1, (1 << 63) - 2):  # a peer may say so of its request
        wheel.add(Item(deadline_ns))
        wake_ns = wheel.next_ns()
        assert wake_ns is not None
        assert wake_ns >= deadline_ns
        assert wheel.expire(10**18) == []


def test_an_overdue_item_fires_at_once_even_after_a_long_sleep() -> None:
    wheel: Deadlines[Item] = Deadlines()
    now_ns = 10 * SLOTS * TICK_NS
    wheel.expire(now_ns)
    item = Item(7)
    wheel.add(item)
    assert wheel.expire(now_ns) == [item]


def test_discard_is_exact_and_may_repeat() -> None:
    wheel: Deadlines[Item] = Deadlines()
    items = [Item(TICK_NS * SLOTS * turn) for turn in range(1, 4)]
    for item in items:
        wheel.add(item)
    wheel.discard(items[1])
    wheel.discard(items[1])
    assert len(wheel) == 2
    assert wheel.expire(TICK_NS * SLOTS) == [items[0]]
    assert wheel.expire(TICK_NS * SLOTS * 3) == [items[2]]


def test_random_timers_fire_as_in_a_sorted_list() -> None:
    pick = random.Random(1)
    wheel: Deadlines[Item] = Deadlines()
    pending: set[Item] = set()
    now_ns = 123_456_789
    for _ in range(20_000):
        act = pick.randrange(4)
        if act < 2:
            item = Item(now_ns + pick.choice([0, 10**5, 10**7, 10**9, 10**10]) * pick.randrange(9))
            wheel.add(item)
            pending.add(item)
        elif act == 2 and pending:
            item = next(iter(pending))
            pending.discard(item)
            wheel.discard(item)
        else:
            now_ns += pick.choice([10**4, 10**6, 10**8])
            fired = wheel.expire(now_ns)
            late = {item for item in pending if item.deadline_ns <= now_ns - TICK_NS}
            assert late <= set(fired) <= {i for i in pending if i.deadline_ns <= now_ns}
            pending.difference_update(fired)
        assert len(wheel) == len(pending)
        wake_ns = wheel.next_ns()
        if pending:
            assert wake_ns is not None
            assert wake_ns < min(item.deadline_ns for item in pending) + TICK_NS

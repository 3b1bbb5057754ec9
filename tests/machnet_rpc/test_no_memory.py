"""What is left undone for want of memory is done later: nothing is lost."""

import pytest

from machnet_rpc._native import crossing

pytestmark = pytest.mark.skipif(crossing is None, reason="messages cross in Python here")

TIMERS = 64


@pytest.mark.parametrize("failing", range(8))
def test_no_timer_is_lost(failing: int) -> None:
    memory = pytest.importorskip("_testcapi")
    wheel = crossing.Deadlines()
    for number in range(TIMERS):
        timed = crossing.Timed()
        timed.deadline_ns = 1_000_000 * (number % 3 + 1)
        wheel.add(timed)
    expired: list[object] = []
    memory.set_nomemory(failing, failing + 1)
    try:
        expired = wheel.expire(10_000_000)
    except MemoryError:
        pass
    finally:
        memory.remove_mem_hooks()
    assert len(expired) + len(wheel) == TIMERS
    assert not expired or not wheel or wheel.next_ns() <= 10_000_000
    assert len(expired) + len(wheel.expire(10_000_000)) == TIMERS

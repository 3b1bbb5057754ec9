"""What is left undone for want of memory is done later: nothing is lost."""

import asyncio
import gc

import pytest

from machnet_rpc._native import crossing
from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import HEARD_STARTED
from machnet_rpc._protocol.starts import Starts
from tests.machnet_rpc.test_crossing import FLOW, Rig
from tests.machnet_rpc.test_desk import Served, in_turn

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


@pytest.mark.parametrize("is_lent", [False, True])
@pytest.mark.parametrize("failing", range(6))
def test_a_message_without_memory_is_lost_alone(failing: int, is_lent: bool) -> None:
    memory = pytest.importorskip("_testcapi")
    rig, taken = Rig(), []
    rig.crossing.lent = {2} if is_lent else None
    for call_id, size in ((1, 70_000), (2, 5)):
        for record in records.pieces(records.REQUEST, FLOW, call_id, bytes(size), method_id=2):
            rig.far.send(record)
    memory.set_nomemory(failing, failing + 1)
    try:
        taken += rig.crossing.receive(0)
    except MemoryError:
        pass
    finally:
        memory.remove_mem_hooks()
    while (more := rig.crossing.receive(0)) is not None:
        taken += more
    sizes = [(head[records.CALL_ID], len(whole)) for head, whole in taken]
    rig.close()
    assert sizes in ([(2, 5)], [(1, 70_000), (2, 5)])


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize("failing", range(16))
async def test_a_handler_is_noted_as_started_only_where_it_was(failing: int) -> None:
    memory = pytest.importorskip("_testcapi")
    loop, rig = asyncio.get_running_loop(), Served()
    over = loop.create_future()

    def turn() -> None:
        memory.set_nomemory(failing, failing + 1)
        try:
            rig.crossing.receive(0)
        except MemoryError:
            pass
        finally:
            memory.remove_mem_hooks()
            over.set_result(None)

    rig.near.begin_starts(FLOW, 1)
    rig.request(0, b"before")
    await in_turn(rig)
    rig.request(1, b"payload")
    loop.call_soon(turn)
    await over
    was_run = b"payload" in rig.service.seen
    is_noted = Starts(rig.near.starts(FLOW, is_own=True)).heard(1) == HEARD_STARTED
    answers = [call_id for call_id, *_ in rig.answers()]
    rig.close()
    gc.collect()
    assert is_noted or not was_run
    assert not is_noted or was_run or 1 in answers

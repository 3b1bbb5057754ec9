"""Tasks that take their first step where they are made: clients, servers and handlers do not mind.

Source: asyncio.eager_task_factory of Python 3.12
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from machnet_rpc import Client, MemoryNetwork, connect, rpc, serve, service
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.conftest import ADDRESS
from tests.machnet_rpc.test_handler_task import answer, forever, nap

Body = Callable[[], Coroutine[Any, Any, str]]


@service("eager")
class Eager:
    @rpc(timeout=5.0)
    async def run(self, body: int) -> str:
        raise NotImplementedError

    @rpc
    def count(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        raise NotImplementedError


class EagerServer(Eager):
    """Runs a body of the test's own, in this process."""

    def __init__(self, *bodies: Body) -> None:
        self.bodies = bodies

    @rpc
    async def run(self, body: int) -> str:
        return await self.bodies[body]()

    @rpc
    async def count(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield number + 1


def eager_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
    """As asyncio.eager_task_factory, whose first releases do not know all that uvloop says."""
    options["eager_start"] = True
    return asyncio.Task(coroutine, loop=loop, **options)


from_3_12 = pytest.mark.skipif(sys.version_info < (3, 12), reason="from Python 3.12 on")


@pytest.fixture
async def eager() -> AsyncIterator[None]:
    """The tasks of a test's loop, but its own, are eager."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(eager_task)
    yield
    loop.set_task_factory(None)


async def listed(items: AsyncIterator[int]) -> list[int]:
    return [item async for item in items]


async def numbers() -> AsyncIterator[int]:
    for number in range(3):
        yield number


async def at_once() -> str:
    return "at once"


async def fails_at_once() -> str:
    raise LookupError


async def grouped(*bodies: Body) -> None:
    async with asyncio.TaskGroup() as group:
        for body in bodies:
            group.create_task(body())


@from_3_12
async def test_calls_and_streams_of_eager_tasks(eager: None, via: Via) -> None:
    client: list[Client] = []
    address = ADDRESS if isinstance(via, MemoryNetwork) else "127.0.0.1:0"

    async def nested() -> str:
        stub = client[0].stub(Eager)
        return "".join(await asyncio.gather(stub.run(0), stub.run(1)))

    async with (
        serve(EagerServer(at_once, nap, nested), address, via=via, grace=0.2) as server,
        connect(server.address, via=via, timeout=5.0) as connected,
    ):
        client.append(connected)
        stub = connected.stub(Eager)
        calls = [asyncio.ensure_future(stub.run(number % 3)) for number in range(30)]
        lists = [asyncio.ensure_future(listed(stub.count(numbers()))) for _ in range(10)]
        answers = ["at once", "rested", "at oncerested"]
        assert await asyncio.gather(*calls) == answers * 10
        assert await asyncio.gather(*lists) == [[1, 2, 3]] * 10
        async with asyncio.timeout(5.0), asyncio.TaskGroup() as group:
            tasks = [group.create_task(stub.run(number)) for number in range(3)]
        assert [task.result() for task in tasks] == answers


@from_3_12
async def test_eager_tasks_of_handlers(eager: None) -> None:
    async def task_group() -> str:
        around = asyncio.current_task()
        async with asyncio.TaskGroup() as group:
            done = group.create_task(at_once())
            later = group.create_task(nap())
            assert asyncio.current_task() is around
        return done.result() + later.result()

    async def fails_alone() -> str:
        with pytest.raises(ExceptionGroup):
            await grouped(fails_at_once)
        return await nap()

    async def fails_beside_another() -> str:
        with pytest.raises(ExceptionGroup):
            await grouped(forever, fails_at_once)
        return await nap()

    answers = await answer(task_group, fails_alone, fails_beside_another)
    assert answers == ["at oncerested", "rested", "rested"]

"""To handlers, and to what they use, their task is a task: cancelled, timed, grouped, awaited."""

import asyncio
import contextvars
import gc
import io
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import closing, suppress
from typing import Any

import anyio
import pytest

from machnet_rpc import NotFound, RpcError, current_call, rpc, service
from machnet_rpc._aio.handler_task import HandlerTask
from machnet_rpc._protocol.calls import IncomingCall
from machnet_rpc.testing import test_client
from tests.machnet_rpc.waiting import until

Body = Callable[[], Awaitable[Any]]
seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")


@service("any")
class Anything:
    @rpc(timeout=5.0)
    async def run(self, body: int) -> str:
        raise NotImplementedError

    @rpc(oneway=True)
    async def tell(self, body: int) -> None:
        raise NotImplementedError


class AnyServer(Anything):
    """Runs a body of the test's own, in this process."""

    def __init__(self, *bodies: Body) -> None:
        self.bodies = bodies

    @rpc
    async def run(self, body: int) -> str:
        return str(await self.bodies[body]())

    @rpc
    async def tell(self, body: int) -> None:
        await self.bodies[body]()


async def answer(*bodies: Body) -> list[Any]:
    """What each body returned to its caller, all at once."""
    async with test_client(AnyServer(*bodies)) as client:
        run = client.stub(Anything).run
        calls = (run(number) for number in range(len(bodies)))
        return list(await asyncio.gather(*calls, return_exceptions=True))


async def nap() -> str:
    await asyncio.sleep(0.001)
    return "rested"


async def forever() -> str:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


@pytest.mark.parametrize("pause", [False, True])
def test_what_ends_the_process_without_a_word_is_logged(
    caplog: pytest.LogCaptureFixture, pause: bool
) -> None:
    async def body() -> str:
        if pause:
            await asyncio.sleep(0)
        raise SystemExit(3)

    with pytest.raises(SystemExit, match="3"):
        asyncio.run(answer(body))
    (record,) = caplog.records
    assert record.getMessage() == "any/run raised SystemExit, and the process ends"
    assert record.exc_info is not None


@pytest.mark.parametrize("pause", [False, True])
def test_what_ends_the_process_is_logged_once_where_nobody_waits(
    caplog: pytest.LogCaptureFixture, pause: bool
) -> None:
    async def body() -> str:
        if pause:
            await asyncio.sleep(0)
        raise SystemExit(3)

    async def told() -> None:
        async with test_client(AnyServer(body)) as client:
            await client.stub(Anything).tell(0)
            await asyncio.sleep(5)

    with pytest.raises(SystemExit, match="3"):
        asyncio.run(told())
    assert [each.getMessage() for each in caplog.records] == [
        "any/tell raised SystemExit, and the process ends"
    ]


def test_a_task_whose_answer_ends_the_process_has_ended() -> None:
    async def body() -> None:
        pass

    def on_end(task: object) -> None:
        raise KeyboardInterrupt

    loop, ended = asyncio.new_event_loop(), list[object]()
    with closing(loop):
        call = IncomingCall(1, 1, 1 << 62, None)
        task = call.task = HandlerTask(body(), loop, contextvars.copy_context(), on_end, call)
        task.add_done_callback(ended.append)
        with pytest.raises(KeyboardInterrupt):
            task.start()
        loop.run_until_complete(asyncio.sleep(0))
        assert ended == [task]
        assert call.task is None


async def test_the_current_task_is_one_from_the_first_step_to_the_last() -> None:
    async def body() -> str:
        first = asyncio.current_task()
        assert first is not None
        await asyncio.sleep(0)
        await nap()
        assert asyncio.current_task() is first
        assert first in asyncio.all_tasks()
        assert first.get_name().startswith("Handler-")
        assert first.get_coro() is not None
        stack = io.StringIO()
        first.print_stack(file=stack)  # as those do who look for what hangs
        assert "in run" in stack.getvalue()
        assert current_call().method == "any/run"
        return "same"

    assert await answer(body, body) == ["same", "same"]


async def timeout_at_once() -> str:
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            await forever()
    return await nap()


async def timeout_later() -> str:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.001):
            await forever()
    return await nap()


async def wait_for() -> str:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(forever(), 0.001)
    return await asyncio.wait_for(nap(), 5)


async def task_group() -> str:
    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.wait_for(forever(), 0.001))
            await forever()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(nap())
    return task.result()


async def gather_and_shield() -> str:
    first, second = await asyncio.gather(nap(), asyncio.shield(nap()))
    assert first == second
    return first


async def anyio_scopes() -> str:
    with anyio.move_on_after(0.001) as scope:
        await forever()
    assert scope.cancelled_caught
    with anyio.CancelScope() as at_once:
        at_once.cancel()
        await anyio.sleep(1)
    assert at_once.cancelled_caught
    async with anyio.create_task_group() as group:
        group.start_soon(nap)
    with pytest.raises(TimeoutError), anyio.fail_after(0.001):
        await forever()
    return await nap()


@pytest.mark.parametrize(
    "body",
    [timeout_at_once, timeout_later, wait_for, task_group, gather_and_shield, anyio_scopes],
)
async def test_libraries_take_it_for_a_task(body: Body) -> None:
    assert await answer(body, body) == ["rested", "rested"]


async def test_contexts_are_apart() -> None:
    async def body() -> str:
        before = seen.get()
        seen.set("by a handler")
        await nap()
        return before

    assert await answer(body, body, body) == ["nothing"] * 3


async def test_cancelling_itself_in_the_first_step() -> None:
    async def waits() -> str:
        task = asyncio.current_task()
        assert task is not None
        assert task.cancel("enough")
        assert task.cancelling() == 1
        await nap()
        return "not reached"

    async def returns() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "too late"

    async def takes_it_back() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with suppress(asyncio.CancelledError):
            await nap()
        assert task.uncancel() == 0
        return await nap()

    first, second, third = await answer(waits, returns, takes_it_back)
    assert isinstance(first, RpcError)
    assert "enough" in str(first)
    assert isinstance(second, RpcError)
    assert third == "rested"


async def test_others_can_wait_for_it() -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def body() -> str:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        return await nap()

    async with test_client(AnyServer(body)) as client:
        call = asyncio.ensure_future(client.stub(Anything).run(0))
        await until(lambda: tasks)
        (task,) = tasks
        assert list(await asyncio.gather(task, asyncio.shield(task))) == ["rested", "rested"]
        assert (await task, task.result(), task.exception()) == ("rested", "rested", None)
        assert (task.done(), task.cancelled(), task.cancel()) == (True, False, False)
        assert await call == "rested"


async def test_waiting_for_itself_and_for_nonsense() -> None:
    class Nonsense:
        def __await__(self) -> Any:
            yield 7

    async def itself() -> str:
        task = asyncio.current_task()
        assert task is not None
        with pytest.raises(RuntimeError):
            await task
        return "refused"

    async def nonsense() -> str:
        with pytest.raises(RuntimeError):
            await Nonsense()
        return "refused"

    assert await answer(itself, nonsense) == ["refused", "refused"]


async def test_a_handler_that_ends_at_once_is_never_the_loops() -> None:
    async def body() -> str:
        assert asyncio.current_task() not in asyncio.all_tasks()
        return "quick"

    before = len(asyncio.all_tasks())
    assert await answer(body) == ["quick"]
    assert len(asyncio.all_tasks()) == before


@service("kept")
class Kept:
    @rpc
    async def run(self, how: str) -> int:
        raise NotImplementedError

    @rpc(idempotent="keyed")
    async def run_once(self, how: str) -> int:
        raise NotImplementedError

    @rpc
    def run_on(self, how: str) -> AsyncIterator[int]:
        raise NotImplementedError


class Local:
    pass


class KeptServer(Kept):
    """Notes, weakly, what its handlers have among their variables."""

    def __init__(self) -> None:
        self.locals: list[weakref.ref[Local]] = []

    async def _fail(self, how: str) -> int:
        local = Local()
        self.locals.append(weakref.ref(local))
        if how != "at once":
            await asyncio.sleep(0 if how == "later" else 60)
        raise NotFound(how)  # another would be kept by the log

    @rpc
    async def run(self, how: str) -> int:
        return await self._fail(how)

    @rpc(idempotent="keyed")
    async def run_once(self, how: str) -> int:
        return await self._fail(how)

    @rpc
    async def run_on(self, how: str) -> AsyncIterator[int]:
        yield 1
        yield await self._fail(how)


@pytest.mark.parametrize("how", ["at once", "later", "cancelled"])
async def test_what_a_handler_held_is_freed_with_its_failure(how: str) -> None:
    server = KeptServer()
    async with test_client(server, timeout=0.05 if how == "cancelled" else 5.0) as client:
        stub = client.stub(Kept)
        gc.collect()
        gc.disable()
        try:
            for call in (stub.run(how), stub.run_once(how), listed(stub.run_on(how))):
                with pytest.raises(RpcError):
                    await call
            await until(lambda: all(local() is None for local in server.locals))
            assert len(server.locals) == 3
        finally:
            gc.enable()


async def listed(items: AsyncIterator[int]) -> list[int]:
    return [item async for item in items]


async def test_waiting_for_a_future_of_another_loop_is_an_error_at_once() -> None:
    other = asyncio.new_event_loop()

    async def body() -> str:
        with pytest.raises(RuntimeError, match="of another event loop"):
            await other.create_future()
        return "told"

    try:
        assert await answer(body) == ["told"]
    finally:
        other.close()


class OldFuture:
    """What asyncio waits for as well, without `get_loop`: done in a moment."""

    _asyncio_future_blocking = False

    def __await__(self) -> Generator["OldFuture", None, str]:
        self._asyncio_future_blocking = True
        yield self
        return self.result()

    def add_done_callback(
        self, callback: Callable[..., object], *, context: contextvars.Context
    ) -> None:
        asyncio.get_running_loop().call_soon(callback, self, context=context)

    def result(self) -> str:
        return "done"


async def test_a_future_that_does_not_say_its_loop_is_waited_for() -> None:
    async def body() -> str:
        return await OldFuture()

    assert await answer(body) == ["done"]

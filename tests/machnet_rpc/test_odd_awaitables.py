"""What a handler waits for is the user's, and may raise where it is asked: the handler is told.

A task of asyncio would wait for ever, after a line in the log.
"""

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from machnet_rpc import MemoryNetwork, connect, serve
from tests.machnet_rpc.test_handler_task import AnyServer, Anything, Body, nap


class Odd:
    """Waited for as a future, and raises KeyError where it is asked for one thing."""

    def __init__(self, raises: str) -> None:
        self._raises = raises
        self._loop = asyncio.get_running_loop()

    def __await__(self) -> Any:
        yield self

    def __repr__(self) -> str:
        self._ask("repr")
        return "<Odd>"

    @property
    def _asyncio_future_blocking(self) -> bool:
        self._ask("blocking")
        return self._raises != "repr"

    @_asyncio_future_blocking.setter
    def _asyncio_future_blocking(self, value: bool) -> None:
        self._ask("not blocking")

    def get_loop(self) -> asyncio.AbstractEventLoop:
        self._ask("loop")
        return self._loop

    def add_done_callback(self, callback: Callable[..., object], *, context: Any) -> None:
        self._ask("callback")
        callback(self)
        raise AssertionError("nobody comes so far")

    def cancel(self, msg: object = None) -> bool:
        return False

    def _ask(self, what: str) -> None:
        if what == self._raises:
            raise KeyError(what)


@pytest.mark.parametrize("before", [None, nap], ids=["at once", "later"])
@pytest.mark.parametrize("raises", ["blocking", "not blocking", "loop", "callback", "repr"])
async def test_the_handler_is_told(
    network: MemoryNetwork, raises: str, before: Body | None
) -> None:
    freed: list[weakref.ref[Odd]] = []

    async def body() -> str:
        if before is not None:
            await before()
        odd = Odd(raises)
        freed.append(weakref.ref(odd))
        with pytest.raises(KeyError, match=raises):
            await odd
        return await nap()

    async def other() -> str:
        await asyncio.sleep(0.1)
        return await nap()

    address = "127.0.0.1:7000"
    async with (
        serve(AnyServer(body, other), address, via=network) as server,
        connect(address, via=network) as client,
        connect(address, via=network) as another,
    ):
        pump = server._pump
        beside = asyncio.ensure_future(another.stub(Anything).run(1))
        assert await client.stub(Anything).run(0) == "rested"
        assert await beside == "rested"
        assert server._pump is pump
    gc.collect()
    assert freed[0]() is None

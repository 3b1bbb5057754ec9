"""An event loop of asyncio that runs in a thread which has none, for as long as one task takes.

What a signal's handler raises may come between any two steps of asyncio, also as it is about to
schedule what would tell of a task's end. So nobody is told here: the loop looks before it sleeps.
Does not know what its tasks do.
"""

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from machnet_rpc._aio.belonging import Around
from transport_engine.errors import TransportError

T = TypeVar("T")

SELECT_SECONDS_MAX: Final = 86400.0  # epoll takes no more than a few weeks
LOST: Final = "what would have told of its end was lost, to what a signal's handler raised"


class EndLost(TimeoutError):
    """What would have told of a task's end; the sentence says to what."""


class _Task(asyncio.Task[T]):
    """One that is run to its end: asyncio has nothing to say of it if Ctrl-C meets its making."""

    def __del__(self) -> None:
        """Not what asyncio does."""


class PrivateLoop:
    """Owner: whoever made it closes `loop`. Thread: one at a time."""

    def __init__(self) -> None:
        self._selector = _Selector()
        self.loop: asyncio.SelectorEventLoop = asyncio.SelectorEventLoop(self._selector)

    def __repr__(self) -> str:
        return f"<PrivateLoop {self.loop!r} awaits {self._selector.awaited!r}>"

    def task(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """One to be run."""
        return _Task(coroutine, loop=self.loop)

    def run(self, task: asyncio.Task[Any], seconds: float, *, is_bounded: bool = False) -> None:
        """Runs for as long as the task takes; once it is in doubt, for `seconds` in all.

        `is_bounded`: it may be in doubt already, for what was raised before.
        Errors: the task's, and what raised doubts; EndLost.
        """
        self._selector.awaited, self._selector.late = task, time.monotonic() + seconds
        self._selector.doubt, self._selector.is_bounded = None, is_bounded
        try:
            while not task.done():
                self._run()
            task.result()
        finally:
            self._selector.awaited = self._selector.doubt = None

    def wait(self, task: asyncio.Task[Any], seconds: float) -> None:
        """Runs until the task is done, for so long at most."""
        self.run(self.loop.create_task(_ended(task, seconds)), 2 * seconds)

    def doubt(self, error: BaseException | None) -> None:
        """A callback of the loop raised this: the task may never hear of what it waits for."""
        is_lost = isinstance(error, TransportError)  # a link, with whatever it raised for
        self._selector.doubt = EndLost(str(error)) if is_lost else error

    def turn(self) -> None:
        """Runs what waits now, and calls back for descriptors that are readable now."""
        self.loop.stop()
        self._run()

    def forked(self) -> None:
        """This is the child: what its loop takes out when it closes stays in the parent's."""
        self._selector.forked()

    def _run(self) -> None:
        around = Around.now()  # a notebook's, which waits for this call like anybody
        loop: Any = self.loop
        try:
            try:
                around.give_way(None)
                loop.run_forever()
            finally:
                if loop._thread_id is not None:  # noqa: SLF001 (nothing public can end it)
                    loop._run_forever_cleanup()  # noqa: SLF001 (a signal met this as it began)
        finally:
            around.go_on()


class _Selector(selectors.DefaultSelector):
    """Its loop stops once what is `awaited` is done.

    A child has a set of descriptors of its own: all processes share what they inherit.
    """

    awaited: asyncio.Task[Any] | None = None
    doubt: BaseException | None = None
    is_bounded: bool = False
    late: float = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.awaited is not None and self.awaited.done():
            self.awaited.get_loop().stop()
            timeout = 0
        elif self.awaited is not None and (self.is_bounded or self.doubt is not None):
            left = self.late - time.monotonic()
            if left <= 0:
                raise self.doubt or EndLost(LOST)
            timeout = min(left, SELECT_SECONDS_MAX if timeout is None else timeout)
        return super().select(timeout)

    def forked(self) -> None:
        """This is the child."""
        self.close()
        super().__init__()


async def _ended(task: asyncio.Task[Any], seconds: float) -> None:
    await asyncio.wait([task], timeout=seconds)

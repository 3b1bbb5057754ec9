"""To which event loop and process a client belongs, and what it says elsewhere."""

import asyncio
import os
import sys
import threading
import weakref
from asyncio import events, tasks
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

FORKED: Final = "this client was connected before the process forked: connect again in the child"
ELSEWHERE: Final = (
    "this client belongs to another event loop, in which it was connected: connect in each loop "
    "(and thread) of its own, or use machnet_rpc.sync"
)
NO_LOOP: Final = (
    "no event loop of asyncio runs here: use it within asyncio.run(...), and under trio "
    "machnet_rpc.sync in a thread"
)


# In the __all__ of asyncio's module, for whoever drives a loop, or does its work for a turn.
loop_if_any: Final = events._get_running_loop  # noqa: SLF001
_set_running_loop: Final = events._set_running_loop  # noqa: SLF001

# Typed for asyncio.Task alone; what they need of a task is written in handler_task.py.
enter_task: Final[Callable[..., None]] = tasks._enter_task  # noqa: SLF001
leave_task: Final[Callable[..., None]] = tasks._leave_task  # noqa: SLF001


def check_thread() -> None:
    """Errors: RuntimeError in the thread of a loop, unless that is a notebook's, which may wait."""
    shell = sys.modules.get("IPython")
    if loop_if_any() is not None and (shell is None or shell.get_ipython() is None):
        raise RuntimeError(
            "a blocking call would stop the event loop that runs in this thread: use "
            "machnet_rpc.connect here, and `await`"
        )


class Around(NamedTuple):
    """The loop that runs in this thread, and its current task, while another one does its work.

    Since Python 3.14 the current task is the thread's, and no longer the loop's: none of the other
    loop could take a step.
    """

    loop: asyncio.AbstractEventLoop | None
    task: asyncio.Task[Any] | None

    @classmethod
    def now(cls) -> "Around":
        """What runs here."""
        loop = loop_if_any()
        return cls(loop, None if loop is None else asyncio.current_task(loop))

    def give_way(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Has the other loop run here, or none, until `go_on`."""
        if self.task is not None:
            leave_task(self.loop, self.task)
        _set_running_loop(loop)

    def go_on(self) -> None:
        """Runs again, also where `give_way` was interrupted."""
        _set_running_loop(self.loop)
        if self.task is not None and asyncio.current_task(self.loop) is not self.task:
            enter_task(self.loop, self.task)


class Inherited(Protocol):
    """What a child of this process has, and must not use."""

    def forked(self) -> None:
        """This is the child."""
        ...


def running_loop() -> asyncio.AbstractEventLoop:
    """Errors: RuntimeError outside of every loop of asyncio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(NO_LOOP) from None


def watch_forks(inherited: Inherited) -> None:
    """Has it told in a child of this process, as long as it lives."""
    if not _are_watched.is_set():
        _are_watched.set()
        os.register_at_fork(after_in_child=_tell)
    _alive.add(inherited)


def _tell() -> None:
    for inherited in tuple(_alive):
        inherited.forked()


_alive: Final[weakref.WeakSet[Inherited]] = weakref.WeakSet()
_are_watched: Final = threading.Event()

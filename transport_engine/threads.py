"""Threads of this process, and what is said where the system gives none."""

import signal
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Final

from transport_engine.errors import NoRoomError

ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def started(run: Callable[[], object], name: str) -> threading.Thread:
    """A thread that runs, keeps no process from ending, and leaves the signals `ENDING` to others.

    Errors: NoRoomError.
    """
    thread = threading.Thread(target=run, name=name, daemon=True)
    try:
        with unsignalled():  # which it inherits
            thread.start()
    except RuntimeError as error:
        raise NoRoomError(
            f"no thread {name}: {error}; raise `ulimit -u` or `-v` of the process, or the tasks "
            "that its unit (TasksMax=) or container (pids) may have"
        ) from error
    return thread


def repeated(
    seconds: float, method: Callable[[], object], ended: threading.Event
) -> Callable[[], None]:
    """What calls a method every so many seconds.

    Until `ended` is set, or nobody else has the object any more.
    """
    return partial(_repeat, seconds, weakref.WeakMethod(method), ended)


@contextmanager
def unsignalled() -> Generator[None]:
    """Within it this thread takes no signals of `ENDING`: others do, or they wait."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _repeat(
    seconds: float, step: weakref.WeakMethod[Callable[[], object]], ended: threading.Event
) -> None:
    while not ended.wait(seconds):
        method = step()
        if method is None:
            return
        method()
        del method  # it would keep the object while this waits

"""Threads of this process, and what is said where the system gives none."""

import threading
from collections.abc import Callable

from transport_engine.errors import NoRoomError


def started(run: Callable[[], object], name: str) -> threading.Thread:
    """A thread that runs, and keeps no process from ending.

    Errors: NoRoomError.
    """
    thread = threading.Thread(target=run, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise NoRoomError(
            f"no thread {name}: {error}; raise `ulimit -u` or `-v` of the process, or the tasks "
            "that its unit (TasksMax=) or container (pids) may have"
        ) from error
    return thread

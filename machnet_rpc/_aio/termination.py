"""The signals by which a server is asked to end: SIGTERM and SIGINT.

The first one is an event; the second one ends the process, whatever it does just then.
"""

import asyncio
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from machnet_rpc._aio.belonging import running_loop

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def termination() -> Generator[asyncio.Event]:
    """Takes the signals while the block runs; the event is set by the first.

    Thread: the main one, with its event loop running. Errors: RuntimeError in another.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("signals come to the main thread: elsewhere wait for an event of yours")
    loop = running_loop()
    came = asyncio.Event()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def on_signal() -> None:
        came.set()
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        yield came
    finally:
        if not came.is_set():
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

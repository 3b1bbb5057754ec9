"""Which connections were closed at their other end: told at once, whatever waits there to be read.

An epoll set that asks for no event: a hang-up is reported all the same. Knows no messages.
Source: epoll_ctl(2), EPOLLHUP
"""

import asyncio
import select
from collections.abc import Callable
from typing import Final

TOLD_MAX: Final = 4  # in one turn of the loop


class Hangups:
    """All of one control plane, from `start` until `close`. Thread: the event loop's."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[], None]] = {}

    def __repr__(self) -> str:
        return f"<Hangups: {len(self._watched)} watched>"

    def start(self) -> None:
        """Begins to tell."""
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._tell)

    def watch(self, descriptor: int, on_hangup: Callable[[], None]) -> None:
        """Has `on_hangup` called when the other end is closed, until `unwatch`."""
        self._epoll.register(descriptor, 0)
        self._watched[descriptor] = on_hangup

    def unwatch(self, descriptor: int) -> None:
        """Before the descriptor is closed. A second call does nothing."""
        if self._watched.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Tells nothing more. A second call does nothing."""
        if not self._epoll.closed:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()

    def _tell(self) -> None:
        for descriptor, _ in self._epoll.poll(0, TOLD_MAX):
            on_hangup = self._watched.get(descriptor)
            if on_hangup is not None:
                on_hangup()

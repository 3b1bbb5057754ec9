"""An event loop's readers of the descriptors that wake ports."""

import asyncio
from collections.abc import Callable

from machnet_rpc._aio.port import Port


class Readers:
    """Calls back when a port's descriptor is readable, but for those that are paused.

    Whoever polls an engine finds by itself what makes its descriptor readable: until it sleeps, the
    loop would only call it in vain, at each iteration.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_readable: Callable[[Port], None]
    ) -> None:
        self._loop = loop
        self._on_readable = on_readable
        self._paused: set[Port] = set()

    def add(self, port: Port) -> None:
        for fileno in port.wire.filenos():
            self._loop.add_reader(fileno, self._on_readable, port)

    def remove(self, port: Port) -> None:
        self._paused.discard(port)
        for fileno in port.wire.filenos():
            self._loop.remove_reader(fileno)

    def pause(self, port: Port) -> None:
        """Until `resume`."""
        self.remove(port)
        self._paused.add(port)

    def resume(self, port: Port) -> None:
        """Before the port sleeps: what is readable by then calls back at once."""
        if port in self._paused:
            self._paused.discard(port)
            self.add(port)

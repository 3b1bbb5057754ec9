"""A server on an event loop in a thread of its own, for tests of clients that block."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from machnet_rpc import Middleware, Server, serve
from machnet_rpc._transports.ladder import Via

SECONDS_MAX = 10.0


@dataclass
class ServerThread:
    server: Server
    loop: asyncio.AbstractEventLoop

    @property
    def address(self) -> str:
        return self.server.address

    def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs it on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(SECONDS_MAX)


@contextlib.contextmanager
def serving(
    service: object, address: str, via: Via, middleware: Sequence[Middleware] = ()
) -> Generator[ServerThread]:
    """Serves until it is left."""
    made: list[ServerThread] = []
    started, ended = threading.Event(), asyncio.Event()

    async def main() -> None:
        async with serve(service, address, via=via, grace=0.2, middleware=middleware) as server:
            made.append(ServerThread(server, asyncio.get_running_loop()))
            started.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=[main()], daemon=True)
    thread.start()
    assert started.wait(SECONDS_MAX)
    try:
        yield made[0]
    finally:
        made[0].loop.call_soon_threadsafe(ended.set)
        thread.join(SECONDS_MAX)
        assert not thread.is_alive()

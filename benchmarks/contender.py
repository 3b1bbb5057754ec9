"""What a contender of the comparison is: a server, a client, and what must run beside them.

Does not know how load is made or measured.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import uvloop

Call: TypeAlias = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run happens: a port that was free, a folder of its own, how much may be asked."""

    port: int
    folder: Path
    host: str = "127.0.0.1"
    client_host: str = "127.0.0.1"
    window_max: int = 1024
    size_bytes_max: int = 1 << 16
    pids: tuple[int, ...] = ()  # of the processes that take part beside the client

    @property
    def address(self) -> str:
        """Of the server, as host:port."""
        return f"{self.host}:{self.port}"


def octets(size_bytes: int) -> bytes:
    """A payload in which no two neighbours are alike."""
    return bytes(range(251)) * (size_bytes // 251) + bytes(range(size_bytes % 251))


class Contender:
    """One way to echo; server and client are processes of their own, each with its own instance."""

    one_process = False  # server and client share one event loop
    over_tcp = False  # wants the same congestion control as its rivals

    def missing(self) -> str | None:
        """Why it cannot run on this machine, or None."""
        return None

    def beside(self, place: Place) -> AbstractContextManager[list[int]]:
        """What runs beside server and client, started by the parent; gives its process ids."""
        return nullcontext([])

    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop on which it is at its best."""
        return uvloop.new_event_loop()

    def payload(self, size_bytes: int) -> Any:
        """What a call sends, and its reply is equal to."""
        return octets(size_bytes)

    def travelled(self) -> str:
        """By which way the calls really went, where there are several."""
        return ""

    def extra(self) -> dict[str, float]:
        """Figures of its own, to be had once the client is connected."""
        return {}

    def server(self, place: Place) -> AbstractAsyncContextManager[None]:
        """Serves while it is entered."""
        raise NotImplementedError

    def client(self, place: Place) -> AbstractAsyncContextManager[Call]:
        """Connected while it is entered."""
        raise NotImplementedError


class Pipeline(Protocol):
    """A client without an event loop; replies come in the order of the requests."""

    def send(self, payload: bytes) -> None:
        """Sends one request."""
        ...

    def receive(self) -> bytes:
        """Waits for one reply."""
        ...


class BlockingContender(Contender):
    """One way to echo without an event loop, at least for its client."""

    blocking_server = True

    def serve(self, place: Place, ready: Callable[[], None]) -> None:
        """Serves until KeyboardInterrupt; calls `ready` once clients may come."""
        raise NotImplementedError

    def pipeline(self, place: Place) -> AbstractContextManager[Pipeline]:
        """Connected while it is entered."""
        raise NotImplementedError

"""What a contender of the echo comparison is: a server, a client, and what must run beside them.

Does not know how load is made or measured.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Call: TypeAlias = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run happens: a port that was free, and a folder of its own."""

    port: int
    folder: Path
    host: str = "127.0.0.1"

    @property
    def address(self) -> str:
        """As host:port."""
        return f"{self.host}:{self.port}"


class Contender:
    """One way to echo; server and client are processes of their own, each with its own instance."""

    one_process = False  # server and client share one event loop

    def missing(self) -> str | None:
        """Why it cannot run on this machine, or None."""
        return None

    def beside(self, place: Place) -> AbstractContextManager[list[int]]:
        """What runs beside server and client, started by the parent; gives its process ids."""
        return nullcontext([])

    def server(self, place: Place) -> AbstractAsyncContextManager[None]:
        """Serves while it is entered."""
        raise NotImplementedError

    def client(self, place: Place) -> AbstractAsyncContextManager[Call]:
        """Connected while it is entered."""
        raise NotImplementedError

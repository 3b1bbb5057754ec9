"""A server that whoever started it holds back: it is built at once, and listens when it is told to.

Both ends of the conversation, JSON lines over a socket: `built`, then `listen` with an address,
then `listening`. When the socket ends, the server ends. Knows no files and no changes.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final, Self

from machnet_rpc.server import Server
from transport_engine.errors import PortInUseError

LISTEN_SECONDS: Final = 0.005  # between attempts, while the server before still has the port
SIGNALLED: Final = 128  # and the signal's number: what shells say of who was ended by it
PATIENCE_SECONDS: Final = 5.0  # beyond the grace of the server before


class Holder:
    """The server's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._watching: asyncio.Task[None] | None = None

    @classmethod
    async def at(cls, fileno: int) -> Self:
        """By a descriptor that was inherited. Errors: OSError."""
        return cls(*await asyncio.open_connection(sock=socket.socket(fileno=fileno)))

    async def listen(self, server: Server, grace: float, came: asyncio.Event, **way: Any) -> bool:
        """Listens once it is told where; False where it is to end. Sets `came` at the end.

        Errors: as Server.listen.
        """
        self._say("built", True)
        asked = json.loads(await self._reader.readline() or b"{}")
        if "listen" not in asked:
            return False
        ends = asyncio.get_running_loop().time() + grace + PATIENCE_SECONDS
        while not came.is_set():
            try:
                await server.listen(asked["listen"], **way)
                break
            except PortInUseError:
                if asyncio.get_running_loop().time() > ends:
                    raise
                await asyncio.sleep(LISTEN_SECONDS)
        self._watching = asyncio.create_task(self._watch(came))
        self._say("listening", server.address)
        return not came.is_set()

    def _say(self, name: str, value: object) -> None:
        self._writer.write(json.dumps({name: value}).encode() + b"\n")

    async def _watch(self, came: asyncio.Event) -> None:
        await self._reader.read()
        came.set()


class Held:
    """The other end: a server in a process of its own."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.process = process
        self._reader = reader
        self._writer = writer

    def __repr__(self) -> str:
        return f"<Held {self.process!r}>"

    @classmethod
    async def started(cls, arguments: Sequence[str]) -> Self:
        """Starts `mrpc serve` with these arguments; what it prints goes where ours does.

        It leaves no bytecode (-B): a file of the same size and second would be taken for the next.
        """
        near, far = socket.socketpair()
        with far:
            argv = [sys.executable, "-B", "-m", "machnet_rpc.cli", "serve", *arguments]
            process = await asyncio.create_subprocess_exec(
                *argv,
                "--held",
                str(far.fileno()),
                pass_fds=[far.fileno()],
                start_new_session=True,  # Ctrl-C is for whoever holds it
            )
        return cls(process, *await asyncio.open_connection(sock=near))

    async def is_built(self) -> bool:
        """Whether it could be; if not it has said why, and has ended."""
        if not await self._told("built"):
            await self.wait()
            return False
        return True

    async def listen(self, address: str) -> str | None:
        """Tells it where to listen; returns where it does. None: it ended instead."""
        self._writer.write(json.dumps({"listen": address}).encode() + b"\n")
        found = await self._told("listening")
        return None if found is None else str(found)

    async def wait(self) -> int:
        """Waits until it has ended; returns its exit status, as shells say it."""
        status = await self.process.wait()
        self._writer.close()
        return status if status >= 0 else SIGNALLED - status

    def ask_to_end(self) -> None:
        """As SIGTERM does. A second time it ends at once."""
        if self.process.returncode is None:
            self.process.terminate()

    async def _told(self, name: str) -> Any:
        line = await self._reader.readline()
        return json.loads(line).get(name) if line else None

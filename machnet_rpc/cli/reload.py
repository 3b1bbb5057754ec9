"""`mrpc serve --reload`: a new server for each change of its files, without a failed call.

The new one is built before the old one is asked to end, and listens as soon as the port is free; if
it cannot be built, it says why and the old one stays. Each is a process of its own.
"""

import argparse
import asyncio
import importlib.util
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

from machnet_rpc.cli.arguments import UsageError
from machnet_rpc.cli.held import Held

DEBOUNCE_MS: Final = 100
ENDED: Final = "the server ended with status {}: change a file, and it is started again"


class Reloader:
    """The server that runs, and how it is replaced. Thread: the event loop's."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.stop: asyncio.Event = asyncio.Event()
        self.status: int = 0
        self._arguments = arguments
        self._address: str = arguments.listen
        self._server: Held | None = None
        self._next: Held | None = None

    def __repr__(self) -> str:
        return f"<Reloader of {self._arguments.target}: {self._server!r}>"

    async def replace(self) -> bool:
        """Starts a server in place of the one that runs; False where it could not be built."""
        self._next = new = await Held.started(_argv(self._arguments))
        if self.stop.is_set():  # the signal came before there was whom to ask
            new.ask_to_end()
        is_built = await new.is_built()
        self._next = None
        if not is_built:
            self.status = 0 if self.stop.is_set() else new.process.returncode or 1
            return False
        old, self._server = self._server, new
        if old is not None:
            old.ask_to_end()
        address = await new.listen(self._address)
        if old is not None:
            await old.wait()
        if address is None:
            self.status = await new.wait()
            return False
        self._address = address  # also the next one's, where it was any port
        self.status = 0
        return True

    def on_signal(self) -> None:
        """Asks what runs to end; a second one does not let it wait."""
        self.stop.set()
        for held in (self._server, self._next):
            if held is not None:
                held.ask_to_end()

    async def end(self) -> int:
        """Waits for what runs to end; returns the exit status."""
        if self._server is None:
            return self.status
        if not self.stop.is_set():
            self._server.ask_to_end()
        return await self._server.wait()

    async def watch(self) -> None:
        """Says when the server ends by itself."""
        while not self.stop.is_set():
            server = self._server
            if server is None:
                return
            status = await server.wait()
            if server is self._server and not self.stop.is_set():
                _say(ENDED.format(status))
                self._server = None


async def run(arguments: argparse.Namespace) -> int:
    """Serves until SIGTERM or Ctrl-C; returns the exit status. Errors: UsageError."""
    if importlib.util.find_spec("watchfiles") is None:
        raise UsageError("--reload needs watchfiles: pip install 'machnet-rpc[reload]'")
    watchfiles: Any = importlib.import_module("watchfiles")
    reloader = Reloader(arguments)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, reloader.on_signal)
    _once_nobody_reads(reloader.on_signal)
    folder = Path.cwd()
    changes: AsyncIterator[set[tuple[Any, str]]] = watchfiles.awatch(
        folder,
        watch_filter=watchfiles.PythonFilter(),
        stop_event=reloader.stop,
        debounce=DEBOUNCE_MS,
        step=DEBOUNCE_MS // 2,
    )
    coming = asyncio.ensure_future(anext(changes, None))  # what changes from here on is seen
    if not await reloader.replace():
        reloader.stop.set()
        await coming
        return reloader.status
    watching = asyncio.create_task(reloader.watch())
    while (changed := await coming) is not None:
        coming = asyncio.ensure_future(anext(changes, None))
        names = sorted({str(Path(path).relative_to(folder)) for _, path in changed})
        _say(f"{', '.join(names)} changed")
        if not await reloader.replace() and not reloader.stop.is_set():
            _say("that cannot be served, so what was served before stays")
        if watching.done():
            watching = asyncio.create_task(reloader.watch())
    status = await reloader.end()
    watching.cancel()
    return status


def _once_nobody_reads(ended: Callable[[], None]) -> None:
    """Calls it when standard output is a pipe and its reader goes: who started this has gone."""
    loop, number = asyncio.get_running_loop(), sys.stdout.fileno()

    def on_event() -> None:  # of a pipe that is only written to: its reader has gone
        loop.remove_reader(number)
        ended()

    if stat.S_ISFIFO(os.fstat(number).st_mode):
        loop.add_reader(number, on_event)


def _argv(arguments: argparse.Namespace) -> list[str]:
    """The same command without --reload."""
    argv = [arguments.target, "--listen", arguments.listen, "--grace", str(arguments.grace)]
    if arguments.engine is not None:
        argv += ["--engine", arguments.engine]
    if arguments.require is not None:
        argv += ["--require", arguments.require]
    return [*argv, "--json"] if arguments.json else argv


def _say(sentence: str) -> None:
    print(f"mrpc: {sentence}", file=sys.stderr, flush=True)

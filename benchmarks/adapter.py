"""This project as a peer of the `peers` runner, which compares RPC systems on equal terms.

From the runner's folder: `PYTHONPATH=<checkout> python -m peers run --peer
benchmarks.adapter:MachnetRpc --transport tcp`. `tcp` stands for an engine in each process over
UDP, `shm` for one sidecar that both processes attach to.
"""

import asyncio
import contextlib
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.contender import Place
from benchmarks.rungs import Echo, Inline, SharedSidecar

# The runner's own package: on its path, and not on ours.
AsyncPeer: Any = importlib.import_module("peers.api").AsyncPeer


class MachnetRpc(AsyncPeer):  # type: ignore[misc]
    """Calls by stub; bytes as they are, documents as plain dictionaries."""

    transports = ("tcp", "shm")

    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        self._rung = SharedSidecar() if spec.transport == "shm" else Inline()
        self._place = Place(spec.port, Path(spec.path).parent, spec.host)
        self._pids: list[int] = []
        self._stack = contextlib.AsyncExitStack()

    def server_pids(self) -> list[int]:
        """The sidecar counts as the server's."""
        return [os.getpid(), *self._pids]

    async def serve(self, ready: Callable[[], None]) -> None:
        """Serves until cancelled."""
        async with self._stack as stack:
            self._pids = stack.enter_context(self._rung.beside(self._place))
            await stack.enter_async_context(self._rung.server(self._place))
            ready()
            await asyncio.Event().wait()

    async def connect(self) -> None:
        """Opens the client for as long as this process lives, or until `close`."""
        client = await self._stack.enter_async_context(self._rung.connected(self._place))
        stub = client.stub(Echo)
        self.call = stub.echo if self.spec.payload == "bytes" else stub.document

    async def close(self) -> None:
        """Closes the client."""
        await self._stack.aclose()

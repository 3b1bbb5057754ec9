"""The blocking client of this project, against a server on its event loop."""

import contextlib
import importlib
from collections.abc import Generator
from importlib.util import find_spec
from typing import Any

from benchmarks.contender import BlockingContender, Pipeline, Place
from benchmarks.rungs import Echo, SharedSidecar


class _Blocking:
    def __init__(self, call: Any) -> None:
        self._call = call
        self._payload = b""

    def send(self, payload: bytes) -> None:
        self._payload = payload

    def receive(self) -> bytes:
        reply: bytes = self._call(self._payload)
        return reply


class Synchronous(SharedSidecar, BlockingContender):
    """One call at a time."""

    blocking_server = False

    def missing(self) -> str | None:
        """It comes with machnet_rpc.sync."""
        return None if find_spec("machnet_rpc.sync") else "this build has no synchronous client"

    @contextlib.contextmanager
    def pipeline(self, place: Place) -> Generator[Pipeline]:
        sync: Any = importlib.import_module("machnet_rpc.sync")
        address, via = self.server_address(place), self.client_via(place)
        with sync.connect(address, via=via) as client:
            yield _Blocking(client.stub(Echo).echo)

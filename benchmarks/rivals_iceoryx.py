"""iceoryx2 from Python: request and response over shared memory, both sides polling."""

import contextlib
import ctypes
import importlib
from collections import deque
from collections.abc import Callable, Generator
from importlib.util import find_spec
from typing import Any

from benchmarks.contender import BlockingContender, Pipeline, Place


def _octets(payload: Any) -> bytes:
    return ctypes.string_at(payload.as_ptr(), payload.len())


def _filled(loan: Any, body: bytes) -> Any:
    ctypes.memmove(loan.payload().as_ptr(), body, len(body))
    return loan.assume_init()


class _Requests:
    def __init__(self, client: Any) -> None:
        self._client = client
        self._pending: deque[Any] = deque()

    def send(self, payload: bytes) -> None:
        loan = self._client.loan_slice_uninit(len(payload))
        self._pending.append(_filled(loan, payload).send())

    def receive(self) -> bytes:
        pending = self._pending.popleft()
        while True:
            response = pending.receive()
            if response is not None:
                break
        body = _octets(response.payload())
        response.delete()
        pending.delete()
        return body


class Iceoryx(BlockingContender):
    """Its Python bindings have no event loop, so neither has this."""

    def missing(self) -> str | None:
        """Installed by `make bench` only."""
        return None if find_spec("iceoryx2") else "iceoryx2 is not installed"

    def _service(self, place: Place) -> tuple[Any, Any]:
        iox2: Any = importlib.import_module("iceoryx2")
        iox2.set_log_level(iox2.LogLevel.Error)
        octets = iox2.Slice[ctypes.c_uint8]
        node = iox2.NodeBuilder.new().create(iox2.ServiceType.Ipc)
        name = iox2.ServiceName.new(str(place.folder))
        builder = node.service_builder(name).request_response(octets, octets)
        service = builder.max_active_requests_per_client(place.window_max).open_or_create()
        return node, service

    def serve(self, place: Place, ready: Callable[[], None]) -> None:
        node, service = self._service(place)
        server = service.server_builder().initial_max_slice_len(place.size_bytes_max).create()
        ready()
        try:
            while True:
                request = server.receive()
                if request is None:
                    continue
                body = _octets(request.payload())
                _filled(request.loan_slice_uninit(len(body)), body).send()
                request.delete()
        finally:
            server.delete()
            del node

    @contextlib.contextmanager
    def pipeline(self, place: Place) -> Generator[Pipeline]:
        node, service = self._service(place)
        client = service.client_builder().initial_max_slice_len(place.size_bytes_max).create()
        yield _Requests(client)
        client.delete()
        del node

"""Hand-written code over sockets: a uvloop protocol (TCP, UNIX), asyncio streams, and pyzmq.

The protocol is the fastest honest code that one would write by hand: frames with an id, futures by
id, one write for all answers of a read; no deadlines, no errors.
"""

import asyncio
import contextlib
import importlib
import itertools
import struct
from collections.abc import AsyncGenerator, Callable
from importlib.util import find_spec
from typing import Any

from benchmarks.contender import Call, Contender, Place

HEAD = struct.Struct("<IQ")  # bytes of the body, call id


class Frames(asyncio.Protocol):
    """Cuts a stream into frames; `on_frames` gets all whole ones of a read at once."""

    def __init__(self, on_frames: Callable[["Frames", list[tuple[int, bytes]]], None]) -> None:
        self._on_frames = on_frames
        self._rest = bytearray()
        self._needed = 0  # bytes of the first frame that is not whole
        self.write: Callable[[bytes], None]

    def connection_made(self, transport: Any) -> None:
        self.write = transport.write

    def data_received(self, data: bytes) -> None:
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
            self._rest.clear()
        frames: list[tuple[int, bytes]] = []
        at, end, self._needed = 0, len(data), HEAD.size
        while end - at >= HEAD.size:
            size_bytes, call_id = HEAD.unpack_from(data, at)
            begin = at + HEAD.size
            if end - begin < size_bytes:
                self._needed = HEAD.size + size_bytes
                break
            at = begin + size_bytes
            frames.append((call_id, data[begin:at]))
        if at < end:
            self._rest += data[at:]
        if frames:
            self._on_frames(self, frames)


def _echo(frames: Frames, arrived: list[tuple[int, bytes]]) -> None:
    pack = HEAD.pack
    frames.write(b"".join([pack(len(body), call_id) + body for call_id, body in arrived]))


class ProtocolTcp(Contender):
    """A uvloop protocol over TCP."""

    over_tcp = True

    @contextlib.asynccontextmanager
    async def server(self, place: Place) -> AsyncGenerator[None]:
        """Answers within the read."""
        async with await self._listen(place):
            yield

    @contextlib.asynccontextmanager
    async def client(self, place: Place) -> AsyncGenerator[Call]:
        """One connection for all calls."""
        waiting: dict[int, asyncio.Future[bytes]] = {}
        call_ids = itertools.count()
        new_future = asyncio.get_running_loop().create_future

        def deliver(_: Frames, arrived: list[tuple[int, bytes]]) -> None:
            for call_id, body in arrived:
                waiting.pop(call_id).set_result(body)

        transport, frames = await self._connect(place, lambda: Frames(deliver))

        def call(payload: bytes) -> asyncio.Future[bytes]:
            call_id = next(call_ids)
            waiting[call_id] = future = new_future()
            frames.write(HEAD.pack(len(payload), call_id) + payload)
            return future

        yield call
        transport.close()

    async def _listen(self, place: Place) -> asyncio.AbstractServer:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: Frames(_echo), place.host, place.port)

    async def _connect(
        self, place: Place, protocol: Callable[[], Frames]
    ) -> tuple[asyncio.Transport, Frames]:
        loop = asyncio.get_running_loop()
        return await loop.create_connection(protocol, place.host, place.port)


class ProtocolUnix(ProtocolTcp):
    """The same over a UNIX socket."""

    over_tcp = False

    async def _listen(self, place: Place) -> asyncio.AbstractServer:
        loop = asyncio.get_running_loop()
        return await loop.create_unix_server(lambda: Frames(_echo), place.folder / "echo.sock")

    async def _connect(
        self, place: Place, protocol: Callable[[], Frames]
    ) -> tuple[asyncio.Transport, Frames]:
        loop = asyncio.get_running_loop()
        return await loop.create_unix_connection(protocol, str(place.folder / "echo.sock"))


class Streams(Contender):
    """Frames over asyncio streams on uvloop; a task for each request, as a service needs."""

    over_tcp = True

    @contextlib.asynccontextmanager
    async def server(self, place: Place) -> AsyncGenerator[None]:
        """A TCP server."""
        server = await asyncio.start_server(self._answer, place.host, place.port)
        async with server:
            yield

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def reply(call_id: int, body: bytes) -> None:
            writer.write(HEAD.pack(len(body), call_id) + body)
            await writer.drain()

        async with asyncio.TaskGroup() as tasks:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    size_bytes, call_id = HEAD.unpack(await reader.readexactly(HEAD.size))
                    tasks.create_task(reply(call_id, await reader.readexactly(size_bytes)))

    @contextlib.asynccontextmanager
    async def client(self, place: Place) -> AsyncGenerator[Call]:
        """One connection for all calls."""
        reader, writer = await asyncio.open_connection(place.host, place.port)
        loop = asyncio.get_running_loop()
        waiting: dict[int, asyncio.Future[bytes]] = {}
        call_ids = itertools.count()

        async def receive() -> None:
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    size_bytes, call_id = HEAD.unpack(await reader.readexactly(HEAD.size))
                    waiting.pop(call_id).set_result(await reader.readexactly(size_bytes))

        async def call(payload: bytes) -> bytes:
            call_id = next(call_ids)
            future: asyncio.Future[bytes] = loop.create_future()
            waiting[call_id] = future
            writer.write(HEAD.pack(len(payload), call_id) + payload)
            await writer.drain()
            return await future

        async with asyncio.TaskGroup() as tasks:
            receiver = tasks.create_task(receive())
            yield call
            receiver.cancel()
        writer.close()


class ZeroMq(Contender):
    """pyzmq's asyncio sockets over TCP, DEALER to ROUTER."""

    over_tcp = True

    def missing(self) -> str | None:
        """Installed by `make bench` only."""
        return None if find_spec("zmq") else "pyzmq is not installed"

    def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.new_event_loop()  # pyzmq's own advice

    @contextlib.asynccontextmanager
    async def server(self, place: Place) -> AsyncGenerator[None]:
        """Answers one after the other."""
        zmq: Any = importlib.import_module("zmq")
        aio: Any = importlib.import_module("zmq.asyncio")

        async def answer(router: Any) -> None:
            while True:
                await router.send_multipart(await router.recv_multipart())

        with aio.Context() as context, context.socket(zmq.ROUTER) as router:
            router.linger = 0
            router.bind(f"tcp://{place.address}")
            answering = asyncio.ensure_future(answer(router))
            yield
            answering.cancel()

    @contextlib.asynccontextmanager
    async def client(self, place: Place) -> AsyncGenerator[Call]:
        """One socket for all calls."""
        zmq: Any = importlib.import_module("zmq")
        aio: Any = importlib.import_module("zmq.asyncio")
        waiting: dict[bytes, asyncio.Future[bytes]] = {}
        call_ids = itertools.count()
        new_future = asyncio.get_running_loop().create_future

        async def receive(dealer: Any) -> None:
            while True:
                call_id, body = await dealer.recv_multipart()
                waiting.pop(call_id).set_result(body)

        with aio.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            dealer.connect(f"tcp://{place.address}")
            receiving = asyncio.ensure_future(receive(dealer))

            async def call(payload: bytes) -> bytes:
                call_id = next(call_ids).to_bytes(8, "little")
                waiting[call_id] = future = new_future()
                await dealer.send_multipart([call_id, payload])
                body: bytes = await future
                return body

            yield call
            receiving.cancel()

"""What one would use instead: grpc.aio, and length-prefixed frames over asyncio streams."""

import asyncio
import contextlib
import itertools
import struct
from collections.abc import AsyncGenerator
from importlib.util import find_spec

from benchmarks.contender import Call, Contender, Place

HEAD = struct.Struct("<IQ")  # bytes of the body, call id
METHOD = "/echo.Echo/Echo"


class Streams(Contender):
    """Frames with a call id over one connection; a task for each request, as a service needs."""

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


class Grpc(Contender):
    """grpcio's asyncio API with bytes as they are: no protobuf on either side."""

    def missing(self) -> str | None:
        """Installed by `make bench` only."""
        return None if find_spec("grpc") else "grpcio is not installed"

    @contextlib.asynccontextmanager
    async def server(self, place: Place) -> AsyncGenerator[None]:
        """A generic handler, so that nothing need be generated."""
        import grpc.aio

        async def echo(request: bytes, context: object) -> bytes:
            del context
            return request

        _, service, method = METHOD.split("/")
        handler: grpc.RpcMethodHandler[bytes, bytes]
        handler = grpc.unary_unary_rpc_method_handler(echo)
        generic = grpc.method_handlers_generic_handler(service, {method: handler})
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((generic,))
        server.add_insecure_port(place.address)
        await server.start()
        try:
            yield
        finally:
            await server.stop(None)

    @contextlib.asynccontextmanager
    async def client(self, place: Place) -> AsyncGenerator[Call]:
        """One channel for all calls."""
        import grpc.aio

        async with grpc.aio.insecure_channel(place.address) as channel:
            await channel.channel_ready()
            yield channel.unary_unary(METHOD)

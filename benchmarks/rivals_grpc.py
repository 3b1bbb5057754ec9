"""grpc.aio as one would use it: with bytes as they are, and with protobuf."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from importlib.util import find_spec
from typing import Any

from benchmarks.contender import Call, Contender, Place
from benchmarks.documents import FIELDS, order_message

METHOD = "/echo.Echo/Echo"
QUEUE = (  # by default some of more than 1,000 calls that wait are refused, as CANCELLED
    ("grpc.server.max_pending_requests", 8192),
    ("grpc.server.max_pending_requests_hard_limit", 8192),
)


class Grpc(Contender):
    """grpcio's asyncio API with bytes as they are: no protobuf on either side."""

    over_tcp = True

    def missing(self) -> str | None:
        """Installed by `make bench` only."""
        return None if find_spec("grpc") else "grpcio is not installed"

    def codec(self) -> tuple[Callable[[Any], bytes] | None, Callable[[bytes], Any] | None]:
        """How a message becomes bytes, and back."""
        return None, None

    def handlers(self) -> dict[str, Any]:
        """Generic ones by the names of their methods, so that nothing need be generated."""
        import grpc

        async def echo(request: Any, context: object) -> Any:
            del context
            return request

        dumps, loads = self.codec()
        return {
            METHOD: grpc.unary_unary_rpc_method_handler(
                echo, request_deserializer=loads, response_serializer=dumps
            )
        }

    @contextlib.asynccontextmanager
    async def server(self, place: Place) -> AsyncGenerator[None]:
        """All handlers."""
        import grpc.aio

        server = grpc.aio.server(options=self._options(place))
        for name, handler in self.handlers().items():
            _, service, method = name.split("/")
            generic = grpc.method_handlers_generic_handler(service, {method: handler})
            server.add_generic_rpc_handlers((generic,))
        server.add_insecure_port(place.address)
        await server.start()
        try:
            yield
        finally:
            await server.stop(None)

    @contextlib.asynccontextmanager
    async def channel(self, place: Place) -> AsyncGenerator[Any]:
        """One for all calls, ready."""
        import grpc.aio

        options = self._options(place)
        async with grpc.aio.insecure_channel(place.address, options=options) as channel:
            await channel.channel_ready()
            yield channel

    @contextlib.asynccontextmanager
    async def client(self, place: Place) -> AsyncGenerator[Call]:
        """The echo's method."""
        dumps, loads = self.codec()
        async with self.channel(place) as channel:
            yield channel.unary_unary(METHOD, request_serializer=dumps, response_deserializer=loads)

    def _options(self, place: Place) -> list[tuple[str, int]]:
        limit = place.size_bytes_max + 1024
        names = ("grpc.max_send_message_length", "grpc.max_receive_message_length")
        return [*((name, limit) for name in names), *QUEUE]


class GrpcProtobuf(Grpc):
    """A message of six fields both ways."""

    def missing(self) -> str | None:
        """Both are installed by `make bench` only."""
        has_protobuf = find_spec("google") and find_spec("google.protobuf")
        return super().missing() or (None if has_protobuf else "protobuf is not installed")

    def payload(self, size_bytes: int) -> Any:
        return order_message()(**FIELDS)

    def codec(self) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
        """As generated code has it."""
        message = order_message()
        return message.SerializeToString, message.FromString

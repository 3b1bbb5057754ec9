"""An application's way to a sidecar: the control socket, and the channel that comes through it."""

import asyncio
import contextlib
import itertools
import os
import socket
from pathlib import Path
from typing import Any, Final, Protocol

from transport_engine import messages
from transport_engine.channel import Channel
from transport_engine.config import default_socket_path, system_socket_path
from transport_engine.endpoint import Endpoint
from transport_engine.engine import RING_BYTES
from transport_engine.errors import EngineGoneError, ForbiddenError, NoEngineError, TransportError
from transport_engine.messages import BadMessageError
from transport_engine.policy import Peer
from transport_engine.stats import Stats

ANSWER_SECONDS_MAX: Final = 10.0
CONNECT_PAUSE_SECONDS: Final = 0.01
CONNECT_TRIES_MAX: Final = 200
_DESCRIPTORS: Final = 2  # memory, doorbell


class Attachment(Protocol):
    """A channel to an engine, and what is asked of the engine beside it."""

    @property
    def channel(self) -> Channel: ...

    @property
    def driver(self) -> str: ...

    @property
    def local(self) -> Endpoint: ...

    async def listen(self, port: int) -> int: ...

    async def unlisten(self, port: int) -> None: ...

    async def connect(self, remote: Endpoint, token: int) -> None: ...

    async def stats(self) -> Stats: ...

    async def close(self) -> None: ...


class ControlClient:
    """Requests and answers on one control socket. Thread: the event loop's."""

    def __init__(self, connection: socket.socket, path: Path) -> None:
        self.server = Peer.of(connection)
        self._connection = connection
        self._path = path
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._gone: TransportError | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection.fileno(), self._on_readable)

    def __repr__(self) -> str:
        return f"<ControlClient {self._path} {'open' if self._gone is None else 'closed'}>"

    def next_id(self) -> int:
        """A number for a request."""
        return next(self._ids)

    async def ask(self, request: messages.Request) -> tuple[dict[str, Any], list[int]]:
        """Sends a request; returns its result, and descriptors, which are the caller's.

        Errors: those of the engine; EngineGoneError.
        """
        if self._gone is not None:
            raise self._gone
        answer: asyncio.Future[tuple[dict[str, Any], list[int]]] = self._loop.create_future()
        self._waiting[request.id] = answer
        try:
            # Where the engine closed the connection, its last words still wait to be read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._connection.send(messages.pack_request(request))
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await answer
        except OSError as error:  # also TimeoutError
            raise EngineGoneError(f"the engine at {self._path} does not answer: {error}") from error
        finally:
            del self._waiting[request.id]

    def close(self) -> None:
        """Closes the socket, with which the engine frees all that it held for us."""
        self._end(EngineGoneError("this attachment was closed"))

    def _on_readable(self) -> None:
        descriptors: list[int] = []
        try:
            data, descriptors = self._receive()
            if not data:
                self._end(EngineGoneError(f"the engine at {self._path} closed the connection"))
                return
            if self._deliver(messages.unpack(data), descriptors):
                descriptors = []
        except BlockingIOError:
            return
        except (OSError, BadMessageError, LookupError, TypeError) as error:
            self._end(EngineGoneError(f"the engine at {self._path} answers nonsense: {error}"))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _receive(self) -> tuple[bytes, list[int]]:
        flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
        arguments = (self._connection, messages.MESSAGE_BYTES_MAX, _DESCRIPTORS, flags)
        try:
            data, descriptors, _, _ = socket.recv_fds(*arguments)
        except ConnectionResetError:  # told once, before what was sent ahead of the reset
            data, descriptors, _, _ = socket.recv_fds(*arguments)
        return data, descriptors

    def _deliver(self, answer: dict[str, Any], descriptors: list[int]) -> bool:
        """Hands an answer to who waits for it; False where nobody took the descriptors."""
        if answer["id"] == 0:  # about the connection, which then closes
            self._end(messages.error_from(answer))
            return False
        waiting = self._waiting.get(answer["id"])
        if waiting is None or waiting.done():
            return False
        if "error" in answer:
            waiting.set_exception(messages.error_from(answer))
            return False
        waiting.set_result((answer["result"], descriptors))
        return True

    def _end(self, error: TransportError) -> None:
        if self._gone is not None:
            return
        self._gone = error
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)


class SidecarAttachment:
    """A channel to a sidecar's engine; closing it ends its flows and listeners."""

    def __init__(self, client: ControlClient, channel: Channel, about: dict[str, Any]) -> None:
        self.channel = channel
        self.local: Endpoint = Endpoint.parse(about["local"])
        self.driver: str = about["driver"]
        self.engine = client.server  # the process that runs it, as the kernel says
        self._client = client

    def __repr__(self) -> str:
        return f"<SidecarAttachment {self._client!r} {self.channel!r}>"

    async def listen(self, port: int) -> int:
        """Accepts flows to a port, 0: a free one; returns it.

        Errors: PortInUseError, NoRoomError, EngineGoneError.
        """
        request = messages.Listen(id=self._client.next_id(), port=port)
        result, _ = await self._client.ask(request)
        bound: int = result["port"]
        return bound

    async def unlisten(self, port: int) -> None:
        """Accepts no more flows to a port."""
        await self._client.ask(messages.Unlisten(id=self._client.next_id(), port=port))

    async def connect(self, remote: Endpoint, token: int) -> None:
        """Starts to open a flow; the answer is a record that carries the token.

        Errors: NoRoomError, EngineGoneError.
        """
        number = self._client.next_id()
        await self._client.ask(messages.Connect(id=number, remote=str(remote), token=token))

    async def stats(self) -> Stats:
        """The engine's counters."""
        result, _ = await self._client.ask(messages.Stats(id=self._client.next_id()))
        counters: Stats = result["stats"]
        return counters

    async def close(self) -> None:
        """Closes channel and socket. A second call does nothing."""
        self.channel.close()
        self._client.close()


async def attach(path: str | Path | None = None, ring_bytes: int = RING_BYTES) -> SidecarAttachment:
    """Attaches to the sidecar at `path`, else at $MRPC_SOCKET, else this user's or root's.

    Errors: NoEngineError, ForbiddenError, NoRoomError, ChannelCorruptError.
    """
    client = await connect_control(path)
    try:
        request = messages.Attach(id=client.next_id(), ring_bytes=ring_bytes)
        about, descriptors = await client.ask(request)
        if len(descriptors) != _DESCRIPTORS:
            for descriptor in descriptors:
                os.close(descriptor)
            raise EngineGoneError("the engine's answer lacks the channel's descriptors")
        return SidecarAttachment(client, Channel(*descriptors), about)
    except BaseException:
        client.close()
        raise


async def read_stats(path: str | Path | None = None) -> Stats:
    """The counters of a sidecar, without a channel to it.

    Errors: NoEngineError, ForbiddenError.
    """
    client = await connect_control(path)
    try:
        result, _ = await client.ask(messages.Stats(id=client.next_id()))
        counters: Stats = result["stats"]
        return counters
    finally:
        client.close()


async def connect_control(path: str | Path | None) -> ControlClient:
    """Connects to a sidecar's socket.

    Errors: NoEngineError, which says what was tried; ForbiddenError.
    """
    is_searched = path is None
    places = [Path(path)] if path is not None else [default_socket_path(), system_socket_path()]
    reasons: dict[str, None] = {}
    for place in dict.fromkeys(places):
        try:
            connection = await _connected(place)
        except OSError as error:
            reasons[f"{place}: {error.strerror or error}"] = None
            continue
        client = ControlClient(connection, place)
        if is_searched and client.server.uid not in _trusted_uids(place):
            client.close()
            raise ForbiddenError(
                f"{place} is served by {client.server}, who is neither you nor root; if you trust "
                "them, say so by naming the socket"
            )
        return client
    raise NoEngineError(f"no sidecar answers ({'; '.join(reasons)}); `mrpc engine` starts one")


def _trusted_uids(place: Path) -> set[int]:
    """Root, oneself, and in the system's place whomever root gave its folder to."""
    uids = {0, os.geteuid()}
    if place == system_socket_path():
        with contextlib.suppress(FileNotFoundError):
            uids.add(_folder_status(place).st_uid)
    return uids


def _folder_status(place: Path) -> os.stat_result:
    return place.parent.stat()


async def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        connection.setblocking(False)
        for _ in range(CONNECT_TRIES_MAX):
            try:
                connection.connect(str(path))
            except BlockingIOError:  # its queue of connections is full
                await asyncio.sleep(CONNECT_PAUSE_SECONDS)
            else:
                return connection
        raise TimeoutError("it accepts no connections")
    except BaseException:
        connection.close()
        raise

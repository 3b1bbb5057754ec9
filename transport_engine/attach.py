"""An application's way to a sidecar: the control socket, and the channel that comes through it."""

import asyncio
import contextlib
import errno
import os
import socket
from pathlib import Path
from typing import Any, Final, Protocol

from transport_engine import messages
from transport_engine.channel import Channel
from transport_engine.config import default_socket_path, system_socket_path
from transport_engine.control_client import DESCRIPTORS, ControlClient, close_all
from transport_engine.endpoint import Endpoint, packed_address
from transport_engine.engine import RING_BYTES
from transport_engine.errors import (
    EngineGoneError,
    ForbiddenError,
    NoEngineError,
    NoPairError,
    NoRoomError,
)
from transport_engine.flows import FlowReport, unpacked
from transport_engine.pair_end import PairEnd, PairEnds
from transport_engine.policy import Peer
from transport_engine.stats import Stats

CONNECT_PAUSE_SECONDS: Final = 0.01
CONNECT_TRIES_MAX: Final = 200
FLOW_PAGES_MAX: Final = 1 << 17  # more than an engine has


class Attachment(Protocol):
    """A channel to an engine, and what is asked of the engine beside it."""

    @property
    def channel(self) -> Channel:
        """Through which records go in and come out."""
        ...

    @property
    def driver(self) -> str:
        """Of the engine's netif: "udp", "dpdk" or "loopback"."""
        ...

    @property
    def local(self) -> Endpoint:
        """The engine's address, and the port from which its flows go out."""
        ...

    async def listen(self, port: int) -> int:
        """Accepts flows to a port, 0: a free one; returns it."""
        ...

    async def unlisten(self, port: int) -> None:
        """Accepts no more flows to a port."""
        ...

    async def connect(self, remote: Endpoint, token: int) -> None:
        """Starts to open a flow; the answer is a record, which carries the token."""
        ...

    async def stats(self) -> Stats:
        """The engine's counters."""
        ...

    async def close(self) -> None:
        """Ends the channel, with its flows and listeners."""
        ...


class SidecarAttachment:
    """A channel to a sidecar's engine; closing it ends its flows and listeners."""

    def __init__(self, client: ControlClient, channel: Channel, about: dict[str, Any]) -> None:
        self.channel = channel
        self.local: Endpoint = Endpoint.parse(about["local"])
        self.driver: str = about["driver"]
        self.engine: Peer = client.server  # the process that runs it, as the kernel says
        self.pairs: PairEnds = PairEnds(client)
        self._client = client

    def __repr__(self) -> str:
        return f"<SidecarAttachment {self._client!r} {self.channel!r}>"

    async def listen(self, port: int) -> int:
        """Accepts flows to a port, 0: a free one; returns it.

        Errors: ConfigError (no port), ForbiddenError, PortInUseError, NoRoomError,
        EngineGoneError.
        """
        with messages.asking(messages.Listen):
            request = messages.Listen(id=self._client.next_id(), port=port)
        result, _ = await self._client.ask(request)
        bound: int = result["port"]
        return bound

    async def unlisten(self, port: int) -> None:
        """Accepts no more flows to a port. Errors: ConfigError (no port), EngineGoneError."""
        with messages.asking(messages.Unlisten):
            request = messages.Unlisten(id=self._client.next_id(), port=port)
        await self._client.ask(request)

    async def connect(self, remote: Endpoint, token: int) -> None:
        """Starts to open a flow; the answer is a record that carries the token.

        Errors: ConfigError (token), ForbiddenError, NoRoomError, EngineGoneError.
        """
        with messages.asking(messages.Connect):
            number = self._client.next_id()
            request = messages.Connect(id=number, remote=str(remote), token=token)
        await self._client.ask(request)

    async def pair(self, remote: Endpoint) -> PairEnd:
        """A channel straight to the application that listens there, past the engine.

        Errors: NoPairError, whose sentence says why only `connect` will do; EngineGoneError.
        """
        if packed_address(remote.address) != packed_address(self.local.address):
            raise NoPairError(f"{remote.address} is not the address of this engine")
        request = messages.Pair(id=self._client.next_id(), remote=str(remote))
        result, descriptors = await self._client.ask(request)
        return await self.pairs.take(result["pair"], descriptors)

    async def stats(self) -> Stats:
        """The engine's counters."""
        result, _ = await self._client.ask(messages.Stats(id=self._client.next_id()))
        counters: Stats = result["stats"]
        return counters

    async def close(self) -> None:
        """Closes channel, pairs and socket. A second call does nothing."""
        self.pairs.close()
        self.channel.close()
        self._client.close()


async def attach(
    path: str | Path | None = None, ring_bytes: int = RING_BYTES, *, direct: bool = False
) -> SidecarAttachment:
    """Attaches to the sidecar at `path`, else at $MRPC_SOCKET, else this user's or root's.

    `direct`: whether this application takes ends of pairs, also those that others ask for.
    Errors: ConfigError (ring_bytes, or another release there), NoEngineError, ForbiddenError,
    NoRoomError, EngineGoneError, ChannelCorruptError.
    """
    client = await connect_control(path)
    try:
        with messages.asking(messages.Attach):
            request = messages.Attach(id=client.next_id(), ring_bytes=ring_bytes, direct=direct)
        about, descriptors = await client.ask(request)
        if len(descriptors) != DESCRIPTORS:
            close_all(descriptors)
            raise EngineGoneError(
                "the engine's answer lacks the channel's descriptors: is `ulimit -n` of this "
                "process reached?"
            )
        return SidecarAttachment(client, Channel(*descriptors), about)
    except BaseException:
        client.close()
        raise


async def read_stats(
    path: str | Path | None = None, core: int | None = None, *, timeout: float | None = None
) -> Stats:
    """The counters of a sidecar, or of one of its cores, without a channel to it.

    Units: timeout in seconds (None: ten), for the answer.
    Errors: NoEngineError, ForbiddenError, NoRoomError, ConfigError (no such core), EngineGoneError
    (no answer).
    """
    client = await connect_control(path)
    try:
        with messages.asking(messages.Stats):
            request = messages.Stats(id=client.next_id(), core=core)
        result, _ = await client.ask(request, timeout)
        counters: Stats = result["stats"]
        return counters
    finally:
        client.close()


async def read_flows(path: str | Path | None = None) -> list[FlowReport]:
    """The open flows of a sidecar: all for root and its own user, one's own for others.

    A page is read after another, so a flow that opens or closes meanwhile may be missed.
    Errors: NoEngineError, ForbiddenError, NoRoomError, EngineGoneError.
    """
    client = await connect_control(path)
    found: list[FlowReport] = []
    try:
        following: int | None = 0
        for _ in range(FLOW_PAGES_MAX):
            if following is None:
                break
            result, _descriptors = await client.ask(
                messages.Flows(id=client.next_id(), first=following)
            )
            flows, following = unpacked(result)
            found += flows
        return found
    except (TypeError, LookupError) as error:
        raise EngineGoneError(f"{client!r} answers nonsense: {error!r}") from error
    finally:
        client.close()


async def connect_control(path: str | Path | None) -> ControlClient:
    """Connects to a sidecar's socket.

    Errors: NoEngineError, which says what was tried; ForbiddenError; NoRoomError.
    """
    is_searched = path is None
    places = [Path(path)] if path is not None else [default_socket_path(), system_socket_path()]
    reasons: dict[str, None] = {}
    closed: Path | None = None
    for place in dict.fromkeys(places):
        try:
            connection = await _connected(place)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                what = "no descriptor for a connection to a sidecar"
                raise NoRoomError(f"{what}: {error.strerror}; raise `ulimit -n`") from error
            if isinstance(error, PermissionError):
                closed = place
            reasons[f"{place}: {error.strerror or error}"] = None
            continue
        client = ControlClient(connection, place)
        if is_searched and client.server.uid not in _trusted_uids(place):
            client.close()
            raise ForbiddenError(
                f"{place} is served by {client.server}, who is neither you nor root; if you trust "
                "them, name the socket by via= or --engine, for which MRPC_SOCKET is not enough"
            )
        return client
    others = "" if closed is None else f"; who may open {closed}, its engine's control.group says"
    said = f"no sidecar answers ({'; '.join(reasons)}); `mrpc engine` starts one{others}"
    raise NoEngineError(said)


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

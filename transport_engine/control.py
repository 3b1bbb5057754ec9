"""The control plane of a sidecar: applications attach, listen and connect over a UNIX socket.

Posts commands to the engine and is never on the data path. An application's rights come from the
kernel's word on who it is; all that it has is freed when its socket closes.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections import Counter
from typing import Any, Final, Protocol

from transport_engine import messages
from transport_engine.endpoint import Endpoint
from transport_engine.errors import ConfigError, ForbiddenError, NoRoomError, TransportError
from transport_engine.messages import BadMessageError
from transport_engine.policy import Peer, Policy
from transport_engine.stats import Stats

ACCEPTS_MAX: Final = 16  # in one turn of the loop
MESSAGES_MAX: Final = 16  # of one application, in one turn
PORTS_PER_APPLICATION_MAX: Final = 64

log = logging.getLogger("transport_engine.control")


class Commanded(Protocol):
    """What the control plane asks of an engine."""

    @property
    def local(self) -> Endpoint: ...

    @property
    def driver(self) -> str: ...

    def attach_descriptors(self, ring_bytes: int) -> tuple[int, int, int]: ...

    def detach(self, channel: int) -> None: ...

    def listen(self, channel: int, port: int) -> int: ...

    def unlisten(self, channel: int, port: int) -> None: ...

    def connect(self, channel: int, remote: Endpoint, token: int) -> None: ...

    def stats(self) -> Stats: ...


class Bucket:
    """Tokens that refill with time; one message takes one."""

    def __init__(self, per_second: int, now: float) -> None:
        self._per_second = per_second
        self._tokens = float(per_second)
        self._filled = now

    def take(self, now: float) -> float:
        """Takes a token; returns 0.0, or the seconds until there is one and takes none."""
        gained = (now - self._filled) * self._per_second
        self._tokens = min(self._tokens + gained, float(self._per_second))
        self._filled = now
        if self._tokens < 1.0:
            return (1.0 - self._tokens) / self._per_second
        self._tokens -= 1.0
        return 0.0


class Session:
    """One application's connection, and its channel if it has attached."""

    def __init__(self, server: "ControlServer", connection: socket.socket, peer: Peer) -> None:
        self.peer = peer
        self.channel: int | None = None
        self.ports: set[int] = set()
        self._server = server
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._bucket = Bucket(server.policy.messages_per_second_max, time.monotonic())
        self._resume: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._loop.add_reader(connection.fileno(), self._on_readable)

    def __repr__(self) -> str:
        return f"<Session of {self.peer}, channel {self.channel}>"

    def close(self) -> None:
        """Frees all that the application had. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._resume is not None:
            self._resume.cancel()
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        self._server.forget(self)
        self.detach()

    def detach(self) -> None:
        """Gives the channel back, with its flows and listeners."""
        channel, self.channel = self.channel, None
        self.ports.clear()
        if channel is not None:
            try:
                self._server.engine.detach(channel)
            except TransportError as error:
                log.warning("%s: %s", self, error)

    def _on_readable(self) -> None:
        for _ in range(MESSAGES_MAX):
            wait_seconds = self._bucket.take(time.monotonic())
            if wait_seconds > 0:
                self._pause(wait_seconds)
                return
            try:
                data = self._connection.recv(messages.MESSAGE_BYTES_MAX + 1)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.close()
                return
            self._answer(data)
            if self._is_closed:
                return

    def _pause(self, wait_seconds: float) -> None:
        """Leaves an application that asks too often unread, until it has tokens again."""
        self._loop.remove_reader(self._connection.fileno())
        self._resume = self._loop.call_later(wait_seconds, self._go_on)

    def _go_on(self) -> None:
        self._resume = None
        self._loop.add_reader(self._connection.fileno(), self._on_readable)

    def _answer(self, data: bytes) -> None:
        descriptors: list[int] = []
        try:
            if len(data) > messages.MESSAGE_BYTES_MAX:
                raise BadMessageError(f"longer than {messages.MESSAGE_BYTES_MAX} bytes")
            request = messages.unpack_request(data)
            try:
                result, descriptors = self._server.carry_out(self, request)
                answer = messages.pack({"id": request.id, "result": result})
            except TransportError as error:
                answer = messages.pack_error(request.id, error)
            self._send(answer, descriptors)
        except BadMessageError as error:
            log.warning("%s sent no request (%s); its connection is closed", self, error)
            self._send(messages.pack_error(0, ConfigError(f"not a request: {error}")), [])
            self.close()
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _send(self, answer: bytes, descriptors: list[int]) -> None:
        try:
            if descriptors:
                socket.send_fds(self._connection, [answer], descriptors)
            else:
                self._connection.send(answer)
        except OSError as error:  # it is gone, or reads no answers
            log.info("%s takes no answer (%s); its connection is closed", self, error)
            self.close()


class ControlServer:
    """Serves the applications of one engine on a listening socket, from `start` until `close`.

    Thread: the event loop's. Owner: the socket stays the caller's.
    """

    def __init__(self, engine: Commanded, policy: Policy, listening: socket.socket) -> None:
        self.engine = engine
        self.policy = policy
        self._listening = listening
        self._sessions: set[Session] = set()
        self._per_uid: Counter[int] = Counter()
        self._is_serving = False

    def __repr__(self) -> str:
        return f"<ControlServer of {len(self._sessions)} applications>"

    def start(self) -> None:
        """Begins to accept."""
        self._is_serving = True
        loop = asyncio.get_running_loop()
        loop.add_reader(self._listening.fileno(), self._on_connections)

    def refuse(self) -> None:
        """Accepts nobody any more; those that are attached stay."""
        if self._is_serving:
            self._is_serving = False
            asyncio.get_running_loop().remove_reader(self._listening.fileno())

    def close(self) -> None:
        """Refuses, and detaches everybody. A second call does nothing."""
        self.refuse()
        for session in tuple(self._sessions):
            session.close()

    def forget(self, session: Session) -> None:
        """Takes a session that closes off the books."""
        self._sessions.discard(session)
        self._per_uid[session.peer.uid] -= 1
        if self._per_uid[session.peer.uid] <= 0:
            del self._per_uid[session.peer.uid]

    def _on_connections(self) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                connection, _ = self._listening.accept()
            except OSError as error:  # none waits, it is gone again, or we are out of descriptors
                if not isinstance(error, BlockingIOError | ConnectionAbortedError):
                    log.warning("no application can be accepted: %s", error)
                return
            connection.setblocking(False)
            self._admit(connection)

    def _admit(self, connection: socket.socket) -> None:
        peer = Peer.of(connection)
        refusal: TransportError | None = None
        if not self.policy.allows(peer):
            refusal = ForbiddenError(
                f"user {peer.uid} may not use this engine; its configuration can name it in "
                "control.allow_uids"
            )
        elif self._per_uid[peer.uid] >= self.policy.connections_per_uid_max:
            refusal = NoRoomError(
                f"user {peer.uid} has {self.policy.connections_per_uid_max} connections to this "
                "engine, which is all that control.connections_per_uid_max allows"
            )
        if refusal is not None:
            log.warning("%s is refused: %s", peer, refusal)
            with contextlib.suppress(OSError):
                connection.send(messages.pack_error(0, refusal))
            connection.close()
            return
        self._per_uid[peer.uid] += 1
        self._sessions.add(Session(self, connection, peer))

    def carry_out(
        self, session: Session, request: messages.Request
    ) -> tuple[dict[str, Any], list[int]]:
        """Does what an application asks; returns the answer's result and descriptors to pass.

        Errors: TransportError, BadMessageError.
        """
        match request:
            case messages.Attach():
                return self._attach(session, request)
            case messages.Stats():
                return {"stats": self.engine.stats()}, []
            case messages.Detach():
                session.detach()
                return {}, []
            case _ if session.channel is None:
                raise BadMessageError(f"{request.op} before attach")
            case messages.Listen(port=port):
                return {"port": self._listen(session, session.channel, port)}, []
            case messages.Unlisten(port=port):
                self.engine.unlisten(session.channel, port)
                session.ports.discard(port)
                return {}, []
            case messages.Connect(token=token):
                self.engine.connect(session.channel, messages.endpoint_of(request), token)
                return {}, []

    def _attach(
        self, session: Session, request: messages.Attach
    ) -> tuple[dict[str, Any], list[int]]:
        if request.version != messages.VERSION:
            raise ConfigError(
                f"this engine speaks version {messages.VERSION} on its socket, the application "
                f"{request.version}: install the same release on both sides"
            )
        if session.channel is not None:
            raise BadMessageError("attached already")
        if request.ring_bytes > self.policy.ring_bytes_max:
            raise ForbiddenError(
                f"rings of {request.ring_bytes} bytes are more than control.ring_bytes_max allows, "
                f"{self.policy.ring_bytes_max}"
            )
        channel, memory_fd, doorbell_fd = self.engine.attach_descriptors(request.ring_bytes)
        session.channel = channel
        log.info("%s attached, channel %d", session.peer, channel)
        result = {"local": str(self.engine.local), "driver": self.engine.driver}
        return result, [memory_fd, doorbell_fd]

    def _listen(self, session: Session, channel: int, port: int) -> int:
        if len(session.ports) >= PORTS_PER_APPLICATION_MAX:
            raise NoRoomError(
                f"an application listens on {PORTS_PER_APPLICATION_MAX} ports at most"
            )
        bound = self.engine.listen(channel, port)
        session.ports.add(bound)
        return bound

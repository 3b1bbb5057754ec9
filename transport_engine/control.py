"""The control plane of a sidecar: applications attach, listen and connect over a UNIX socket.

Posts commands to the engine and is never on the data path. An application's rights come from the
kernel's word on who it is; all that it has is freed when its socket closes or it ends. Descriptors
that an application passes never arrive: the kernel lets none be sent, or drops them, since `recv`
leaves no room for them.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

from transport_engine import messages
from transport_engine.commanded import Commanded
from transport_engine.errors import (
    ChannelCorruptError,
    ConfigError,
    NoRoomError,
    QuotaError,
    TransportError,
)
from transport_engine.messages import BadMessageError
from transport_engine.onlookers import seen_by
from transport_engine.pairs import RING_BYTES_PER_TOKEN, Pairs
from transport_engine.policy import Peer, Policy, Tenant, pidfd_of
from transport_engine.users import Turns, User, Users

ACCEPTS_MAX: Final = 4  # in one turn of the loop
PORTS_PER_APPLICATION_MAX: Final = 64
UNATTACHED_SECONDS_MAX: Final = 10.0  # without a channel and without a word
BAD_MESSAGE_TOKENS: Final = 20  # so that coming back to do it again takes time
VIOLATION_TOKENS: Final = 200
SO_PASSRIGHTS: Final = 83  # asm-generic/socket.h, since Linux 6.16

log: logging.Logger = logging.getLogger("transport_engine.control")


class Session:
    """One application's connection, and its channel if it has attached."""

    def __init__(
        self,
        server: "ControlServer",
        connection: socket.socket,
        *,
        peer: Peer,
        tenant: Tenant,
        user: User,
    ) -> None:
        self.peer = peer
        self.tenant = tenant
        self.user = user
        self.channel: int | None = None
        self.takes_pairs: bool = False
        self.ports: set[int] = set()
        self._server = server
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._process = pidfd_of(connection)
        self._heard = time.monotonic()
        self._resume: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._is_in_turn = False
        self._patience = self._loop.call_later(UNATTACHED_SECONDS_MAX, self._on_silence)
        self._loop.add_reader(connection.fileno(), self._on_readable)
        if self._process is not None:  # its socket may outlive it in other hands
            self._loop.add_reader(self._process, self.close)

    def __repr__(self) -> str:
        return f"<Session of {self.peer}, channel {self.channel}>"

    def close(self) -> None:
        """Frees all that the application had. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._resume is not None:
            self._resume.cancel()
        self._patience.cancel()
        if self._process is not None:
            self._loop.remove_reader(self._process)
            os.close(self._process)
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        self._server.forget(self)
        self.detach()

    def cut_off(self, sentence: str) -> None:
        """Ends a session whose application broke the rules of its channel."""
        if self._is_closed:
            return
        self._server.write(logging.WARNING, self.peer, f"{self} is cut off: {sentence}")
        self.user.asking.owe(VIOLATION_TOKENS)
        last_words = ChannelCorruptError(f"this application was cut off: {sentence}")
        with contextlib.suppress(OSError):
            self._connection.send(messages.pack_error(0, last_words))
        self.close()

    def detach(self) -> None:
        """Gives the channel back, with its flows, listeners and pairs."""
        channel, self.channel = self.channel, None
        self.takes_pairs = False
        self._server.pairs.forget(self)
        for port in self.ports:
            self._server.listeners.pop(port, None)
        self.ports.clear()
        if channel is not None:
            try:
                self._server.engine.detach(channel)
            except TransportError as error:
                self._server.write(logging.WARNING, self.peer, f"{self}: {error}")

    def tell(self, message: bytes, descriptors: Sequence[int] = ()) -> bool:
        """Sends what it did not ask for; False where it takes nothing now."""
        if self._is_closed:
            return False
        try:
            socket.send_fds(self._connection, [message], descriptors)
        except OSError:
            return False
        return True

    def _on_readable(self) -> None:
        if not self._is_in_turn:
            self._is_in_turn = True
            self._server.turns.enter(self.peer.uid, self._serve)

    def _serve(self) -> None:
        """Reads and answers one request."""
        self._is_in_turn = False
        if self._is_closed or self._resume is not None:
            return
        now = time.monotonic()
        wait_seconds = self.user.asking.take(now)
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
        self._heard = now
        self._answer(data)

    def _pause(self, wait_seconds: float) -> None:
        """Leaves an application that asks too often unread, until it has tokens again."""
        self._loop.remove_reader(self._connection.fileno())
        self._resume = self._loop.call_later(wait_seconds, self._go_on)

    def _go_on(self) -> None:
        self._resume = None
        self._loop.add_reader(self._connection.fileno(), self._on_readable)

    def _on_silence(self) -> None:
        """Closes a connection that has no channel and says nothing."""
        silent_seconds = time.monotonic() - self._heard
        if self.channel is None and silent_seconds >= UNATTACHED_SECONDS_MAX:
            what = f"nothing came for {UNATTACHED_SECONDS_MAX:g} s, and there is no channel"
            self._send(messages.pack_error(0, NoRoomError(what)), [])
            self.close()
            return
        wait_seconds = max(UNATTACHED_SECONDS_MAX - silent_seconds, 1.0)
        self._patience = self._loop.call_later(wait_seconds, self._on_silence)

    def _answer(self, data: bytes) -> None:
        descriptors: list[int] = []
        try:
            if len(data) > messages.MESSAGE_BYTES_MAX:
                raise BadMessageError(f"longer than {messages.MESSAGE_BYTES_MAX} bytes")
            request = messages.unpack_request(data)
            try:
                done = self._server.carry_out(self, request)
                if done is None:
                    return  # the answer comes when it is known
                result, descriptors = done
                answer = messages.pack({"id": request.id, "result": result})
            except TransportError as error:
                answer = messages.pack_error(request.id, error)
            self._send(answer, descriptors)
        except BadMessageError as error:
            line = f"{self} sent no request ({error}); its connection is closed"
            self._server.write(logging.WARNING, self.peer, line)
            self.user.asking.owe(BAD_MESSAGE_TOKENS)
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
            line = f"{self} takes no answer ({error}); its connection is closed"
            self._server.write(logging.INFO, self.peer, line)
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
        self.listeners: dict[int, Session] = {}
        self.pairs: Pairs = Pairs(engine, policy)
        self.turns: Turns = Turns()
        self._users = Users(policy.messages_per_second_max, log)
        self._is_serving = False
        with contextlib.suppress(OSError):  # an older kernel, which drops them on arrival
            listening.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)

    def __repr__(self) -> str:
        return f"<ControlServer of {len(self._sessions)} applications>"

    def start(self) -> None:
        """Begins to accept."""
        self._is_serving = True
        loop = asyncio.get_running_loop()
        loop.add_reader(self._listening.fileno(), self._on_connections)
        self.engine.on_quarantined = self._on_quarantined
        loop.add_reader(self.engine.attend_fileno(), self.engine.attend)

    def refuse(self) -> None:
        """Accepts nobody any more; those that are attached stay."""
        if self._is_serving:
            self._is_serving = False
            asyncio.get_running_loop().remove_reader(self._listening.fileno())
            self.pairs.drain()

    def close(self) -> None:
        """Refuses, and detaches everybody. A second call does nothing."""
        self.refuse()
        if self.engine.on_quarantined is not None:
            self.engine.on_quarantined = None
            asyncio.get_running_loop().remove_reader(self.engine.attend_fileno())
        for session in tuple(self._sessions):
            session.close()

    def forget(self, session: Session) -> None:
        """Takes a session that closes off the books."""
        self._sessions.discard(session)
        session.user.connections -= 1

    def write(self, level: int, peer: Peer, sentence: str) -> None:
        """Logs a sentence about an application; of too many about one user some are left out."""
        self._users.write(level, peer.uid, time.monotonic(), sentence)

    def _on_quarantined(self, channel: int, sentence: str) -> None:
        """Closes the session; not within the command that brought the news."""
        for session in self._sessions:
            if session.channel == channel:
                asyncio.get_running_loop().call_soon(session.cut_off, sentence)

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
        user = self._users.get(peer.uid, time.monotonic())
        try:
            tenant = self.policy.tenant_of(peer)
            self._check_connections(user, peer)
            user.asking.owe(1)  # and its first request may wait
            session = Session(self, connection, peer=peer, tenant=tenant, user=user)
        except ProcessLookupError:  # it ended while it connected
            connection.close()
        except TransportError as refusal:
            self.write(logging.WARNING, peer, f"{peer} is refused: {refusal}")
            with contextlib.suppress(OSError):
                connection.send(messages.pack_error(0, refusal))
            connection.close()
        else:
            user.connections += 1
            self._sessions.add(session)

    def _check_connections(self, user: User, peer: Peer) -> None:
        limit = self.policy.connections_per_uid_max
        if user.connections >= limit:
            raise NoRoomError(
                f"user {peer.uid} has {limit} connections to this engine, which is all that "
                "control.connections_per_uid_max allows: close some"
            )

    def carry_out(
        self, session: Session, request: messages.Request
    ) -> tuple[dict[str, Any], list[int]] | None:
        """Does what an application asks; returns the answer's result and descriptors to pass.

        None: the answer follows from `Session.tell`.
        Errors: TransportError, BadMessageError.
        """
        match request:
            case messages.Attach():
                return self._attach(session, request)
            case messages.Stats(core=int(core)):
                return {"stats": self.engine.core_stats(core)}, []
            case messages.Stats():
                return {"stats": self.engine.stats()}, []
            case messages.Flows(first=int(first)):
                return seen_by(session, self._sessions, self.engine.flows(first)), []
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
                self.listeners.pop(port, None)
                return {}, []
            case messages.Connect():
                self._connect(session, session.channel, request)
                return {}, []
            case messages.Pair():
                remote = messages.endpoint_of(request)
                session.tenant.check_connect(remote)
                return self.pairs.offer(session, self.listeners.get(remote.port), remote)
            case messages.Mapped():
                self.pairs.map(session, request)
                return None
            case messages.Unpair(pair=number):
                self.pairs.give_back(session, number)
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
        tenant = session.tenant
        self.policy.check_ring(request.ring_bytes)
        tenant.check_attach(self._channels_of(tenant))
        session.user.asking.owe(request.ring_bytes / RING_BYTES_PER_TOKEN)
        channel, memory_fd, doorbell_fd = self.engine.attach_descriptors(
            request.ring_bytes, tenant.share
        )
        session.channel = channel
        session.takes_pairs = request.direct
        line = f"{session.peer} attached as {tenant.name}, channel {channel}"
        self.write(logging.INFO, session.peer, line)
        result = {"local": str(self.engine.local), "driver": self.engine.driver}
        return result, [memory_fd, doorbell_fd]

    def _listen(self, session: Session, channel: int, port: int) -> int:
        if len(session.ports) >= PORTS_PER_APPLICATION_MAX:
            raise NoRoomError(
                f"an application listens on {PORTS_PER_APPLICATION_MAX} ports at most"
            )
        session.tenant.check_listen(port)
        bound = self.engine.listen(channel, port, session.tenant.listen)
        session.ports.add(bound)
        self.listeners[bound] = session
        return bound

    def _connect(self, session: Session, channel: int, request: messages.Connect) -> None:
        remote = messages.endpoint_of(request)
        session.tenant.check_connect(remote)
        try:
            self.engine.connect(channel, remote, request.token)
        except QuotaError:
            raise session.tenant.no_more_flows() from None

    def _channels_of(self, tenant: Tenant) -> int:
        attached = (session for session in self._sessions if session.channel is not None)
        return sum(1 for session in attached if session.tenant is tenant)

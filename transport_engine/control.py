"""The control plane of a sidecar: applications attach, listen and connect over a UNIX socket.

Posts commands to the engine and is never on the data path. An application's rights come from the
kernel's word on who it is; all that it has is freed when its socket closes or it ends. Descriptors
that an application passes never arrive: the kernel lets none be sent, or drops them, since `recv`
leaves no room for them.
"""

import asyncio
import contextlib
import logging
import socket
import time
from typing import Any, Final

from transport_engine import messages
from transport_engine.commanded import Commanded
from transport_engine.errors import (
    ConfigError,
    NoEngineError,
    NoRoomError,
    QuotaError,
    TransportError,
)
from transport_engine.hangups import Hangups
from transport_engine.messages import BadMessageError
from transport_engine.onlookers import seen_by
from transport_engine.pairs import RING_BYTES_PER_TOKEN, Pairs
from transport_engine.policy import Peer, Policy, Tenant
from transport_engine.session import Session
from transport_engine.users import Turns, User, Users

ACCEPTS_MAX: Final = 4  # in one turn of the loop
PORTS_PER_APPLICATION_MAX: Final = 64
REST_SECONDS: Final = 0.05  # before an application is accepted for which there was no descriptor
SO_PASSRIGHTS: Final = 83  # asm-generic/socket.h, since Linux 6.16

log: logging.Logger = logging.getLogger("transport_engine.control")


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
        self.hangups: Hangups = Hangups()
        self._users = Users(policy.messages_per_second_max, log)
        self._is_serving = False
        self._is_resting = False  # since none could be accepted
        with contextlib.suppress(OSError):  # an older kernel, which drops them on arrival
            listening.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)

    def __repr__(self) -> str:
        return f"<ControlServer of {len(self._sessions)} applications>"

    def start(self) -> None:
        """Begins to accept."""
        self._is_serving = True
        loop = asyncio.get_running_loop()
        loop.add_reader(self._listening.fileno(), self._on_connections)
        self.hangups.start()
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
        self.hangups.close()

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
            except (BlockingIOError, ConnectionAbortedError):  # none waits, or it is gone again
                return
            except OSError as error:
                self._rest(error)
                return
            self._is_resting = False
            connection.setblocking(False)
            self._admit(connection)

    def _rest(self, error: OSError) -> None:
        """Out of descriptors: whoever waits goes on waiting, and would wake us all the time."""
        if not self._is_resting:
            log.warning("no application can be accepted; raise `ulimit -n`: %s", error)
        self._is_resting = True
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listening.fileno())
        loop.call_later(REST_SECONDS, self._accept_again)

    def _accept_again(self) -> None:
        if self._is_serving:
            loop = asyncio.get_running_loop()
            loop.add_reader(self._listening.fileno(), self._on_connections)

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
        try:
            channel, memory_fd, doorbell_fd = self.engine.attach_descriptors(
                request.ring_bytes, tenant.share
            )
        except NoEngineError as error:  # there is one, to which the system gave nothing
            refusal = NoRoomError(
                "the engine has no descriptors left for a channel, or may write no file of "
                f"{request.ring_bytes} bytes: raise `ulimit -n` and `-f` of its process"
            )
            line = f"{session.peer} is refused a channel: {refusal}"
            self.write(logging.WARNING, session.peer, line)
            raise refusal from error
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

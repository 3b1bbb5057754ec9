"""One application's connection to a sidecar's control plane: what it asks, and its end.

Does not know what requests mean.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from transport_engine import messages
from transport_engine.errors import ChannelCorruptError, ConfigError, NoRoomError, TransportError
from transport_engine.messages import BadMessageError
from transport_engine.policy import Peer, Tenant, pidfd_of
from transport_engine.users import User

if TYPE_CHECKING:
    from transport_engine.control import ControlServer

UNATTACHED_SECONDS_MAX: Final = 10.0  # without a channel and without a word
LEAVING_SECONDS_MAX: Final = 0.1  # that a process which is killed takes to close its descriptors
BAD_MESSAGE_TOKENS: Final = 20  # so that coming back to do it again takes time
VIOLATION_TOKENS: Final = 200


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
        self._is_leaving = False
        self._is_in_turn = False
        self._patience = self._loop.call_later(UNATTACHED_SECONDS_MAX, self._on_silence)
        self._loop.add_reader(connection.fileno(), self._on_readable)
        server.hangups.watch(connection.fileno(), self._on_end)
        if self._process is not None:  # its socket may outlive it in other hands
            self._loop.add_reader(self._process, self.close)

    def __repr__(self) -> str:
        return f"<Session of {self.peer}, channel {self.channel}>"

    def close(self) -> None:
        """Frees all that the application had. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._leave_unread()
        self._patience.cancel()
        if self._process is not None:
            self._loop.remove_reader(self._process)
            os.close(self._process)
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
        if self._is_closed or self._is_leaving or self._resume is not None:
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
            self._on_end()
            return
        self._heard = now
        self._answer(data)

    def _on_end(self) -> None:
        """Its socket is closed: it closed the channel before, or it is killed.

        The kernel closes the descriptors of a killed process one after the other. What it had
        started is for good only once the last is closed, or the process has ended.
        """
        if self.channel is None or self._has_left(self.channel):
            self.close()
            return
        self._is_leaving = True
        self._leave_unread()
        self._patience.cancel()
        self._patience = self._loop.call_later(LEAVING_SECONDS_MAX, self.close)

    def _leave_unread(self) -> None:
        """Hears nothing more of its socket."""
        if self._resume is not None:
            self._resume.cancel()
        self._loop.remove_reader(self._connection.fileno())
        self._server.hangups.unwatch(self._connection.fileno())

    def _has_left(self, channel: int) -> bool:
        try:
            return self._server.engine.has_left(channel)
        except TransportError:  # the engine takes no commands: there is nothing to wait for
            return True

    def _pause(self, wait_seconds: float) -> None:
        """Leaves an application that asks too often unread, until it has tokens again."""
        self._loop.remove_reader(self._connection.fileno())
        self._resume = self._loop.call_later(wait_seconds, self._go_on)

    def _go_on(self) -> None:
        self._resume = None
        self._loop.add_reader(self._connection.fileno(), self._on_readable)

    def _on_silence(self) -> None:
        """Closes a connection that has no channel and says nothing.

        What it said may wait for its turn, where this process stood still.
        """
        silent_seconds = time.monotonic() - self._heard
        is_silent = silent_seconds >= UNATTACHED_SECONDS_MAX and not self._is_in_turn
        if self.channel is None and is_silent:
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

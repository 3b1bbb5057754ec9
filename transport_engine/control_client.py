"""An application's side of the control socket: requests, their answers, and events.

Knows messages, not what they ask for.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import socket
from array import array
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from transport_engine import messages
from transport_engine.errors import EngineGoneError, TransportError
from transport_engine.messages import BadMessageError
from transport_engine.policy import Peer

ANSWER_SECONDS_MAX: Final = 10.0
SILENT_SECONDS: Final = 1.0  # after which it is said that there is no answer yet
DESCRIPTORS: Final = 2  # of a channel's end: memory, doorbell

log: logging.Logger = logging.getLogger("transport_engine.attach")


class ControlClient:
    """Requests and answers on one control socket. Thread: the event loop's."""

    def __init__(self, connection: socket.socket, path: Path) -> None:
        self.server: Peer = Peer.of(connection)
        self._connection = connection
        self._path = path
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._unsent: deque[bytes] = deque()
        self._gone: TransportError | None = None
        self.on_event: Callable[[str, int, list[int]], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection.fileno(), self._on_readable)

    def __repr__(self) -> str:
        return f"<ControlClient {self._path} {'open' if self._gone is None else 'closed'}>"

    def next_id(self) -> int:
        """A number for a request."""
        return next(self._ids)

    async def ask(
        self, request: messages.Request, timeout: float | None = None
    ) -> tuple[dict[str, Any], list[int]]:
        """Sends a request; returns its result, and descriptors, which are the caller's.

        Units: timeout in seconds (None: ANSWER_SECONDS_MAX).
        Errors: those of the engine; EngineGoneError.
        """
        seconds = ANSWER_SECONDS_MAX if timeout is None else timeout
        if self._gone is not None:
            raise self._gone
        answer: asyncio.Future[tuple[dict[str, Any], list[int]]] = self._loop.create_future()
        self._waiting[request.id] = answer
        silence = self._loop.call_later(SILENT_SECONDS, self._on_silence)
        try:
            # Where the engine closed the connection, its last words still wait to be read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._connection.send(messages.pack_request(request))
            async with asyncio.timeout(seconds):
                return await answer
        except asyncio.CancelledError:
            close_all(_descriptors_in(answer))  # it came, and nobody will take it
            raise
        except OSError as error:  # also TimeoutError, without a word
            if answer.done() and not answer.cancelled():
                return answer.result()  # it came while this process stood still
            reason = str(error) or f"it said nothing in {seconds:g} s"
            raise EngineGoneError(
                f"the engine at {self._path} does not answer: {reason}"
            ) from error
        finally:
            silence.cancel()
            del self._waiting[request.id]

    def tell(self, request: messages.Request) -> None:
        """Sends a request whose answer nobody waits for; as soon as there is room for it."""
        if self._gone is not None:
            return
        self._unsent.append(messages.pack_request(request))
        if len(self._unsent) == 1:
            self._send_unsent()

    def _send_unsent(self) -> None:
        try:
            while self._unsent:
                self._connection.send(self._unsent[0])
                self._unsent.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._connection.fileno(), self._send_unsent)
            return
        except OSError:  # it is gone, which the reader hears
            self._unsent.clear()
        self._loop.remove_writer(self._connection.fileno())

    def close(self) -> None:
        """Closes the socket, with which the engine frees all that it held for us."""
        self._end(EngineGoneError("this attachment was closed"))

    def _on_silence(self) -> None:
        log.warning(
            "the engine at %s has not answered for %g s, and is waited for: `mrpc stat` shows "
            "whether it is stopped",
            self._path,
            SILENT_SECONDS,
        )

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
            close_all(descriptors)

    def _receive(self) -> tuple[bytes, list[int]]:
        try:
            return self._received()
        except ConnectionResetError:  # told once, before what was sent ahead of the reset
            return self._received()

    def _received(self) -> tuple[bytes, list[int]]:
        """A message and its descriptors, which programs that this one executes do not inherit.

        They would by socket.recv_fds, which does not heed its flags.
        """
        descriptors = array("i")
        room = socket.CMSG_LEN(DESCRIPTORS * descriptors.itemsize)
        flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
        data, beside, _, _ = self._connection.recvmsg(messages.MESSAGE_BYTES_MAX, room, flags)
        for level, kind, given in beside:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(given[: len(given) - len(given) % descriptors.itemsize])
        return data, list(descriptors)

    def _deliver(self, answer: dict[str, Any], descriptors: list[int]) -> bool:
        """Hands an answer to who waits for it; False where nobody took the descriptors."""
        if "event" in answer:
            if self.on_event is None:
                return False
            self.on_event(answer["event"], answer["pair"], descriptors)
            return True
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
        self._loop.remove_writer(self._connection.fileno())
        self._connection.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)


def _descriptors_in(answer: asyncio.Future[tuple[dict[str, Any], list[int]]]) -> list[int]:
    if not answer.done() or answer.cancelled() or answer.exception() is not None:
        return []
    return answer.result()[1]


def close_all(descriptors: list[int]) -> None:
    """Closes descriptors that nobody wants."""
    for descriptor in descriptors:
        os.close(descriptor)

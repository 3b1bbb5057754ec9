"""Keeps one flow to one peer: opens it when a call needs it, and again after it died.

All calls that wait share one attempt; failed attempts are followed by a growing pause.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from machnet_rpc import _reasons
from machnet_rpc._aio.pump import FlowRefused, Pump
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.events import Event
from machnet_rpc._transports.address import joined, resolved
from machnet_rpc._transports.ladder import Reach, link_to
from transport_engine.errors import EngineGoneError, NoEngineError, TransportError

PAUSE_FIRST_SECONDS: Final = 0.01
PAUSE_SECONDS_MAX: Final = 0.5

log: Final = logging.getLogger("machnet_rpc")


class NoFlow(Exception):
    """There was no flow in time: why the last attempt failed, and what to do."""

    def __init__(self, message: str, next_step: str, *, is_late: bool) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.is_late = is_late  # time ran out, rather than an attempt failing


class FlowKeeper:
    """The flow of one client.

    Owner: events of its calls go to `on_event`, on the event loop's thread.
    """

    def __init__(self, address: str, reach: Reach, on_event: Callable[[Event], None]) -> None:
        self.address = address
        self.connection: Connection | None = None
        self.pump: Pump | None = None
        self.on_event = on_event
        self._reach = reach
        self._attempt: asyncio.Task[Connection] | None = None
        self._failures = 0
        self._last_failure = _reasons.sentence(_reasons.NO_ANSWER)
        self._is_closed = False

    async def attach(self) -> Pump:
        """The pump, on a new link if there is none yet or the last one died.

        Errors: AddressError, TransportError.
        """
        if self.pump is not None and not self.pump.is_dead:
            return self.pump
        if self.pump is not None:
            await self.pump.close()
            self.pump = None
        host, _ = await resolved(self.address)
        link = await link_to(host, self._reach, is_local=False)
        self.pump = Pump(link, self)
        return self.pump

    async def usable(self, deadline_ns: int, *, wait: bool) -> Connection:
        """A connection for new calls, and room for them; `wait` goes on after failed attempts.

        Errors: NoFlow, AddressError, TransportError.
        """
        while True:
            if self._is_closed:
                raise NoFlow("the client is closed", "Make calls before it closes.", is_late=False)
            connection, pump = self.connection, self.pump
            if connection is None or not connection.is_usable or pump is None or pump.is_dead:
                await self._attempted(deadline_ns, wait=wait)
            elif not pump.outbox.full:
                return connection
            else:
                await self._room(pump, deadline_ns)

    async def close(self) -> None:
        """Ends the flow and the link; calls under way fail."""
        self._is_closed = True
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait([self._attempt])
        if self.pump is not None:
            await self.pump.close()

    # -- for the pump --

    def on_accepted(self, connection: Connection) -> None:
        connection.close()  # nobody listens here

    def on_link_lost(self, error: TransportError) -> None:
        log.warning("the engine is gone (%s); the next call to %s attaches anew", error, self)

    def __str__(self) -> str:
        return self.address

    async def _attempted(self, deadline_ns: int, *, wait: bool) -> None:
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.get_running_loop().create_task(self._open())
        attempt = self._attempt
        done, _ = await asyncio.wait([attempt], timeout=_seconds_until(deadline_ns))
        if not done:
            raise NoFlow(*self._last_failure, is_late=True)
        if attempt.cancelled():
            return  # the client was closed meanwhile
        try:
            attempt.result()
        except FlowRefused as error:
            if not wait or error.reason in _reasons.PERMANENT:
                raise NoFlow(*self._last_failure, is_late=False) from None
        except (NoEngineError, EngineGoneError):
            if not wait:
                raise

    async def _open(self) -> Connection:
        if self._failures:
            pause = min(PAUSE_FIRST_SECONDS * 2 ** (self._failures - 1), PAUSE_SECONDS_MAX)
            await asyncio.sleep(pause)
        try:
            pump = await self.attach()
            host, port = await resolved(self.address)
            self.connection = await pump.open(joined(host, port))
        except FlowRefused as error:
            self._note_failure(*_reasons.sentence(error.reason))
            raise
        except TransportError as error:
            self._note_failure(str(error), "")
            raise
        self._failures = 0
        return self.connection

    def _note_failure(self, message: str, next_step: str) -> None:
        self._failures = min(self._failures + 1, 16)
        self._last_failure = (message, next_step)
        if self._failures == 1:
            log.info("no flow to %s: %s", self, message)

    async def _room(self, pump: Pump, deadline_ns: int) -> None:
        try:
            async with asyncio.timeout(_seconds_until(deadline_ns)):
                await pump.room()
        except TimeoutError:
            raise NoFlow(
                "there was no room to send: the peer, or the engine, takes calls too slowly",
                "Make fewer calls at once, or find out what holds the server up.",
                is_late=True,
            ) from None


def _seconds_until(deadline_ns: int) -> float:
    return max(deadline_ns - time.monotonic_ns(), 0) / 1e9

"""Keeps one flow to one peer: opens it when a call needs it, and again after it died.

All calls that wait share one attempt; failed attempts are followed by a growing pause. After an
engine's death nobody waits for a call: the keeper attaches to the next engine by itself.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from machnet_rpc import _clock, _reasons
from machnet_rpc._aio.backoff import Backoff
from machnet_rpc._aio.belonging import ELSEWHERE, FORKED, running_loop, watch_forks
from machnet_rpc._aio.openings import FlowRefused
from machnet_rpc._aio.pump import Pump
from machnet_rpc._protocol.calls import IncomingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.events import Event, Failed, GoneAway, Refused, Replied, apart
from machnet_rpc._protocol.records import LAST_PRIORITY
from machnet_rpc._transports.address import (
    UnresolvedError,
    is_reached,
    joined,
    resolved,
    split,
)
from machnet_rpc._transports.ladder import Reach, link_to
from machnet_rpc.errors import AddressError
from transport_engine.errors import EngineGoneError, NoEngineError, TransportError

LEAVE_SECONDS: Final = 0.001  # between looks at whether a flow that is left has calls under way
PATIENCE_NS: Final = 1_000_000_000  # with an attempt, of calls that do not wait for a server
YOUNG: Final = (
    "the handshake was not answered yet",
    (
        "Give the first call more time: it waits for the flow. Else check address, firewall (UDP), "
        "and whether a sidecar here answers (`mrpc stat`)."
    ),
)
SILENT: Final = (
    "the sidecar accepts connections and has not answered",
    "Is it stopped, or starved of CPU? `mrpc stat` asks it, too; via= names another.",
)
CLOSED: Final = "the client is closed: connect again for more calls"
FLOW_TRIES_MAX: Final = 32  # on a new engine, before the next call has to ask for the flow

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
        self.loop: asyncio.AbstractEventLoop | None = None  # once it is attached
        self.on_event = on_event
        self.on_lost: Callable[[TransportError], None] = _nobody  # of a link
        self.lent: set[int] = set()  # methods that give views
        self._reach = reach
        self._attempt: asyncio.Task[Connection] | None = None
        self._patient_ns = 0  # until when who does not wait for a server waits for the attempt
        self._backoff = Backoff()
        self._next_ns = 0  # not before that, after attempts that failed
        self._restoring: asyncio.Task[None] | None = None
        self._last_failure = _reasons.sentence(_reasons.NO_ANSWER)
        self._is_closed = False
        self._is_inherited = False  # by a child of the process that it belongs to

    def check_here(self) -> None:
        """Errors: RuntimeError in an event loop that is not its own, and in a child process."""
        if self._is_inherited:
            raise RuntimeError(FORKED)
        loop = running_loop()
        if self.loop is not None and self.loop is not loop:
            raise RuntimeError(ELSEWHERE)

    def forked(self) -> None:
        """This is the child: calls do not go past `usable`, to the parent's engine."""
        self._is_inherited = True
        if self.connection is not None:
            self.connection.is_usable = False

    async def attach(self) -> Pump:
        """The pump, on a new link if there is none yet or the last one died.

        Errors: AddressError, TransportError, RuntimeError where it does not belong.
        """
        self.check_here()
        if self._is_closed:
            raise RuntimeError(CLOSED)
        if self.pump is not None and not self.pump.is_dead:
            return self.pump
        if self.pump is not None:
            await self.pump.close()
            self.pump = None
        host, _ = await resolved(self.address)
        link = await link_to(host, self._reach, is_local=False)
        if self._is_settled:  # meanwhile, by another task
            await link.close()
            return await self.attach()
        self._reach = self._reach.again(link.transport)
        self.loop = asyncio.get_running_loop()
        watch_forks(self)
        try:
            self.pump = Pump(link, self, self._reach.spin, self.lent)
        except BaseException:  # of a signal's handler
            await link.close()
            raise
        self._backoff.succeeded()  # a new engine: its server may be there in a moment, too
        return self.pump

    async def attach_within(self, seconds: float | None) -> None:
        """Attaches, within the time that the user gave; None: an engine's own.

        Errors: those of `attach`; EngineGoneError where no engine answered in time.
        """
        self.check_here()  # before asyncio is asked for anything
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                await self.attach()
        except TimeoutError:
            if not limit.expired():
                raise
            raise EngineGoneError(f"{SILENT[0]} in {seconds:g} s. {SILENT[1]}") from None

    @property
    def _is_settled(self) -> bool:
        """Whether there is nothing to attach for."""
        return self._is_closed or (self.pump is not None and not self.pump.is_dead)

    async def usable(self, deadline_ns: int, *, wait: bool) -> Connection:
        """A connection for new calls, and room for them; `wait` goes on after failed attempts.

        Without it, a call waits no longer than an attempt takes that is answered: not while one is
        paused for, nor for one that has gone on for PATIENCE_NS.

        Errors: NoFlow, AddressError, TransportError, RuntimeError where it does not belong.
        """
        self.check_here()
        while True:
            if self._is_closed:
                raise NoFlow("the client is closed", "Make calls before it closes.", is_late=False)
            connection, pump = self.connection, self.pump
            if connection is None or not connection.is_usable or pump is None or pump.is_dead:
                await self._attempted(deadline_ns, wait=wait)
            elif not connection.outbox.full:
                return connection
            else:
                await self._room(pump, connection, deadline_ns)

    async def close(self) -> None:
        """Ends the flow and the link; calls under way fail. In a child of the process: nothing."""
        if self._is_inherited:
            return
        if self.loop is not None:
            self.check_here()
        self._is_closed = True
        tasks = [task for task in (self._restoring, self._attempt) if task is not None]
        for task in tasks:
            task.cancel()
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            if self.pump is not None:
                await self.pump.close()

    def recover(self) -> None:
        """What a signal's handler raised may have met any step of asyncio's, too: begins anew.

        An attempt may wait for what it will never be told; whoever waits for it makes another.
        """
        for task in (self._restoring, self._attempt):
            if task is not None:
                task.cancel()
        self._restoring = self._attempt = None
        if self.pump is not None:
            self.pump.recover()

    def leave(self, connection: Connection) -> None:
        """Tells a peer that wants no new calls once those under way have ended.

        It then closes the flow. Each call has a deadline, or the flow ends before.
        """
        if connection.outgoing and not connection.is_closed:
            loop = asyncio.get_running_loop()
            loop.call_later(LEAVE_SECONDS, self.leave, connection)
        else:
            connection.go_away(LAST_PRIORITY)

    # -- for the pump --

    def on_request(self, call: IncomingCall, payload: bytes) -> None:
        """Nobody serves here; the caller's deadline ends the call."""

    def on_accepted(self, connection: Connection) -> None:
        connection.close()  # nobody listens here

    def on_link_lost(self, error: TransportError) -> None:
        self.on_lost(error)
        assert self.loop is not None
        if not self._is_closed and (self._restoring is None or self._restoring.done()):
            self._restoring = self.loop.create_task(self._restore())
        log.warning("%s; the client of %s attaches again as soon as it can", error, self)

    def __str__(self) -> str:
        return self.address

    async def _restore(self) -> None:
        """Attaches to the next engine, however long that takes, and opens the flow there."""
        tries_left = FLOW_TRIES_MAX
        while tries_left > 0 and not self._is_closed:
            try:
                await asyncio.shield(self._shared_attempt())
            except (NoEngineError, EngineGoneError, UnresolvedError):
                continue
            except (TransportError, AddressError) as error:
                log.warning("the client of %s does not come back by itself: %s", self, error)
                return
            except FlowRefused as error:
                tries_left = 0 if error.reason in _reasons.PERMANENT else tries_left - 1
            else:
                log.info("the client of %s is back", self)
                return

    def _shared_attempt(self) -> asyncio.Task[Connection]:
        """The attempt under way, or a new one."""
        if self._attempt is None or self._attempt.done():
            self._patient_ns = max(_clock.monotonic_ns(), self._next_ns) + PATIENCE_NS
            self._attempt = asyncio.get_running_loop().create_task(self._open())
            self._attempt.add_done_callback(_note_as_seen)
        return self._attempt

    async def _attempted(self, deadline_ns: int, *, wait: bool) -> None:
        attempt = self._shared_attempt()
        if not wait and _clock.monotonic_ns() < self._next_ns:
            raise NoFlow(*self._last_failure, is_late=False)
        until_ns = deadline_ns if wait else min(deadline_ns, self._patient_ns)
        done, _ = await asyncio.wait([attempt], timeout=_clock.seconds_until(until_ns))
        if not done:
            begun_ns = self._patient_ns - PATIENCE_NS
            is_new = self._backoff.failures == 0 and until_ns - begun_ns < PATIENCE_NS
            if self.pump is None and is_new:
                why = SILENT
            else:
                why = YOUNG if is_new else self._last_failure
            raise NoFlow(*why, is_late=until_ns == deadline_ns)
        if attempt.cancelled():
            return  # the client was closed meanwhile
        try:
            attempt.result()
        except FlowRefused as error:
            if not wait or error.reason in _reasons.PERMANENT:
                raise NoFlow(*self._last_failure, is_late=False) from None
        except UnresolvedError:
            if self.loop is None:  # the name never had an address: it may be wrong
                raise
            if not wait:
                raise NoFlow(*self._last_failure, is_late=False) from None
        except (NoEngineError, EngineGoneError):
            if not wait:
                raise

    async def _open(self) -> Connection:
        if _clock.monotonic_ns() < self._next_ns:
            await asyncio.sleep(_clock.seconds_until(self._next_ns))
        try:
            pump = await self.attach()
            local = pump.link.address
            host, port = await resolved(self.address, local)
            if pump.link.transport.driver != "memory" and not is_reached(host, local):
                raise AddressError(
                    f"{self.address!r}: an engine reaches addresses of its own family only, and "
                    f"its address is {local}: run one with an address of the other"
                )
            self.connection = await pump.open(joined(host, port))
        except FlowRefused as error:
            self._note_failure(*_reasons.sentence(error.reason))
            raise
        except (TransportError, UnresolvedError) as error:
            self._note_failure(str(error), "")
            raise
        self._backoff.succeeded()
        return self.connection

    def _note_failure(self, message: str, next_step: str) -> None:
        self._backoff.failed()
        self._next_ns = _clock.monotonic_ns() + int(self._backoff.pause_seconds() * 1e9)
        self._last_failure = (message, next_step)
        if self._backoff.failures == 1:
            log.info("no flow to %s: %s", self, message)

    async def _room(self, pump: Pump, connection: Connection, deadline_ns: int) -> None:
        try:
            async with asyncio.timeout(_clock.seconds_until(deadline_ns)):
                await pump.room(connection)
        except TimeoutError:
            raise NoFlow(
                "there was no room to send: the peer, or the engine, takes calls too slowly",
                "Make fewer calls at once, or find out what holds the server up.",
                is_late=True,
            ) from None


def keeper_of(address: str, reach: Reach) -> FlowKeeper:
    """One whose events end the calls that they are about. Errors: AddressError."""
    _, port = split(address)
    if port == 0:
        raise AddressError(
            f"{address!r} names no server: one that listens at port 0 has its port in its `address`"
        )

    def on_event(event: Event) -> None:
        if isinstance(event, Replied):
            event.call.complete(event.payload)
        elif isinstance(event, Refused | Failed):
            event.call.complete(apart(event))
        elif isinstance(event, GoneAway):
            keeper.leave(event.connection)

    keeper = FlowKeeper(address, reach, on_event)
    return keeper


def _nobody(error: TransportError) -> None:
    """Whoever calls hears of it by the ends of calls."""
    del error


def _note_as_seen(attempt: asyncio.Task[Connection]) -> None:
    """Keeps the loop from reporting a failure that nobody waited for any more."""
    if not attempt.cancelled():
        attempt.exception()

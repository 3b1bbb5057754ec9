"""The order gateway: a desk behind its contract."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Final

from examples.trading.contract import Gateway
from examples.trading.desk import (
    PAGE_MAX,
    Desk,
    DeskError,
    ReportsGoneError,
    TakenOverError,
    TooManySessionsError,
    check_name,
)
from examples.trading.orders import (
    Answer,
    CancelOrder,
    Command,
    NewOrder,
    ReplaceOrder,
    Report,
    Reports,
    SessionState,
    Snapshot,
)
from machnet_rpc import Aborted, current_call, rpc

GRACE_MAX = 60.0  # seconds
LAST_REPORTS_SECONDS: Final = 1.0  # in which who follows takes one at least, at the gateway's end
QUIET_SECONDS: Final = 0.1  # without a report, once nobody sends commands any more

log: Final = logging.getLogger(__name__)


class Follower:
    """Who follows a session: where it is, and the task that sends it reports."""

    def __init__(self, session: str) -> None:
        self.news: asyncio.Event = asyncio.Event()  # set: there are new reports
        self.taken = 0
        self._seen = 0  # of those taken, by who looked last
        self._who = f"who follows {session!r} from {current_call().peer}"
        self._task = asyncio.current_task()

    def __repr__(self) -> str:
        return f"<Follower: {self._who}>"

    async def hears_more(self) -> bool:
        """Whether there is news before it has been quiet for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET_SECONDS):
                await self.news.wait()
        return self.news.is_set()

    def has_moved(self) -> bool:
        """Whether it took a report since this was asked last."""
        before, self._seen = self._seen, self.taken
        return self.taken != before

    def cut_off(self) -> None:
        """Ends its call, whose reports it does not take."""
        log.warning("%s takes no reports, and is cut off", self._who)
        if self._task is not None:
            self._task.cancel("the gateway ends, and the last reports are not taken")


class OrderGateway(Gateway):
    """Every handler runs in one go, so commands execute in the order in which they arrive."""

    def __init__(self, desk: Desk | None = None) -> None:
        self.desk = Desk() if desk is None else desk
        self._attending: dict[str, asyncio.Event] = {}  # set: taken over
        self.desk.attended = self._attending
        self._leaving: dict[str, asyncio.TimerHandle] = {}  # within their grace
        self._closed = asyncio.Event()
        self._is_over = False  # who follows is gone: nothing is executed that nobody would hear of
        self._followers: dict[str, set[Follower]] = {}
        self.desk.on_reports = self._wake

    def close(self) -> None:
        """End the calls that do not end by themselves: a server that leaves would wait for them.

        Commands that come meanwhile are executed until the first of those who follow has been told
        all. Who follows and takes no reports is cut off after a moment. Thread: the event loop's.
        """
        self._closed.set()
        for here in self._attending.values():
            here.set()
        self._attending.clear()
        for session, followers in self._followers.items():
            self._wake(session)
            for each in followers:
                each.has_moved()
        asyncio.get_running_loop().call_later(LAST_REPORTS_SECONDS, self._cut_off)

    def _execute(self, command: Command) -> Answer:
        if self._is_over:
            raise Aborted("the gateway ends, and executes no more")
        return self.desk.execute(command, time.monotonic_ns())

    @rpc
    async def place(self, order: NewOrder) -> Answer:
        return self._execute(order)

    @rpc
    async def cancel(self, order: CancelOrder) -> Answer:
        return self._execute(order)

    @rpc
    async def replace(self, order: ReplaceOrder) -> Answer:
        return self._execute(order)

    @rpc
    async def attend(self, session: str, grace: float) -> None:
        if not 0 <= grace <= GRACE_MAX:
            raise DeskError(f"grace is from 0 to {GRACE_MAX:g} s, not {grace}")
        check_name(session)
        if self._closed.is_set():
            return
        loop = asyncio.get_running_loop()
        most = self.desk.limits.sessions_max
        if session in self._attending:
            self._attending[session].set()
        elif len(self._attending) >= most:
            raise TooManySessionsError(f"at most {most} are attended at a time")
        if session in self._leaving:
            self._leaving.pop(session).cancel()
        here = self._attending[session] = asyncio.Event()
        try:
            await here.wait()
        finally:
            if self._attending.get(session) is here:
                del self._attending[session]
                # Also with nothing open: a command may be on its way. Bounded all the same.
                if self.desk.has_orders(session) or len(self._leaving) < most:
                    self._leaving[session] = loop.call_later(grace, self._leave, session)
        if self._closed.is_set():
            return
        raise TakenOverError(f"another client attends session {session!r}")

    def _leave(self, session: str) -> None:
        del self._leaving[session]
        self.desk.leave(session, time.monotonic_ns())

    @rpc
    async def session(self, session: str) -> SessionState:
        return self.desk.state(session)

    @rpc
    async def reports(self, session: str, after: int, limit: int) -> Reports:
        return self.desk.reports(session, after, limit)

    @rpc
    async def follow(self, session: str, after: int) -> AsyncIterator[Report]:
        check_name(session)
        newest = self.desk.state(session).newest
        if after > newest:
            raise ReportsGoneError(f"there is no report {after} yet: the newest is {newest}")
        follower = Follower(session)
        self._followers.setdefault(session, set()).add(follower)
        try:
            while True:
                follower.news.clear()
                page = self.desk.reports(session, after, PAGE_MAX).reports
                for report in page:
                    after = report.sequence
                    yield report  # waits for a reader who is slow
                    follower.taken += 1
                if page:
                    continue
                if not self._closed.is_set():
                    await follower.news.wait()
                elif not await follower.hears_more():
                    self._is_over = True
                    return
        finally:
            self._followers[session].discard(follower)
            if not self._followers[session]:
                del self._followers[session]

    def _wake(self, session: str) -> None:
        for follower in self._followers.get(session, ()):
            follower.news.set()

    def _cut_off(self) -> None:
        for followers in self._followers.values():
            for follower in followers:
                if not follower.has_moved():
                    self._is_over = True
                    follower.cut_off()
        if self._followers:
            asyncio.get_running_loop().call_later(LAST_REPORTS_SECONDS, self._cut_off)

    @rpc
    async def snapshot(self, depth: int) -> Snapshot:
        return self.desk.snapshot(depth)

    def __repr__(self) -> str:
        sessions = f"{len(self._attending)} attended, {len(self._followers)} followed"
        return f"<OrderGateway: {sessions}, {self.desk}>"

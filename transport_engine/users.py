"""What the control plane remembers of each user, so that none takes the others' time or log.

One entry for each user with a connection, or that had one a moment ago. Knows no messages.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from transport_engine.bucket import Bucket

LINES_PER_SECOND: Final = 5
LINES_BURST: Final = 20
USERS_MAX: Final = 1024  # beyond it those who have gone are forgotten


@dataclass(slots=True)
class User:
    """One user's connections, and how often it may ask and be written about."""

    asking: Bucket
    lines: Bucket
    connections: int = 0
    offers: int = 0  # of pairs, of which no word came back
    lines_left_out: int = 0


class Users:
    """All users of an engine. Thread: the event loop's."""

    def __init__(self, messages_per_second: int, log: logging.Logger) -> None:
        self._messages_per_second = messages_per_second
        self._log = log
        self._users: dict[int, User] = {}

    def __repr__(self) -> str:
        return f"<Users: {len(self._users)}>"

    def get(self, uid: int, now: float) -> User:
        """The user; a new one where it was not seen lately."""
        user = self._users.get(uid)
        if user is None:
            if len(self._users) >= USERS_MAX:
                self._forget(now)
            lines = Bucket(LINES_PER_SECOND, now, LINES_BURST)
            user = self._users[uid] = User(Bucket(self._messages_per_second, now), lines)
        return user

    def write(self, level: int, uid: int, now: float, sentence: str) -> None:
        """Logs a sentence about a user, unless there were too many."""
        user = self.get(uid, now)
        if not self._log.isEnabledFor(level):
            return
        if user.lines.take(now) > 0:
            user.lines_left_out += 1
            return
        if user.lines_left_out:
            self._log.log(level, "%d lines about user %d left out", user.lines_left_out, uid)
            user.lines_left_out = 0
        self._log.log(level, "%s", sentence)

    def _forget(self, now: float) -> None:
        for uid, user in list(self._users.items()):
            if user.connections == 0 and user.asking.is_full(now) and user.lines.is_full(now):
                del self._users[uid]


class Turns:
    """Who is served next: in a turn of the loop one request of each user, the oldest first.

    So others wait for as many requests as there are users, however many connections one opens.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, deque[Callable[[], None]]] = {}
        self._is_scheduled = False

    def __repr__(self) -> str:
        return f"<Turns: {len(self._waiting)} users wait>"

    def enter(self, uid: int, serve: Callable[[], None]) -> None:
        """Has `serve` called once it is its turn."""
        self._waiting.setdefault(uid, deque()).append(serve)
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._serve_all)

    def _serve_all(self) -> None:
        self._is_scheduled = False
        first = [queue.popleft() for queue in self._waiting.values()]
        self._waiting = {uid: queue for uid, queue in self._waiting.items() if queue}
        if self._waiting:
            self._schedule()
        for serve in first:  # each by itself: what one of them raises costs no other its turn
            asyncio.get_running_loop().call_soon(serve)

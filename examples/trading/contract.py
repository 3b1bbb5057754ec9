"""The order gateway as its clients see it.

A session numbers its commands 1, 2, 3 … and may have many under way: they share a lane, so they
arrive in the order in which they were sent. Any of them may be sent again, whatever became of it:
it executes once, and the answer is the first one. A client that comes back, also after its session
has ended, asks `session` where it stands.
"""

from collections.abc import AsyncIterator

from examples.trading.desk import (
    DeskError,
    IdAheadError,
    IdForgottenError,
    IdReusedError,
    ReportsGoneError,
    TakenOverError,
    TooManySessionsError,
)
from examples.trading.orders import (
    Answer,
    CancelOrder,
    NewOrder,
    ReplaceOrder,
    Report,
    Reports,
    SessionState,
    Snapshot,
)
from machnet_rpc import rpc, service

PORT = 7200
DAY = 86_400.0  # seconds
COMMANDS = 1  # the lane of all that changes the book

COMMAND_ERRORS = [
    DeskError,
    IdAheadError,
    IdForgottenError,
    IdReusedError,
    TooManySessionsError,
]


@service("gateway", version=1)
class Gateway:
    """Orders in, reports out, for one instrument."""

    @rpc(idempotent=True, lane=COMMANDS, errors=COMMAND_ERRORS)
    async def place(self, order: NewOrder) -> Answer:
        """Buy or sell."""
        raise NotImplementedError

    @rpc(idempotent=True, lane=COMMANDS, errors=COMMAND_ERRORS)
    async def cancel(self, order: CancelOrder) -> Answer:
        """Take back an order, or a part of it."""
        raise NotImplementedError

    @rpc(idempotent=True, lane=COMMANDS, errors=COMMAND_ERRORS)
    async def replace(self, order: ReplaceOrder) -> Answer:
        """Change the price and the open size of an order."""
        raise NotImplementedError

    @rpc(timeout=DAY, errors=[DeskError, TakenOverError, TooManySessionsError])
    async def attend(self, session: str, grace: float) -> None:
        """Be there for a session: it has no answer until the gateway ends.

        Once it has ended, with the client, its connection or its time, all open orders of the
        session are canceled after `grace` seconds (0 to 60), unless somebody attends it again. Who
        attends takes it over from whoever did; so it is the client that decides to do so again.
        """
        raise NotImplementedError

    @rpc(idempotent=True)
    async def session(self, session: str) -> SessionState:
        """Where a session stands; what a client asks that does not know its last number."""
        raise NotImplementedError

    @rpc(idempotent=True, errors=[ReportsGoneError])
    async def reports(self, session: str, after: int, limit: int) -> Reports:
        """What happened to the session's orders, also without its doing, oldest first."""
        raise NotImplementedError

    @rpc(timeout=DAY, errors=[DeskError, ReportsGoneError])
    def follow(self, session: str, after: int) -> AsyncIterator[Report]:
        """The reports after that sequence: first those that were missed, then each as it happens.

        Ends when the gateway does. ReportsGoneError: some were dropped before they were read, or
        there is no report `after` yet, as at a gateway that has lost its book.
        """
        raise NotImplementedError

    @rpc(idempotent=True)
    async def snapshot(self, depth: int) -> Snapshot:
        """The best `depth` price levels of both sides, order by order."""
        raise NotImplementedError

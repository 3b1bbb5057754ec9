"""A call as its caller's side and as its server's side keep it.

A caller's call ends in exactly one event; its ticket says whether the request can have left.
"""

from typing import Any, Literal, TypeAlias

from machnet_rpc._protocol.outbox import Ticket

Executed: TypeAlias = Literal["no", "maybe", "yes"]
"""Whether a failed call's handler ran: no (it never started), maybe, yes (its end was seen)."""


class OutgoingCall(Ticket):
    """A call that this side made; the ticket is that of its request.

    Owner: `waiter` belongs to the shell that made the call, and is not looked at in here.
    """

    __slots__ = ("call_id", "connection", "deadline_ns", "method_id", "waiter")

    def __init__(self, method_id: int, deadline_ns: int, waiter: Any) -> None:
        self.gone = False
        self.started = False
        self.sent = False
        self.call_id = 0
        self.method_id = method_id
        self.deadline_ns = deadline_ns
        self.waiter = waiter
        self.connection: Any = None

    @property
    def executed(self) -> Executed:
        """What is true of this call if it ends without an answer now."""
        return "maybe" if self.started or self.sent else "no"

    @property
    def stage(self) -> str:
        return "sent" if self.sent else "queued"


class IncomingCall:
    """A call that the peer made and that awaits this side's one answer.

    Owner: `task` belongs to the shell that runs the handler, and is not looked at in here.
    """

    __slots__ = ("answered", "call_id", "connection", "deadline_ns", "method_id", "task")

    def __init__(self, call_id: int, method_id: int, deadline_ns: int, connection: Any) -> None:
        self.answered = False
        self.call_id = call_id
        self.method_id = method_id
        self.deadline_ns = deadline_ns
        self.task: Any = None
        self.connection = connection

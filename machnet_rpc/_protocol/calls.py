"""A call as its caller's side and as its server's side keep it.

A caller's call ends in exactly one event; its ticket says whether the request can have left, and
`heard` what was said of it since.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from machnet_rpc._native import crossing
from machnet_rpc._protocol.outbox import Ticket
from machnet_rpc._protocol.records import USUAL_PRIORITY
from transport_engine._native import lib

Executed: TypeAlias = Literal["no", "maybe", "yes"]
"""Whether a failed call's handler ran: no (it never started), maybe, yes (it started)."""

# How far a call got, in this order; docs/failures.md says what each means.
ENCODING: Final = "encoding"
CONNECTING: Final = "connecting"
LOCAL_RING: Final = "local ring"
SENT: Final = "sent"
ACKNOWLEDGED: Final = "acknowledged"
REMOTE_RING: Final = "remote ring"
TAKEN: Final = "taken"
HANDLER_STARTED: Final = "handler started"
REPLY_SEEN: Final = "reply seen"


# What the peer, or who is left of it, has said of a call; the first three are an enum te_start.
HEARD_NOTHING: Final[int] = lib.TE_UNSTARTED
HEARD_TAKEN: Final[int] = lib.TE_TAKEN
HEARD_STARTED: Final[int] = lib.TE_STARTED
HEARD_NEVER: Final = 3  # its handler never will start


_HEARD_AT: Final = {HEARD_TAKEN: TAKEN, HEARD_STARTED: HANDLER_STARTED}


class Timed:
    """What has a deadline."""

    __slots__ = ("deadline_ns",)

    deadline_ns: int


class OutgoingCall(Ticket):
    """A call that this side made, and that whoever made it awaits; the ticket is its request's.

    Owner: `loop` belongs to the shell that made the call, and makes the future that is awaited.
    """

    __slots__ = (
        "_is_ended",
        "_loop",
        "_result",
        "_waiter",
        "call_id",
        "connection",
        "deadline_ns",
        "heard",
        "method_id",
        "priority",
    )

    def __init__(self, method_id: int, deadline_ns: int, loop: Any) -> None:
        self.gone = False
        self.started = False
        self.sent = False
        self.heard: int = HEARD_NOTHING
        self.call_id: int = 0
        self.method_id: int = method_id
        self.deadline_ns: int = deadline_ns
        self.priority: int = USUAL_PRIORITY  # of all that is sent for it
        self.connection: Any = None
        self._loop = loop
        self._waiter: Any = None
        self._is_ended = False
        self._result: Any = None

    @property
    def executed(self) -> Executed:
        """What is true of this call if it ends without an answer now."""
        if self.heard == HEARD_STARTED:
            return "yes"
        may_be = self.heard != HEARD_NEVER and (self.started or self.sent)
        return "maybe" if may_be else "no"

    @property
    def stage(self) -> str:
        """As far as this side has heard; `Connection.stage_of` asks its engine, too."""
        if self.heard in _HEARD_AT:
            return _HEARD_AT[self.heard]
        return SENT if self.sent else LOCAL_RING

    def complete(self, result: object) -> None:
        """Ends the call for whoever awaits it; does nothing if it has ended, or was cancelled."""
        if self._is_ended:
            return
        self._is_ended = True
        self._result = result
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def get_loop(self) -> Any:
        return self._loop

    def done(self) -> bool:
        """Whether it has ended."""
        return self._is_ended

    def result(self) -> Any:
        """What it ended with. Errors: RuntimeError before that."""
        if not self._is_ended:
            raise RuntimeError("the call has not ended")
        return self._result

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self._is_ended:
            self._waiter = self._loop.create_future()
            yield from self._waiter
        return self._result


class IncomingCall(Timed):
    """A call that the peer made and that awaits this side's one answer.

    Owner: `task`, `binding`, `metadata` and `tally` belong to the shell that runs the handler, and
    are not looked at in here.
    """

    __slots__ = (
        "answered",
        "binding",
        "call_id",
        "connection",
        "metadata",
        "method_id",
        "priority",
        "taken_ns",
        "tally",
        "task",
    )

    def __init__(self, call_id: int, method_id: int, deadline_ns: int, connection: Any) -> None:
        self.answered: bool = False
        self.call_id: int = call_id
        self.method_id: int = method_id
        self.deadline_ns = deadline_ns
        self.task: Any = None
        self.binding: Any = None
        self.tally: Any = None
        self.taken_ns: int = 0
        self.priority: int = USUAL_PRIORITY  # of its request, and so of what answers it
        self.metadata: Any = None
        self.connection: Any = connection


if not TYPE_CHECKING and crossing is not None:
    Timed = crossing.Timed
    OutgoingCall = crossing.OutgoingCall
    IncomingCall = crossing.IncomingCall

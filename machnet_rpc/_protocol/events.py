"""What a connection tells its shell.

Named tuples rather than dataclasses: one is made per call, and they cost a third.
"""

from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias

from machnet_rpc._protocol.calls import Executed, IncomingCall, OutgoingCall


class Cause(Enum):
    """Why a call ended without the peer's answer, or a handler is asked to stop."""

    DEADLINE = "deadline"
    CANCELLED = "cancelled"  # by the caller
    FLOW_CLOSED = "flow closed"
    BROKEN = "broken stream"  # the peer broke the rules of streams


class Replied(NamedTuple):
    """The handler's result."""

    call: OutgoingCall
    payload: bytes


class Refused(NamedTuple):
    """The peer's answer is an error: `status` is its code, `payload` its encoded details."""

    call: OutgoingCall
    status: int
    payload: bytes


class Failed(NamedTuple):
    """The call ended without an answer."""

    call: OutgoingCall
    cause: Cause
    executed: Executed
    stage: str
    reason: int  # enum te_reason, where the flow closed


class Requested(NamedTuple):
    """The peer makes a call, which waits for `Connection.reply` or `Connection.reply_error`."""

    call: IncomingCall
    payload: bytes


class Stopped(NamedTuple):
    """Nobody waits for this call's result any more: its handler should end now."""

    call: IncomingCall
    cause: Cause


class GoneAway(NamedTuple):
    """The peer wants, or makes, no new calls on this connection; those under way are answered."""

    connection: Any


_NOBODYS: Final[Any] = None

Event: TypeAlias = Replied | Refused | Failed | Requested | Stopped | GoneAway


def apart(event: Refused | Failed) -> Refused | Failed:
    """The same without its call, which can end with it then: they would hold each other."""
    return event._replace(call=_NOBODYS)

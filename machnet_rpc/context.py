"""The call that a handler is answering: where it came from and how much time is left."""

import time
from contextvars import ContextVar
from typing import Final

from machnet_rpc._protocol.calls import IncomingCall
from machnet_rpc._protocol.connection import NO_DEADLINE_NS


class CurrentCall:
    """Facts about the call that runs in this task; calls that it makes inherit its deadline."""

    __slots__ = ("deadline_ns", "method", "peer")

    def __init__(self, method: str, peer: str, deadline_ns: int) -> None:
        self.method = method
        self.peer = peer
        self.deadline_ns = deadline_ns  # on time.monotonic_ns

    def __repr__(self) -> str:
        return f"<CurrentCall {self.method} from {self.peer}, {self.remaining} s left>"

    @property
    def remaining(self) -> float | None:
        """Seconds until the caller's deadline, not below 0; None if the caller set none."""
        if self.deadline_ns == NO_DEADLINE_NS:
            return None
        return max(self.deadline_ns - time.monotonic_ns(), 0) / 1e9


CURRENT: Final[ContextVar[IncomingCall | None]] = ContextVar("machnet_rpc.call", default=None)


def current_call() -> CurrentCall:
    """The call that the running handler answers.

    Errors: LookupError outside of a handler.
    """
    call = CURRENT.get()
    if call is None:
        raise LookupError("current_call() is for handlers: no call is being answered here")
    return CurrentCall(call.binding.full_name, call.connection.peer, call.deadline_ns)

"""The call that a handler is answering: where it came from and how much time is left."""

import time
from contextvars import ContextVar
from typing import Final, Protocol

from machnet_rpc._protocol.calls import IncomingCall
from machnet_rpc._protocol.connection import NO_DEADLINE_NS


class Keyed(Protocol):
    """A call of a keyed method."""

    @property
    def key(self) -> str: ...

    def taken(self, result: object, /) -> bytes: ...


class CurrentCall:
    """Facts about the call that runs in this task; calls that it makes inherit its deadline."""

    __slots__ = ("_keyed", "deadline_ns", "method", "peer")

    def __init__(self, method: str, peer: str, deadline_ns: int, keyed: Keyed | None) -> None:
        self.method = method
        self.peer = peer
        self.deadline_ns = deadline_ns  # on time.monotonic_ns
        self._keyed = keyed

    def __repr__(self) -> str:
        return f"<CurrentCall {self.method} from {self.peer}, {self.remaining} s left>"

    @property
    def remaining(self) -> float | None:
        """Seconds until the caller's deadline, not below 0; None if the caller set none."""
        if self.deadline_ns == NO_DEADLINE_NS:
            return None
        return max(self.deadline_ns - time.monotonic_ns(), 0) / 1e9

    @property
    def key(self) -> str | None:
        """Under which a ReplyStore is asked for this call's reply; None if it is not keyed."""
        return None if self._keyed is None else self._keyed.key

    def reply_to_store(self, result: object) -> bytes:
        """The reply with this result, for a handler that commits it with what it did.

        Whoever asks for it stores it, under `key`: the server does not. Errors: LookupError where
        the method is not keyed; RpcError if the result cannot be sent.
        """
        if self._keyed is None:
            raise LookupError(f"{self.method} is not keyed")
        return self._keyed.taken(result)


CURRENT: Final[ContextVar[IncomingCall | None]] = ContextVar("machnet_rpc.call", default=None)


def current_call() -> CurrentCall:
    """The call that the running handler answers.

    Errors: LookupError outside of a handler.
    """
    call = CURRENT.get()
    if call is None:
        raise LookupError("current_call() is for handlers: no call is being answered here")
    keyed = None if call.task is None else call.task.keyed
    return CurrentCall(call.binding.full_name, call.connection.peer, call.deadline_ns, keyed)

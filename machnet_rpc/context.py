"""The call that a handler is answering: where it came from and how much time is left."""

from contextvars import ContextVar
from typing import Final, Protocol

from machnet_rpc import _clock
from machnet_rpc._metadata import Carried, visible
from machnet_rpc._options import Metadata
from machnet_rpc._protocol.calls import IncomingCall
from machnet_rpc._protocol.connection import NO_DEADLINE_NS
from machnet_rpc._trace_context import TraceContext


class Keyed(Protocol):
    """A call of a keyed method."""

    @property
    def key(self) -> str: ...

    def taken(self, result: object, /) -> bytes: ...


class CurrentCall:
    """Facts about the call that runs in this task; calls that it makes inherit its deadline."""

    __slots__ = ("_call", "_keyed", "deadline_ns", "method", "peer")

    def __init__(self, call: IncomingCall) -> None:
        self.method: str = call.binding.full_name
        self.peer: str = call.connection.peer
        self.deadline_ns: int = call.deadline_ns  # on time.monotonic_ns
        self._call = call
        self._keyed: Keyed | None = None if call.task is None else call.task.keyed

    def __repr__(self) -> str:
        return f"<CurrentCall {self.method} from {self.peer}, {self.remaining} s left>"

    @property
    def remaining(self) -> float | None:
        """Seconds until the caller's deadline, not below 0; None if the caller set none."""
        if self.deadline_ns == NO_DEADLINE_NS:
            return None
        return _clock.seconds_until(self.deadline_ns)

    @property
    def metadata(self) -> Metadata:
        """What the caller sent with its request, by names."""
        return visible(self._call.metadata)

    @property
    def trace(self) -> TraceContext | None:
        """Where the caller says that the call stands in a trace; None if it says nothing valid."""
        return TraceContext.of(self._call.metadata)

    @property
    def reply_metadata(self) -> Metadata:
        """What goes with the reply, whatever that is: put text or bytes in by names.

        The reply of a keyed call is kept without.
        """
        if self._call.metadata is None:
            self._call.metadata = Carried()
        reply: Metadata = self._call.metadata.reply
        return reply

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
    return CurrentCall(call)

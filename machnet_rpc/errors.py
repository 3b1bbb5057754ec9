"""What a call can fail with, sorted by who must react.

Every RpcError says what happened, to which method of which peer, how far the call got (`stage`),
whether its handler ran (`executed`) and what to do next (`next_step`). Codes are gRPC's sixteen.
"""

from enum import IntEnum
from typing import Final

from machnet_rpc._protocol.calls import Executed


class Code(IntEnum):
    """Why a call failed; names and numbers are those of gRPC."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RpcError(Exception):
    """A call failed. A handler raises one (or a subclass) to answer with its code.

    `executed` is "no" if the handler never started, "yes" if it started, else "maybe".
    `attempts` says how often the call was made, and `earlier` how the attempt before the last
    failed; `executed` is then true of all of them.
    """

    code: Code = Code.UNKNOWN
    message: str = ""  # these are here for subclasses whose __init__ does not call this one
    executed: Executed = "maybe"
    method: str = ""
    peer: str = ""
    stage: str = ""
    next_step: str = ""
    attempts: int = 1
    earlier: str = ""
    is_passing: bool = False  # the server refused it, and may take the same call soon

    def __init__(
        self,
        message: str = "",
        *,
        code: Code | None = None,
        executed: Executed = "maybe",
        method: str = "",
        peer: str = "",
        stage: str = "",
        next_step: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.executed = executed
        self.method = method
        self.peer = peer
        self.stage = stage
        self.next_step = next_step

    def __str__(self) -> str:
        target = " at ".join(part for part in (self.method, self.peer) if part)
        said = ": ".join(part for part in (target, self.message) if part)
        facts = [_name_of(self.code)]
        if self.stage:
            facts += [f"stage: {self.stage}", f"executed: {self.executed}"]
        if self.attempts > 1:
            facts.append(f"{self.attempts} attempts, the one before ended as {self.earlier}")
        said = f"{said} ({', '.join(facts)})" if said else ", ".join(facts)
        return f"{said}. {self.next_step}" if self.next_step else said

    def as_dict(self) -> dict[str, str]:
        """All of it as plain text, for logs and `--json`."""
        retried = {"attempts": str(self.attempts), "earlier": self.earlier}
        return (retried if self.attempts > 1 else {}) | {
            "code": _name_of(self.code),
            "message": self.message,
            "executed": self.executed,
            "method": self.method,
            "peer": self.peer,
            "stage": self.stage,
            "next_step": self.next_step,
        }


def _name_of(code: int) -> str:
    """Of the user's own errors, too, whose code may be none, and travels as UNKNOWN."""
    try:
        return Code(code).name
    except ValueError:
        return f"UNKNOWN, since {code!r} is no code"


class Cancelled(RpcError):
    """The caller, or a server that shut down, gave the call up."""

    code = Code.CANCELLED


class InvalidArgument(RpcError):
    """The arguments are not what the contract, or the handler, asks for."""

    code = Code.INVALID_ARGUMENT


class DeadlineExceeded(RpcError):
    """The call's time was over before its answer came."""

    code = Code.DEADLINE_EXCEEDED


class NotFound(RpcError):
    """What the call names does not exist."""

    code = Code.NOT_FOUND


class AlreadyExists(RpcError):
    """What the call creates exists already."""

    code = Code.ALREADY_EXISTS


class PermissionDenied(RpcError):
    """The caller may not do this."""

    code = Code.PERMISSION_DENIED


class ResourceExhausted(RpcError):
    """A limit was reached: calls under way, payload size, a quota."""

    code = Code.RESOURCE_EXHAUSTED


class FailedPrecondition(RpcError):
    """The system is not in the state that the call needs; do not retry before it is."""

    code = Code.FAILED_PRECONDITION


class Aborted(RpcError):
    """A conflict with other calls; try the whole transaction again."""

    code = Code.ABORTED


class Unimplemented(RpcError):
    """The server has no such service or method."""

    code = Code.UNIMPLEMENTED


class Internal(RpcError):
    """The server broke its own contract."""

    code = Code.INTERNAL


class Unavailable(RpcError):
    """The server cannot be reached, left, or died; `executed` says if a retry is safe."""

    code = Code.UNAVAILABLE


class Unauthenticated(RpcError):
    """The caller did not prove who it is."""

    code = Code.UNAUTHENTICATED


_CLASSES: Final = (
    Cancelled,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    Unimplemented,
    Internal,
    Unavailable,
    Unauthenticated,
)
BY_CODE: Final[dict[Code, type[RpcError]]] = {kind.code: kind for kind in _CLASSES}


class ContractError(TypeError):
    """A service is declared or implemented wrongly; raised when a server or a stub is built."""


class AddressError(ValueError):
    """An address is not "host:port", or its host is unknown."""


def error_of(code: Code) -> type[RpcError]:
    """The class that stands for a code; RpcError itself for those that need no class."""
    return BY_CODE.get(code, RpcError)

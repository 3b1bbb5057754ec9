"""What callers are told of calls that gave no result: errors that say if their handlers ran."""

from typing import Final

from machnet_rpc import _faults, _reasons
from machnet_rpc._aio.flows import NoFlow
from machnet_rpc._protocol.calls import ACKNOWLEDGED, CONNECTING, ENCODING, REPLY_SEEN
from machnet_rpc._protocol.events import Cause, Failed, Refused
from machnet_rpc.errors import (
    Cancelled,
    DeadlineExceeded,
    Internal,
    ResourceExhausted,
    RpcError,
    Unavailable,
)
from transport_engine.errors import TransportError

FAILURES: Final = (Refused, Failed)
"""How a call ends that has no result."""


def unsent(error: RpcError, name: str, peer: str, stage: str = ENCODING) -> RpcError:
    """The error of a call whose request never left."""
    error.executed, error.stage = "no", stage
    error.method, error.peer = name, peer
    return error


def unreached(error: NoFlow | TransportError, name: str, peer: str) -> RpcError:
    """There was no flow to send the request on."""
    if isinstance(error, NoFlow):
        late = " (until the call's time was over)" if error.is_late else ""
        failure = Unavailable(f"{error.message}{late}", next_step=error.next_step)
    else:
        failure = Unavailable(str(error))
    return unsent(failure, name, peer, CONNECTING)


def undecoded(error: Exception, name: str, peer: str) -> RpcError:
    """A result came that is none."""
    return Internal(
        f"the result is not what the contract says: {error}",
        executed="yes",
        method=name,
        peer=peer,
        stage=REPLY_SEEN,
        next_step="Compare the contract here with the server's (`mrpc ls`).",
    )


def too_large(size: int, size_max: int) -> RpcError:
    """The arguments do not fit into a message."""
    return ResourceExhausted(
        f"the arguments are {size} bytes, and the peer takes at most {size_max} in a message",
        next_step="Send less at once, or raise message_bytes_max in the engines' limits.",
    )


def failure_of(
    answer: Refused | Failed, name: str, errors: dict[str, type[Exception]], peer: str
) -> Exception:
    """The exception for an answer that is no result. `errors` are those of the contract."""
    if isinstance(answer, Refused):
        return _faults.decode(answer.status, answer.payload, errors, name, peer)
    failure = _failure(answer)
    failure.executed, failure.stage = answer.executed, answer.stage
    failure.method, failure.peer = name, peer
    return failure


def _failure(failed: Failed) -> RpcError:
    if failed.cause is Cause.DEADLINE:
        return DeadlineExceeded("no answer came within the call's time", next_step=_late(failed))
    if failed.cause is Cause.CANCELLED:
        return Cancelled("the call was cancelled")
    if failed.cause is Cause.BROKEN:
        return Internal("the server broke the rules of streams, so the call was ended")
    message, next_step = _reasons.sentence(failed.reason)
    return Unavailable(message, next_step=next_step)


def _late(failed: Failed) -> str:
    """What to do about a call that took too long, by what is known of its way."""
    if failed.stage == ACKNOWLEDGED:
        return (
            "The engine there has the request: see what keeps the server's event loop from it, or "
            "its answer on the way back, or give the call a longer timeout."
        )
    return "Give it a longer timeout, or find out what holds the server up."

"""W3C Trace Context: what says which trace a call belongs to goes on to the calls that follow it.

Servers find it in the metadata of a call; a client that has the middleware `propagate` sends it.
Records nothing: machnet_rpc.telemetry does, by OpenTelemetry.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from machnet_rpc._metadata import add_where_it_fits
from machnet_rpc._protocol.calls import IncomingCall
from machnet_rpc._trace_context import TRACEPARENT, TraceContext
from machnet_rpc.context import CURRENT
from machnet_rpc.middleware import CallInfo, Next, Request

__all__ = ["TraceContext", "current_trace", "propagate", "within"]

# With the call that was being answered then: a handler does not inherit what its server was in.
_ENTERED: Final[ContextVar[tuple[IncomingCall | None, TraceContext | None] | None]] = ContextVar(
    "machnet_rpc.trace", default=None
)


def current_trace() -> TraceContext | None:
    """What calls that are made here belong to: the innermost `within`, or the call being answered.

    None outside of any trace.
    """
    call, entered = CURRENT.get(), _ENTERED.get()
    if entered is not None and entered[0] is call:
        return entered[1]
    return None if call is None else TraceContext.of(call.metadata)


@contextmanager
def within(trace: TraceContext | None) -> Generator[None]:
    """Calls that are made in the block belong to this trace; with None to none."""
    token = _ENTERED.set((CURRENT.get(), trace))
    try:
        yield
    finally:
        _ENTERED.reset(token)


async def propagate(call: CallInfo, request: Request, following: Next) -> Any:
    """A client's middleware: its calls carry `current_trace()`, unchanged, if there is one.

    What the application gives a call as `traceparent` itself stays as it is.
    """
    if call.side == "client" and TRACEPARENT not in call.metadata:
        trace = current_trace()
        if trace is not None:
            add_where_it_fits(call.metadata, trace.as_metadata())
    return await following(request)

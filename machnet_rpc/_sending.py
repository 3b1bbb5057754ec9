"""How one unary request leaves a client, and what its answer means.

A call waits within its deadline for a flow and for room to send. Does not know of contracts whose
methods are called by stubs, of attempts, and of what else calls may be.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from idl import CodecError
from machnet_rpc import _clock
from machnet_rpc._aio.belonging import loop_if_any
from machnet_rpc._aio.exchange import Exchange
from machnet_rpc._aio.flows import FlowKeeper, NoFlow
from machnet_rpc._binding import MethodBinding
from machnet_rpc._calling import Target
from machnet_rpc._native import crossing
from machnet_rpc._options import CallOptions
from machnet_rpc._outcomes import FAILURES, failure_of, too_large, undecoded, unreached, unsent
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.events import Failed, Refused
from machnet_rpc._protocol.records import USUAL_PRIORITY
from machnet_rpc.context import CURRENT
from machnet_rpc.errors import DeadlineExceeded
from transport_engine.errors import TransportError

BeginUsual: TypeAlias = Callable[[bytes | memoryview], OutgoingCall | None]  # None: not so


class Usual(NamedTuple):
    """How the usual calls of one method are made: with a payload alone, for one result."""

    begin: BeginUsual
    takes_bytes: bool
    gives_bytes: bool
    binding: MethodBinding


class UsualCalls(dict[Any, Usual | None]):
    """By method; None for those that are not usual, or not bound yet.

    They begin in C (machnet_rpc/csrc/requester.c), unless messages cross in Python.
    """

    def __init__(
        self, keeper: FlowKeeper, bindings: Mapping[Any, MethodBinding], options: CallOptions | None
    ) -> None:
        """`options` of all these calls; None: each has its own, and begins in Python."""
        super().__init__()
        self._keeper = keeper
        self._bindings = bindings
        self._options = options

    def __missing__(self, method: Any) -> Usual | None:
        binding = self._bindings.get(method)
        if binding is None:
            return None
        begin: BeginUsual = _left_to_python
        loop = self._keeper.loop
        is_here = loop is not None and loop_if_any() is loop
        if self._options is not None and loop is not None and is_here:
            begin = self._begin_of(binding, self._options, loop)
        usual = Usual(begin, binding.takes_bytes, binding.gives_bytes, binding)
        if is_here:
            self[method] = usual
        return usual

    def _begin_of(
        self, binding: MethodBinding, options: CallOptions, loop: asyncio.AbstractEventLoop
    ) -> BeginUsual:
        if crossing is None or _clock.is_virtual():
            return _left_to_python
        timeout = binding.options.timeout if options.timeout is None else options.timeout
        how = Exchange(
            binding.method_id,
            max(int(timeout * 1e9), 0),  # less is no time, too
            binding.options.lane,
            USUAL_PRIORITY if options.priority is None else options.priority,
            loop,
            0,
        )
        begin: BeginUsual = crossing.Requester(how, CURRENT, self._keeper, loop_if_any).begin
        return begin


def _left_to_python(payload: bytes | memoryview) -> None:
    del payload


class Sending:
    """Requests to one address. Thread: that of its event loop."""

    def __init__(self, keeper: FlowKeeper) -> None:
        self._keeper = keeper

    @property
    def address(self) -> str:
        return self._keeper.address

    def _result(self, answer: bytes | Refused | Failed, binding: MethodBinding) -> Any:
        if isinstance(answer, FAILURES):
            raise failure_of(answer, binding.full_name, binding.errors, self.address)
        try:
            return binding.result.decode(answer)
        except CodecError as error:
            raise undecoded(error, binding.full_name, self.address) from None

    def _begun(
        self, target: Target | MethodBinding, payload: bytes | memoryview, options: CallOptions
    ) -> OutgoingCall | None:
        """A call that is on its way; None where it has to wait for a flow, or for room.

        Errors: RpcError; RuntimeError where the client does not belong.
        """
        now_ns = _clock.monotonic_ns()
        deadline_ns = self._deadline(target, options, now_ns)
        return self._sent(target, payload, deadline_ns, now_ns, options.priority)

    def _sent(
        self,
        target: Target | MethodBinding,
        payload: bytes | memoryview,
        deadline_ns: int,
        now_ns: int,
        priority: int | None,
        flags: int = 0,
    ) -> OutgoingCall | None:
        """As `_begun`, with a deadline that is not over."""
        if loop_if_any() is not self._keeper.loop:
            self._keeper.check_here()
        connection = self._keeper.connection
        if connection is None or not connection.is_usable or connection.outbox.full:
            return None
        if len(payload) > connection.message_bytes_max:
            raise unsent(
                too_large(len(payload), connection.message_bytes_max),
                target.full_name,
                self.address,
            )
        return connection.request(
            payload,
            target.method_id,
            deadline_ns,
            now_ns,
            target.options.lane,
            priority,
            flags,
            self._keeper.loop,
        )

    async def _begun_later(
        self, target: Target | MethodBinding, payload: bytes | memoryview, options: CallOptions
    ) -> OutgoingCall:
        deadline_ns = self._deadline(target, options, _clock.monotonic_ns())
        while True:
            await self._ready(target, deadline_ns, options)
            left = options.within((deadline_ns - _clock.monotonic_ns()) / 1e9)
            call = self._begun(target, payload, left)
            if call is not None:
                return call

    async def _ready(
        self, target: Target | MethodBinding, deadline_ns: int, options: CallOptions
    ) -> Connection:
        """A connection for new calls, and room there."""
        try:
            return await self._keeper.usable(deadline_ns, wait=options.wait is not False)
        except NoFlow as error:
            raise unreached(error, target.full_name, self.address) from None
        except TransportError as error:
            raise unreached(error, target.full_name, self.address) from error

    def _deadline(self, target: Target | MethodBinding, options: CallOptions, now_ns: int) -> int:
        """The method's or the caller's, within that of the handler that makes the call."""
        timeout = target.options.timeout if options.timeout is None else options.timeout
        deadline_ns = now_ns + int(timeout * 1e9)
        current = CURRENT.get()
        if current is not None and current.deadline_ns < deadline_ns:
            deadline_ns = current.deadline_ns
        if deadline_ns <= now_ns:
            next_step = ""
            if current is not None and deadline_ns == current.deadline_ns:
                next_step = (
                    f"It is made for {current.binding.full_name}, whose own time is over: a task "
                    "that outlives its call starts with context=contextvars.Context()."
                )
            raise unsent(
                DeadlineExceeded("no time is left for the call", next_step=next_step),
                target.full_name,
                self.address,
            )
        return deadline_ns

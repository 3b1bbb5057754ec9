"""A client's unary calls that carry more than a payload: a key, metadata, or both.

All attempts of a keyed call have one key. Does not know what a server does with it.
"""

from collections.abc import Callable
from typing import Any

from machnet_rpc import _clock
from machnet_rpc._aio.giving_up import answer_of
from machnet_rpc._binding import MethodBinding
from machnet_rpc._calling import Target
from machnet_rpc._client_calls import Ways, carrying
from machnet_rpc._many import Payload, Steps
from machnet_rpc._metadata import KEY, KEY_AGE, fresh_key
from machnet_rpc._options import CallOptions, Metadata
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.records import METADATA
from machnet_rpc._retries import may_pass
from machnet_rpc.errors import RpcError

_MS_NS = 1_000_000


class CarryingCall:
    """One call, however often it is sent."""

    def __init__(
        self,
        ways: Ways,
        target: Target | MethodBinding,
        payload: bytes | memoryview,
        options: CallOptions,
        result_of: Callable[[Any, Any], Any],
    ) -> None:
        self._ways = ways
        self._target = target
        self._is_keyed = target.options.idempotent == "keyed"
        self._payload = bytes(payload)  # all attempts have the same
        self._options = options
        self._result_of = result_of
        self._metadata: Metadata = dict(options.metadata or {})
        if self._is_keyed:
            self._metadata[KEY] = fresh_key() if options.key is None else options.key
        self._timeout_ns = 0  # what it had at its start

    def __repr__(self) -> str:
        return f"<CarryingCall {self._target.full_name} {self._metadata}>"

    async def run(self) -> Any:
        """Errors: RpcError, and what the contract declares."""
        return await self.outcome(await self.start())

    async def start(self) -> OutgoingCall:
        """Sends it for the first time. Errors: RpcError."""
        now_ns = _clock.monotonic_ns()
        deadline_ns = self._ways.deadline(self._target, self._options, now_ns)
        self._timeout_ns = deadline_ns - now_ns
        call = self._sent(self._metadata, deadline_ns)
        return await self._sent_later(self._metadata, deadline_ns) if call is None else call

    async def outcome(self, call: OutgoingCall) -> Any:
        """What the first attempt gives, or another one. Errors: as `run`."""
        retries, is_idempotent = self._ways.retries, self._target.options.idempotent
        try:
            return self._result_of(await answer_of(call), self._target)
        except RpcError as failure:
            if retries is None or not is_idempotent or not may_pass(failure):
                raise await self._explained(failure, call) from None
            try:
                return await retries.go_on(failure, call, self._timeout_ns, self)
            except RpcError as last:
                raise await self._explained(last, call) from None

    # -- for the retries --

    async def begin(self, deadline_ns: int, since_ns: int | None) -> OutgoingCall:
        metadata = self._metadata
        if since_ns is not None and self._is_keyed:
            metadata = {**metadata, KEY_AGE: str((deadline_ns - since_ns) // _MS_NS + 1)}
        return await self._sent_later(metadata, deadline_ns)

    async def end(self, call: OutgoingCall) -> Any:
        return self._result_of(await answer_of(call), self._target)

    async def _sent_later(self, metadata: Metadata, deadline_ns: int) -> OutgoingCall:
        """As soon as there is a flow, and room. Errors: RpcError."""
        ways, target, options = self._ways, self._target, self._options
        while True:
            now_ns = _clock.monotonic_ns()
            ways.deadline(target, options.within((deadline_ns - now_ns) / 1e9), now_ns)  # not over
            await ways.ready(target, deadline_ns, options)
            call = self._sent(metadata, deadline_ns)
            if call is not None:
                return call

    def _sent(self, metadata: Metadata, deadline_ns: int) -> OutgoingCall | None:
        """None: there is no flow, no room or no time."""
        ways, target, payload, flags = self._ways, self._target, self._payload, 0
        if metadata:
            payload, flags = carrying(ways.keeper.address, target, metadata, payload), METADATA
        now_ns, priority = _clock.monotonic_ns(), self._options.priority
        if deadline_ns <= now_ns:
            return None
        call = ways.sent(target, payload, deadline_ns, now_ns, priority, flags)
        if call is not None and self._options.reply_metadata is not None:
            call.connection.reply_metadata[call.call_id] = self._options.reply_metadata
        return call

    async def _explained(self, failure: RpcError, call: OutgoingCall) -> RpcError:
        return await self._ways.explained(self._target, failure, call, self._options)


def carrying_steps(
    ways: Ways, binding: MethodBinding, options: CallOptions, result_of: Callable[[Any, Any], Any]
) -> Steps:
    """How `call_many` makes such calls, each of which has a key of its own."""

    async def begin(payload: Payload, waited_ns: int) -> tuple[OutgoingCall, CarryingCall]:
        left = options.after(waited_ns, binding.options.timeout)
        call = CarryingCall(ways, binding, payload, left, result_of)
        return await call.start(), call

    async def outcome(sent: OutgoingCall, call: CarryingCall) -> Any:
        return await call.outcome(sent)

    return Steps(lambda _: None, begin, lambda answer: result_of(answer, binding), outcome)

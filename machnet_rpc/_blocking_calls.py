"""Calls of the blocking client that are answered once: by C, by the ring, or by the asyncio client.

What carries more than arguments (a key, metadata, middleware) is the asyncio client's.
"""

from collections.abc import Callable, Coroutine, Mapping
from time import monotonic
from typing import Any, Generic, ParamSpec, TypeVar

from idl import CodecError
from machnet_rpc._aio.exchange import Exchange
from machnet_rpc._binding import MethodBinding
from machnet_rpc._blocking import Blocking, ClientBusy, ClientClosed, seconds_left
from machnet_rpc._options import CallOptions, Metadata, check_keyed
from machnet_rpc._outcomes import failure_of, unsent
from machnet_rpc._private_loop import EndLost
from machnet_rpc._protocol.calls import CONNECTING, LOCAL_RING, SENT, OutgoingCall
from machnet_rpc._protocol.events import Cause, Failed, Refused
from machnet_rpc._protocol.records import USUAL_PRIORITY
from machnet_rpc.errors import (
    DeadlineExceeded,
    InvalidArgument,
    RpcError,
    Unavailable,
)
from machnet_rpc.service import Method

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


def blocking_method(
    blocking: Blocking,
    method: Method[P, Coroutine[Any, Any, R]],
    binding: MethodBinding,
    options: CallOptions,
) -> "BlockingMethod[P, R]":
    """The method, past Python where that can be."""
    if blocking.has_middleware or options.carries or not binding.is_plain:
        return CarryingMethod(blocking, method, binding, options)
    return BlockingMethod(blocking, method, binding, options).quick


class BlockingMethod(Generic[P, R_co]):
    """A method to call, by a stub or from `Client.method`: call it, or say how with `using`."""

    __slots__ = (
        "_binding",
        "_blocking",
        "_exchange",
        "_gives_bytes",
        "_how",
        "_is_plain",
        "_method",
        "_options",
        "_takes_bytes",
    )

    def __init__(
        self,
        blocking: Blocking,
        method: Method[P, Coroutine[Any, Any, R_co]],
        binding: MethodBinding,
        options: CallOptions,
    ) -> None:
        timeout = binding.options.timeout if options.timeout is None else options.timeout
        self._blocking = blocking
        self._method = method
        self._binding = binding
        self._options = options
        self._how = Exchange(
            binding.method_id,
            int(timeout * 1e9),
            binding.options.lane,
            USUAL_PRIORITY if options.priority is None else options.priority,
            blocking.loop,
            int(blocking.spin * 1e9),
        )
        self._takes_bytes = binding.takes_bytes
        self._gives_bytes = binding.gives_bytes
        self._is_plain = binding.is_plain and self._how.timeout_ns > 0  # 0 would be no deadline
        caller = blocking.caller(self._how) if self._is_plain else None
        self._exchange = _later if caller is None else caller.exchange

    def __repr__(self) -> str:
        return f"<{self._binding.full_name} at {self._blocking.client.address}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Errors: RpcError, and what the contract declares."""
        payload: bytes | memoryview
        if self._takes_bytes and len(args) == 1 and type(args[0]) is bytes and not kwargs:
            payload = args[0]
        else:
            payload = self._encoded(args, kwargs)
        answer: Any = self._exchange(payload)
        if answer.__class__ is not bytes:
            answer = self._not_at_once(answer, payload)
        elif not self._gives_bytes:
            answer = self._decoded(answer, payload)
        result: R_co = answer
        return result

    @property
    def quick(self) -> "BlockingMethod[P, R_co]":
        """This method, past Python where that can be."""
        if not (self._is_plain and self._takes_bytes):
            return self
        kinds = True, self._gives_bytes
        quick: BlockingMethod[P, R_co] | None
        quick = self._blocking.caller(self._how, self, self._given, *kinds)
        return quick or self

    def using(
        self,
        *,
        timeout: float | None = None,
        wait: bool | None = None,
        key: str | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
        reply_metadata: Metadata | None = None,
        priority: int | None = None,
    ) -> "BlockingMethod[P, R_co]":
        """The same method with other options; see BoundMethod.using.

        Errors: ContractError, InvalidArgument.
        """
        check_keyed(self._binding.full_name, key, is_keyed=self._binding.is_keyed)
        options = self._options.using(timeout, wait, key, metadata, reply_metadata, priority)
        return blocking_method(self._blocking, self._method, self._binding, options)

    def _given(self, payload: bytes, answer: bytes | OutgoingCall | None) -> Any:
        """The result, where a call of bytes was not answered by bytes that are it."""
        if type(answer) is bytes:
            return self._decoded(answer, payload)
        return self._not_at_once(answer, payload)

    def _encoded(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes | memoryview:
        try:
            return self._binding.arguments.encode(args, kwargs)
        except CodecError as error:
            raise unsent(
                InvalidArgument(str(error)),
                self._binding.full_name,
                self._blocking.client.address,
            ) from None

    def _decoded(self, answer: bytes, payload: bytes | memoryview) -> Any:
        try:
            return self._binding.result.decode(answer)
        except CodecError:  # the asyncio client finds out why
            call = self._blocking.ended_call(answer, self._how)
            return self._outcome(call, payload)

    def _outcome(self, call: OutgoingCall, payload: bytes | memoryview) -> Any:
        client, binding = self._blocking.client, self._binding
        try:
            left, sent = seconds_left(call), (call, binding, payload, self._options)
            return self._blocking.run(left, client.outcome, *sent)
        except ClientClosed:  # meanwhile, by another thread, which ended the call
            answer = call.result()
        except ClientBusy:  # other threads were inside until its deadline
            answer = call.result() if call.done() else _late(call)
        if isinstance(answer, Refused | Failed):
            raise failure_of(answer, binding.full_name, binding.errors, client.address)
        return binding.result.decode(answer)

    def _not_at_once(self, answer: bytes | OutgoingCall | None, payload: bytes | memoryview) -> Any:
        """What another is inside for, failed, was long under way, or waits for a flow or room."""
        if answer is None and self._is_plain:
            answer = self._blocking.exchange(payload, self._how)
        if type(answer) is bytes:
            return answer if self._gives_bytes else self._decoded(answer, payload)
        if isinstance(answer, OutgoingCall):
            return self._outcome(answer, payload)
        return self._made(self._blocking.client.send, self._binding, payload)

    def _made(self, make: Callable[..., Coroutine[Any, Any, Any]], *given: Any) -> Any:
        """What the asyncio client makes of the call; the options are the last that it is given."""
        seconds = self._how.timeout_ns / 1e9
        late = monotonic() + seconds

        async def made() -> Any:
            return await make(*given, self._options._replace(timeout=late - monotonic()))

        return run(self._blocking, self._binding.full_name, seconds, made)


class CarryingMethod(BlockingMethod[P, R_co]):
    """One whose calls carry more than arguments, or pass middleware."""

    __slots__ = ()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        result: R_co = self._made(self._blocking.client.invoke, self._method, args, kwargs)
        return result


def _late(call: OutgoingCall) -> Failed:
    """Its end, to which whoever is inside comes later."""
    stage = call.connection.stage_of(call)
    return Failed(call, Cause.DEADLINE, call.executed, stage, 0)


def _later(payload: bytes | memoryview) -> None:
    """For calls that nothing makes past the loop."""


def run(
    blocking: Blocking,
    name: str,
    seconds: float,
    function: Callable[..., Coroutine[Any, Any, T]],
    *args: Any,
    was_begun: bool = False,
) -> T:
    """Runs a coroutine of the asyncio client, within the time of the call that it is for.

    Errors: RpcError, and what it raises.
    """
    try:
        return blocking.run(seconds, function, *args, is_bounded=was_begun)
    except ClientClosed:
        step = "End its calls before it closes." if was_begun else "Make calls before it closes."
        failure: RpcError = Unavailable("the client is closed", next_step=step)
        stage = CONNECTING
    except ClientBusy as busy:
        step = "Give each thread a client of its own."
        failure, stage = DeadlineExceeded(str(busy), next_step=step), LOCAL_RING
    except EndLost as lost:
        failure, stage, was_begun = DeadlineExceeded(str(lost)), SENT, True
    try:
        unsent(failure, name, blocking.client.address, stage)
        if was_begun:
            failure.executed, failure.stage = "maybe", SENT
        raise failure
    finally:
        del failure  # its traceback holds this

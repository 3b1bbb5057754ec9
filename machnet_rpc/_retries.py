"""When a failed call is made again, how soon, and how often all calls of a client may be.

Entered by failures only: what succeeds costs nothing here, and the calls that a budget is a share
of are counted by the ids that they have anyway. Does not know how calls travel.
Source: the budget is Finagle's RetryBudget, whose deposits leak away instead of expiring at once;
pauses are the "full jitter" of Marc Brooker, "Exponential Backoff And Jitter" (2015).
"""

import asyncio
import math
import random
from dataclasses import dataclass
from typing import Any, Final, Protocol

from machnet_rpc import _clock
from machnet_rpc._protocol.calls import CONNECTING, HANDLER_STARTED, Executed, OutgoingCall
from machnet_rpc.errors import Code, InvalidArgument, RpcError

MEMORY_SECONDS: Final = 10.0  # after which a share of 1/e is left of what a call has put in
_RANKS: Final[dict[Executed, int]] = {"no": 0, "maybe": 1, "yes": 2}
_DOUBLINGS_MAX: Final = 30
SPENT: Final = "the client's budget of retries is spent"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How calls of methods that are idempotent are made again. Units: seconds.

    A call is made at most `attempts_max` times, each after a random pause of up to `first_pause`,
    twice that, and so on to `longest_pause`. All retries of a client together are at most `share`
    of its calls, and `minimum` in every second whatever it calls.
    """

    attempts_max: int = 5
    first_pause: float = 0.02
    longest_pause: float = 1.0
    share: float = 0.1
    minimum: float = 10.0

    def __post_init__(self) -> None:
        if self.attempts_max < 1:
            raise ValueError(f"attempts_max={self.attempts_max} must be at least 1")
        if not 0 <= self.first_pause <= self.longest_pause < math.inf:
            raise ValueError("pauses must be 0 <= first_pause <= longest_pause seconds")
        if not (0 <= self.share < math.inf and 0 <= self.minimum < math.inf):
            raise ValueError("share and minimum must not be negative")

    def pause(self, attempts: int) -> float:
        """For how long to wait after so many attempts."""
        doublings = min(attempts - 1, _DOUBLINGS_MAX)
        longest = min(self.first_pause * 2.0**doublings, self.longest_pause)
        return random.uniform(0.0, longest)  # noqa: S311 (spreads load, keeps no secret)


RETRIES: Final = RetryPolicy()


class RetryBudget:
    """What a client may still spend on retries."""

    def __init__(self, policy: RetryPolicy, now_ns: int) -> None:
        self._share = policy.share
        self._minimum = policy.minimum
        self._left = policy.minimum * MEMORY_SECONDS
        self._looked_ns = now_ns
        self._connection: object = None
        self._last_call_id = 0  # of that connection's calls that failed

    def __repr__(self) -> str:
        return f"<RetryBudget {self._left:.1f} left>"

    def spend(self, call: OutgoingCall, now_ns: int) -> bool:
        """Pays for one retry of a call that failed; whether there was enough."""
        self._earn(self._calls_until(call), max(now_ns - self._looked_ns, 0) / 1e9)
        self._looked_ns = now_ns
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def _earn(self, calls: int, seconds: float) -> None:
        """As if the calls had been made evenly: what leaks away meanwhile is taken off."""
        kept = math.exp(-seconds / MEMORY_SECONDS)
        lasting = MEMORY_SECONDS * (1.0 - kept)
        earned = calls * self._share
        if seconds > 0.0:
            earned *= lasting / seconds
        self._left = self._left * kept + earned + self._minimum * lasting

    def _calls_until(self, call: OutgoingCall) -> int:
        """Calls that were made since the last that failed; those of a flow that is gone are not."""
        if call.connection is not self._connection:
            self._connection = call.connection
            self._last_call_id = 0
        before = self._last_call_id
        self._last_call_id = max(before, call.call_id)
        return self._last_call_id - before


class Attempts(Protocol):
    """How a call is made once more, and what its answer means."""

    async def begin(self, deadline_ns: int, since_ns: int | None, /) -> OutgoingCall:
        """Sends it again; an attempt that it may have been executed by was made at `since_ns`.

        Errors: RpcError.
        """
        ...

    async def end(self, call: OutgoingCall, /) -> Any:
        """Waits for the answer. Errors: RpcError, and what the contract declares."""
        ...


class Retries:
    """The policy and the budget of one client. Thread: its event loop's."""

    def __init__(self, policy: RetryPolicy) -> None:
        """Errors: InvalidArgument for what is no policy."""
        given: Any = policy
        if not isinstance(given, RetryPolicy):
            raise InvalidArgument(f"retries={given!r} is no RetryPolicy: None is for no retries")
        self._policy = policy
        self._budget = RetryBudget(policy, _clock.monotonic_ns())
        self.made: int = 0

    def __repr__(self) -> str:
        return f"<Retries {self.made} made, {self._budget!r}>"

    async def go_on(
        self, failure: RpcError, call: OutgoingCall, timeout_ns: int, attempts: Attempts
    ) -> Any:
        """Makes a call again that failed, until it ends for good, within its deadline.

        Errors: RpcError, and what the contract declares.
        """
        deadline_ns, made = call.deadline_ns, 1
        begun_ns, since_ns = deadline_ns - timeout_ns, None
        try:
            while True:
                if since_ns is None and failure.executed != "no":
                    since_ns = begun_ns
                if not self._is_worth_it(failure, call, made):
                    raise failure
                pause = self._policy.pause(made)
                if _clock.monotonic_ns() + int(pause * 1e9) >= deadline_ns:
                    raise failure
                await asyncio.sleep(pause)
                self.made += 1
                made += 1
                begun_ns = _clock.monotonic_ns()
                try:
                    call = await attempts.begin(deadline_ns, since_ns)
                    return await attempts.end(call)
                except RpcError as following:
                    failure = _after(following, failure, made)
        finally:
            del failure  # which holds this frame

    def _is_worth_it(self, failure: RpcError, call: OutgoingCall, made: int) -> bool:
        if made >= self._policy.attempts_max or not may_pass(failure):
            return False
        if self._budget.spend(call, _clock.monotonic_ns()):
            return True
        failure.next_step = f"{failure.next_step} It was not tried again: {SPENT}.".strip()
        return False


def may_pass(failure: RpcError) -> bool:
    """Whether the same call may have another end next time.

    The answer of a handler is an answer, whatever its code; one that started and was not heard of
    again is none. Who got no flow in time has waited for it already.
    """
    if failure.stage == CONNECTING:
        return False
    if failure.executed == "yes" and failure.stage != HANDLER_STARTED:
        return False
    if failure.code is Code.RESOURCE_EXHAUSTED:
        return failure.is_passing
    return failure.code is Code.UNAVAILABLE


def _after(failure: RpcError, earlier: RpcError, made: int) -> RpcError:
    """A failure that knows of those before it: what one of them may have done was done perhaps."""
    failure.attempts = made
    failure.earlier = f"{earlier.code.name}: {earlier.message}"
    if _RANKS[earlier.executed] > _RANKS[failure.executed]:
        failure.executed = earlier.executed
    return failure

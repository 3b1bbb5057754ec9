"""What the pairs of each tenant take of its quotas.

An end counts as a flow of its tenant, a pair's memory as memory of the tenant who called, and of
the other's once only that still has its end. The engine counts flows and memory of its own, and
gets terms that are smaller by as much. Does not know who the applications are.
"""

import contextlib
from dataclasses import dataclass, replace
from typing import Final

from transport_engine.commanded import Commanded
from transport_engine.errors import NoPairError, TransportError
from transport_engine.policy import Policy, Tenant

MESSAGES_HELD_MIN: Final = 4  # of the longest, for which a tenant's memory must have room


@dataclass(slots=True)
class _Account:
    ends: int = 0
    memories: int = 0


class Books:
    """One account for each tenant with pairs."""

    def __init__(self, engine: Commanded, policy: Policy) -> None:
        self._engine = engine
        self._ends_max = policy.direct_ends_max
        self._pair_bytes = 2 * policy.direct_ring_bytes
        self._accounts: dict[int, _Account] = {}

    def __repr__(self) -> str:
        ends = sum(account.ends for account in self._accounts.values())
        return f"<Books of {ends} ends>"

    def enter(self, caller: Tenant, listener: Tenant) -> None:
        """Counts a new pair.

        Errors: NoPairError, and then it counts nothing.
        """
        self._add(caller, 1, 1)
        try:
            self._add(listener, 1, 0)
        except NoPairError:
            self._change(caller, -1, -1)
            raise

    def leave(self, caller: Tenant | None, listener: Tenant | None) -> None:
        """Ends were given back; the memory is the caller's."""
        if caller is not None:
            self._change(caller, -1, -1)
        if listener is not None:
            self._change(listener, -1, 0)

    def hand_over(self, caller: Tenant, listener: Tenant) -> None:
        """The caller gave its end back; who has the other holds the memory."""
        self._change(caller, -1, -1)
        self._change(listener, 0, 1)

    def leave_held(self, listener: Tenant) -> None:
        """The listener gave its end back, after the caller."""
        self._change(listener, -1, -1)

    def _account(self, tenant: Tenant) -> _Account:
        return self._accounts.setdefault(tenant.share, _Account())

    def _add(self, tenant: Tenant, ends: int, memories: int) -> None:
        before = self._account(tenant)
        after = _Account(before.ends + ends, before.memories + memories)
        if after.ends > self._ends_max:
            raise NoPairError(f"control.direct_ends_max is {self._ends_max} for each tenant")
        terms = tenant.terms
        if terms.flows_max and after.ends >= terms.flows_max:
            raise NoPairError(f"{tenant.line}.quotas.flows leaves no room for a pair")
        least = MESSAGES_HELD_MIN * self._engine.message_bytes_max
        if terms.memory_bytes and terms.memory_bytes - after.memories * self._pair_bytes < least:
            raise NoPairError(f"{tenant.line}.quotas.memory_bytes leaves no room for a pair")
        try:
            open_flows = self._tell_engine(tenant, after)
        except TransportError as error:
            raise NoPairError(f"the engine does not take it: {error}") from error
        if terms.flows_max and open_flows + after.ends > terms.flows_max:
            self._tell_engine(tenant, before)
            raise NoPairError(f"{tenant.line}.quotas.flows is in use")
        self._accounts[tenant.share] = after

    def _change(self, tenant: Tenant, ends: int, memories: int) -> None:
        account = self._account(tenant)
        account.ends += ends
        account.memories += memories
        with contextlib.suppress(TransportError):  # of an engine that is going
            self._tell_engine(tenant, account)

    def _tell_engine(self, tenant: Tenant, account: _Account) -> int:
        """Gives the engine what is left; returns the flows that the tenant has there."""
        terms = tenant.terms
        if not (terms.flows_max or terms.memory_bytes):
            return 0
        least = MESSAGES_HELD_MIN * self._engine.message_bytes_max
        left = terms.memory_bytes - account.memories * self._pair_bytes
        rest = replace(
            terms,
            flows_max=max(terms.flows_max - account.ends, 1) if terms.flows_max else 0,
            memory_bytes=max(left, least) if terms.memory_bytes else 0,
        )
        return self._engine.set_share(tenant.share, rest)

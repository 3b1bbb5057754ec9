"""The pairs between an engine's applications: offered, sealed, and on the books until given back.

A caller and a listener each get an end, map it and say so; then the pair is sealed and both may use
it. Whatever goes wrong before that ends in a reason, with which the caller asks for a flow instead.
No record of a pair passes here. Source: docs/channel.md §7
"""

import asyncio
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from transport_engine import messages
from transport_engine.books import Books
from transport_engine.channel import PairMaker
from transport_engine.commanded import Commanded
from transport_engine.endpoint import Endpoint, packed_address
from transport_engine.errors import NoPairError, PeerSilentError, TransportError
from transport_engine.policy import Policy, Tenant
from transport_engine.users import User

OFFERS_PER_USER_MAX: Final = 64  # of which no word came back: their descriptors are in flight
PAIR_SECONDS_MAX: Final = 1.0  # from the offer until both have mapped
RING_BYTES_PER_TOKEN: Final = 1 << 18  # large rings cost as much as several messages


class Party(Protocol):
    """An application that can have an end: a session of the control plane."""

    @property
    def tenant(self) -> Tenant: ...

    @property
    def user(self) -> User: ...

    @property
    def takes_pairs(self) -> bool: ...

    def tell(self, message: bytes, descriptors: Sequence[int] = ()) -> bool:
        """Sends it a message; False where it takes none now."""
        ...


@dataclass(eq=False, slots=True)
class Pair:
    """Two parties and what is between them."""

    number: int
    caller: Party
    listener: Party
    remote: Endpoint  # where the caller connected to
    maker: PairMaker | None  # until it is sealed, or has failed
    late: asyncio.TimerHandle | None = None
    holders: set[Party] = field(default_factory=set)  # who has not given its end back
    unheard: set[Party] = field(default_factory=set)  # who has said nothing of it yet
    mapped: dict[Party, int] = field(default_factory=dict)  # ids of requests without an answer

    @property
    def parties(self) -> tuple[Party, Party]:
        return self.caller, self.listener

    def other(self, party: Party) -> Party:
        """The party at the far end."""
        return self.listener if party is self.caller else self.caller


class Pairs:
    """All pairs of one engine. Thread: the event loop's."""

    def __init__(self, engine: Commanded, policy: Policy) -> None:
        self._engine = engine
        self._policy = policy
        self._books = Books(engine, policy)
        self._pairs: dict[int, Pair] = {}
        self._numbers = itertools.count(1)
        self._is_draining = False

    def __repr__(self) -> str:
        return f"<Pairs: {len(self._pairs)}>"

    def __len__(self) -> int:
        return len(self._pairs)

    def offer(
        self, caller: Party, listener: Party | None, remote: Endpoint
    ) -> tuple[dict[str, Any], list[int]]:
        """Makes a pair and offers the listener its end; returns the caller's answer and end.

        Owner: the descriptors are the caller's of this function.
        Errors: NoPairError, whose sentence says why there is none.
        """
        listener = self._check(caller, listener, remote)
        self._books.enter(caller.tenant, listener.tenant)
        try:
            maker = PairMaker(self._policy.direct_ring_bytes)
        except TransportError as error:
            self._books.leave(caller.tenant, listener.tenant)
            raise NoPairError(str(error)) from error
        pair = Pair(next(self._numbers), caller, listener, remote, maker)
        try:
            end = self._handed_out(pair, maker)
        except NoPairError:
            maker.close()
            self._books.leave(caller.tenant, listener.tenant)
            raise
        pair.holders.update(pair.parties)
        for party in pair.parties:
            pair.unheard.add(party)
            party.user.offers += 1
        caller.user.asking.owe(self._policy.direct_ring_bytes / RING_BYTES_PER_TOKEN)
        listener.user.asking.owe(-1)  # it has to answer, and did not ask
        self._pairs[pair.number] = pair
        seconds = min(PAIR_SECONDS_MAX, self._engine.handshake_seconds_max)
        pair.late = asyncio.get_running_loop().call_later(seconds, self._on_late, pair)
        return {"pair": pair.number}, end

    def map(self, party: Party, request: messages.Mapped) -> None:
        """Notes that a party has mapped its end; answers both once both have.

        Errors: NoPairError where there is no such pair any more.
        """
        pair = self._pairs.get(request.pair)
        if pair is None or party not in pair.holders or pair.maker is None:
            raise NoPairError(f"there is no pair {request.pair} to be mapped: it is over")
        self._hear(pair, party)
        pair.mapped[party] = request.id
        if len(pair.mapped) == len(pair.parties):
            self._seal(pair, pair.maker)

    def give_back(self, party: Party, number: int) -> None:
        """A party has no end of this pair any more; of one that is unknown it had none."""
        pair = self._pairs.get(number)
        if pair is None or party not in pair.holders:
            return
        self._hear(pair, party)
        pair.mapped.pop(party, None)
        pair.holders.discard(party)
        self._fail(pair, NoPairError("the other application gave its end of the pair back"))
        if party is pair.caller and pair.holders:
            self._books.hand_over(pair.caller.tenant, pair.listener.tenant)
        elif party is pair.caller:
            self._books.leave(pair.caller.tenant, None)
        elif pair.holders:
            self._books.leave(None, pair.listener.tenant)
        else:
            self._books.leave_held(pair.listener.tenant)
        if not pair.holders:
            del self._pairs[number]

    def forget(self, party: Party) -> None:
        """A party is gone: gives back all that it had, and tells those at the other ends."""
        for pair in [each for each in self._pairs.values() if party in each.holders]:
            other = pair.other(party)
            self.give_back(party, pair.number)
            if other in pair.holders:
                other.tell(messages.pack_event("unpaired", pair.number))

    def drain(self) -> None:
        """Makes no new pairs, and has both ends of each closed."""
        self._is_draining = True
        for pair in tuple(self._pairs.values()):
            self._fail(pair, NoPairError("the engine is shutting down"))
            for party in tuple(pair.holders):
                party.tell(messages.pack_event("unpaired", pair.number))

    def _handed_out(self, pair: Pair, maker: PairMaker) -> list[int]:
        """Offers the listener its end, and returns that of the caller, whose owner it makes him.

        Errors: NoPairError, and then nobody has an end.
        """
        end: list[int] = []
        try:
            end.extend(os.dup(descriptor) for descriptor in maker.descriptors(accepts=False))
            event = messages.pack_event("pair", pair.number)
            if not pair.listener.tell(event, maker.descriptors(accepts=True)):
                raise NoPairError("the server's application reads nothing at present")
        except (OSError, NoPairError) as error:
            for descriptor in end:
                os.close(descriptor)
            if isinstance(error, NoPairError):
                raise
            raise NoPairError(f"the engine has no descriptors for it: {error.strerror}") from error
        for accepts in (False, True):
            maker.passed(accepts=accepts)
        return end

    def _check(self, caller: Party, listener: Party | None, remote: Endpoint) -> Party:
        """The listener, if the two may have a pair at all."""
        local = self._engine.local
        if packed_address(remote.address) != packed_address(local.address):
            raise NoPairError(f"{remote.address} is not the address of this engine")
        if listener is None:
            raise NoPairError(f"no application of this engine listens on port {remote.port}")
        if listener is caller:
            raise NoPairError("both ends are one application")
        if not self._policy.direct:
            raise NoPairError("control.direct is false")
        if (why := caller.tenant.why_not_direct()) is not None:
            raise NoPairError(why)
        if listener.tenant.why_not_direct() is not None:
            raise NoPairError("the policy keeps the server's messages in the engine")
        if not (caller.takes_pairs and listener.takes_pairs):
            which = "server's" if caller.takes_pairs else "client's"
            raise NoPairError(f"the {which} application takes no pairs")
        if self._is_draining:
            raise NoPairError("the engine is shutting down")
        if max(caller.user.offers, listener.user.offers) >= OFFERS_PER_USER_MAX:
            raise NoPairError(f"{OFFERS_PER_USER_MAX} offers of pairs have no answer yet")
        return listener

    def _hear(self, pair: Pair, party: Party) -> None:
        """Its descriptors are not in flight any more."""
        if party in pair.unheard:
            pair.unheard.discard(party)
            party.user.offers -= 1

    def _seal(self, pair: Pair, maker: PairMaker) -> None:
        try:
            maker.seal()
        except TransportError as error:
            self._fail(pair, NoPairError(str(error)))
            return
        self._settle(pair)
        ends: dict[Party, Endpoint] = {
            pair.caller: pair.remote,
            pair.listener: self._engine.local,
        }
        for party, request in pair.mapped.items():
            result: dict[str, Any] = {
                "remote": str(ends[party]),
                "message_bytes_max": self._engine.message_bytes_max,
            }
            party.tell(messages.pack({"id": request, "result": result}))
        pair.mapped.clear()

    def _settle(self, pair: Pair) -> None:
        """Nothing more is to be made of it here."""
        if pair.maker is not None:
            pair.maker.close()
            pair.maker = None
        if pair.late is not None:
            pair.late.cancel()
            pair.late = None

    def _fail(self, pair: Pair, why: NoPairError) -> None:
        """Ends one that is not sealed: tells who waits, and has the others let go of their end."""
        if pair.maker is None:
            return
        self._settle(pair)
        waiting, pair.mapped = pair.mapped, {}
        for party in tuple(pair.holders):
            if party in waiting:
                party.tell(messages.pack_error(waiting[party], why))
            else:
                party.tell(messages.pack_event("unpaired", pair.number))

    def _on_late(self, pair: Pair) -> None:
        pair.late = None
        late = "server's" if pair.listener not in pair.mapped else "client's"
        why = f"the {late} application did not map the pair in time"
        self._fail(pair, PeerSilentError(why))

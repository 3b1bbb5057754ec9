"""What is counted of one method's calls: begun, ended by code, and how long they took.

A call is counted when its handler is begun or refused, and once more when it ends in whatever way.
It costs the usual call one look at the clock.
"""

from typing import TYPE_CHECKING, Final

from machnet_rpc._buckets import bucket_count, bucket_of
from machnet_rpc._native import crossing
from machnet_rpc._protocol.calls import IncomingCall

OK: Final = 0
UNKNOWN: Final = 2
CODES: Final = 17  # gRPC has as many
BITS: Final = 3  # of buckets: within an eighth


class Tally:
    """The counters of one method. Units: nanoseconds. Thread: that of the server's calls."""

    __slots__ = ("_buckets", "_ended", "begun", "longest_ns")

    def __init__(self) -> None:
        self.begun: int = 0
        self.longest_ns: int = 0
        self._ended = [0] * CODES
        self._buckets = [0] * bucket_count(BITS)

    def begin(self) -> None:
        """A call came."""
        self.begun += 1

    def end(self, code: int, took_ns: int) -> None:
        """A call ended with this code, so long after it was taken from the ring."""
        self._ended[code if 0 <= code < CODES else UNKNOWN] += 1
        self._buckets[bucket_of(took_ns, BITS)] += 1
        self.longest_ns = max(self.longest_ns, took_ns)

    def ended(self) -> list[int]:
        """How many ended, by code."""
        return list(self._ended)

    def buckets(self) -> list[int]:
        """How many took how long, by the buckets of `_buckets` with BITS."""
        return list(self._buckets)


if not TYPE_CHECKING and crossing is not None:
    Tally = crossing.Tally


def begin(call: IncomingCall, tally: Tally) -> None:
    """Counts a call that came."""
    call.tally = tally
    tally.begin()


def end(call: IncomingCall, code: int, now_ns: int) -> None:
    """Counts the end of a call; does nothing if it has been, or was never counted."""
    tally = call.tally
    if tally is not None:
        call.tally = None
        tally.end(code, now_ns - call.taken_ns)

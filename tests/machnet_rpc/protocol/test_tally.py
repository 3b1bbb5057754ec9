"""What is counted of a method's calls, in C as in Python."""

from machnet_rpc._buckets import bucket_count, bucket_of
from machnet_rpc._protocol.tally import BITS, CODES, UNKNOWN, Tally

LAST_NS = (1 << 63) - 1


def test_calls_are_counted_by_their_ends_and_by_how_long_they_took() -> None:
    tally = Tally()
    ends = {0: 5, 5: LAST_NS, CODES - 1: 1000, CODES: 7, CODES + 1: 8, -1: 9, UNKNOWN: -3, 1: 0}
    for code, took_ns in ends.items():
        tally.begin()
        tally.end(code, took_ns)
    known = [0, 1, 5, CODES - 1]
    assert tally.begun == len(ends)
    assert tally.ended() == [4 if code == UNKNOWN else int(code in known) for code in range(CODES)]
    counts = [0] * bucket_count(BITS)
    for took_ns in ends.values():
        counts[bucket_of(took_ns, BITS)] += 1
    assert tally.buckets() == counts
    assert tally.longest_ns == LAST_NS


def test_the_longest_stays() -> None:
    tally = Tally()
    for took_ns in (3, 1000, 7):
        tally.end(0, took_ns)
    assert tally.longest_ns == 1000

"""Log-linear buckets: counts of values by size, with a bounded relative error.

Each power of two is divided into 2**bits buckets of equal width, so a bucket is at most 1/2**bits
of its values wide; smaller values than that have a bucket each. Pure.
Source: HdrHistogram (Gil Tene), whose layout this is; csrc/tally.c has the same with 3 bits
"""

from collections.abc import Sequence

VALUE_BITS = 63


def bucket_of(value: int, bits: int) -> int:
    """The index of a value's bucket; values below 0 count as 0."""
    value = max(value, 0)
    if value < 1 << bits:
        return value
    value = min(value, (1 << VALUE_BITS) - 1)
    exponent = value.bit_length() - 1 - bits
    return ((exponent + 1) << bits) + (value >> exponent) - (1 << bits)


def bucket_count(bits: int) -> int:
    """How many buckets there are for all values of 63 bits."""
    return (VALUE_BITS - bits + 1) << bits


def largest_of(index: int, bits: int) -> int:
    """The largest value of a bucket."""
    exponent, place = index >> bits, index & ((1 << bits) - 1)
    if exponent == 0:
        return index
    return (((1 << bits) + place + 1) << (exponent - 1)) - 1


def at_percent(counts: Sequence[int], percent: float, bits: int) -> int:
    """The largest value of the bucket that `percent` of all values do not exceed; 0 of none."""
    total = sum(counts)
    if total == 0:
        return 0
    rank = max(1, -(-total * percent // 100))
    seen = 0
    for index, count in enumerate(counts):
        seen += count
        if seen >= rank:
            return largest_of(index, bits)
    return largest_of(len(counts) - 1, bits)

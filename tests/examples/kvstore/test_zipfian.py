"""The generators against the definition, with fixed seeds and tolerances from the statistics."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from random import Random

import pytest

from examples.kvstore.zipfian import (
    SCRAMBLED_ZETAN,
    ScrambledZipfian,
    Zipfian,
    fnv_hash,
    zeta,
)

DRAWS = 200_000


def test_fnv_hash_is_fnv1a_made_positive() -> None:
    # From the definition: 8 zero bytes only multiply; the sign bit is folded as Math.abs does.
    def plain(value: int) -> int:
        hashed = 14695981039346656037
        for shift in range(0, 64, 8):
            hashed ^= value >> shift & 255
            hashed = hashed * 1099511628211 % 2**64
        return abs(hashed - 2**64 if hashed >= 2**63 else hashed)

    for value in (0, 1, 2, 255, 256, 10**10):
        assert fnv_hash(value) == plain(value)
    assert fnv_hash(0) == 6284781860667377211  # YCSB's first key is user6284781860667377211
    assert fnv_hash(1) == 8517097267634966620


def test_ycsb_constant_is_zeta_of_ten_billion() -> None:
    # Euler–Maclaurin, good to about 1e-9: the sum itself would take hours.
    theta, items, head = 0.99, 10_000_000_000, 1000
    tail = (items ** (1 - theta) - head ** (1 - theta)) / (1 - theta)
    ends = (items**-theta - head**-theta) / 2
    slope = -theta * (items ** (-theta - 1) - head ** (-theta - 1)) / 12
    assert zeta(head, theta) + tail + ends + slope == pytest.approx(SCRAMBLED_ZETAN, abs=1e-6)


def test_first_ranks_follow_the_definition() -> None:
    random, zipfian = Random(1), Zipfian(1000)
    counts = Counter(zipfian.rank(random) for _ in range(DRAWS))
    assert min(counts) == 0
    assert max(counts) < 1000
    for rank in range(2):  # exact in the algorithm; 5 sigma
        expected = DRAWS / (rank + 1) ** 0.99 / zipfian.zetan
        assert counts[rank] == pytest.approx(expected, abs=5 * expected**0.5)
    # Beyond, Gray's formula only approximates: 8 % too many of the ranks 2 to 9.
    for low, high in ((2, 10), (10, 100), (100, 1000)):
        got = sum(counts[rank] for rank in range(low, high))
        expected = DRAWS * sum((rank + 1) ** -0.99 for rank in range(low, high)) / zipfian.zetan
        assert got == pytest.approx(expected, rel=0.1)


def test_chi_square_against_the_algorithms_own_distribution() -> None:
    random, zipfian = Random(2), Zipfian(10_000)
    edges = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 10_000]

    def below(rank: int) -> float:
        """P(next < rank), by inverting the formula."""
        if rank <= 2:
            return zeta(rank, 0.99) / zipfian.zetan
        return 1.0 - (1.0 - math.pow(rank / zipfian.items, 0.01)) / zipfian.eta

    ranks = [zipfian.rank(random) for _ in range(DRAWS)]
    square = 0.0
    for low, high in itertools.pairwise(edges):
        expected = DRAWS * (below(high) - below(low))
        got = sum(low <= rank < high for rank in ranks)
        square += (got - expected) ** 2 / expected
    assert square < 34.5  # chi-square, 13 degrees of freedom, p = 0.001


def test_scrambled_head_is_as_hot_as_ycsb_makes_it() -> None:
    random, scrambled = Random(3), ScrambledZipfian(1001)
    counts = Counter(scrambled.number(random) for _ in range(DRAWS))
    assert min(counts) >= 0
    assert max(counts) <= 1000
    (first, _), (second, _) = counts.most_common(2)
    assert (first, second) == (fnv_hash(0) % 1001, fnv_hash(1) % 1001)
    # Rank 0 has 1/zetan of all draws; others that hash to the same number add about 1/1001 of the
    # rest, more where one of the next hot ranks collides.
    expected = DRAWS * (1 / SCRAMBLED_ZETAN + (1 - 1 / SCRAMBLED_ZETAN) / 1001)
    assert counts[first] == pytest.approx(expected, rel=0.05)
    # Scattered: the popular half of the numbers is not the lower half.
    lower = sum(count for number, count in counts.items() if number < 500)
    assert 0.3 < lower / DRAWS < 0.7
    assert len(counts) == 1001

"""The key distributions of YCSB's core workloads.

Source: J. Gray et al., "Quickly Generating Billion-Record Synthetic Databases", SIGMOD 1994, figure
"generating Zipf-distributed numbers"; B. Cooper et al., "Benchmarking Cloud Serving Systems with
YCSB", SoCC 2010, §4; constants and the hash as in YCSB 0.17 (ZipfianGenerator,
ScrambledZipfianGenerator, Utils.fnvhash64).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

ZIPFIAN_CONSTANT = 0.99
SCRAMBLED_ITEMS = 10_000_000_000
SCRAMBLED_ZETAN = (
    26.46902820178302  # zeta(SCRAMBLED_ITEMS, ZIPFIAN_CONSTANT), as YCSB wrote it down
)

FNV_OFFSET_BASIS = 0xCBF29CE484222325
FNV_PRIME = 1099511628211
MASK = (1 << 64) - 1


def zeta(items: int, theta: float) -> float:
    """The sum of 1 / i**theta over i = 1 .. items."""
    return math.fsum(1.0 / i**theta for i in range(1, items + 1))


def fnv_hash(value: int) -> int:
    """FNV-1a over the 8 bytes of `value`, low byte first; as a Java `Math.abs(long)`."""
    hashed = FNV_OFFSET_BASIS
    for byte in value.to_bytes(8, "little"):
        hashed = (hashed ^ byte) * FNV_PRIME & MASK
    return hashed if hashed < 1 << 63 else (1 << 64) - hashed


class Zipfian:
    """Ranks 0, 1, 2 … `items` - 1; rank r comes up in proportion to 1 / (r + 1)**theta."""

    def __init__(
        self, items: int, theta: float = ZIPFIAN_CONSTANT, zetan: float | None = None
    ) -> None:
        self.items: Final = items
        self.theta: Final = theta
        self.zetan: Final = zeta(items, theta) if zetan is None else zetan
        self.alpha: Final = 1.0 / (1.0 - theta)
        self.eta: Final[float] = (1.0 - (2.0 / items) ** (1.0 - theta)) / (
            1.0 - zeta(2, theta) / self.zetan
        )
        self._two: Final[float] = 1.0 + 0.5**theta

    def rank(self, random: Random) -> int:
        """The next rank."""
        u = random.random()
        uz = u * self.zetan
        if uz < 1.0:
            return 0
        if uz < self._two:
            return 1
        return int(self.items * (self.eta * u - self.eta + 1.0) ** self.alpha)


class ScrambledZipfian:
    """Numbers below `items`, as skewed as Zipfian, but the popular ones lie anywhere among them."""

    def __init__(self, items: int) -> None:
        self.items: Final = items
        # YCSB's bounds include both ends, hence one item more than the constant was summed over.
        self._zipfian = Zipfian(SCRAMBLED_ITEMS + 1, ZIPFIAN_CONSTANT, SCRAMBLED_ZETAN)

    def number(self, random: Random) -> int:
        """The next number."""
        return fnv_hash(self._zipfian.rank(random)) % self.items

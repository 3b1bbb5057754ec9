"""Pauses between attempts: they grow from the first to a longest one, and start over after success.

Each is shortened at random by up to a half, so that applications that lost one engine in one
moment do not all come back in one moment.
"""

import random
from typing import Final

FIRST_SECONDS: Final = 0.01
LONGEST_SECONDS: Final = 0.2
_DOUBLINGS_MAX: Final = 16


class Backoff:
    """Counts failures. Thread: one."""

    def __init__(self) -> None:
        self.failures = 0

    def __repr__(self) -> str:
        return f"<Backoff after {self.failures} failures>"

    def failed(self) -> None:
        """Makes the next pause longer."""
        self.failures += 1

    def succeeded(self) -> None:
        """Starts over."""
        self.failures = 0

    def pause_seconds(self) -> float:
        """How long to wait before the next attempt; 0 after none that failed."""
        if self.failures == 0:
            return 0.0
        doublings = min(self.failures - 1, _DOUBLINGS_MAX)
        longest = min(FIRST_SECONDS * 2.0**doublings, LONGEST_SECONDS)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 (spreads load, keeps no secret)

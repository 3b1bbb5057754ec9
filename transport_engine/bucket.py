"""Tokens that refill with time: how often somebody may ask, or be written about.

Is handed the time, reads no clock. Units: seconds.
"""

from typing import Final

BURST_SECONDS: Final = 0.005  # of work for the control plane, which others wait for


class Bucket:
    """`per_second` tokens a second, of which `burst` may wait; it starts full."""

    def __init__(self, per_second: float, now: float, burst: float | None = None) -> None:
        self._per_second = per_second
        self._burst = max(per_second * BURST_SECONDS, 1.0) if burst is None else burst
        self._tokens = self._burst
        self._filled = now

    def __repr__(self) -> str:
        return f"<Bucket of {self._tokens:.1f} tokens>"

    def take(self, now: float) -> float:
        """Takes a token; returns 0.0, or the seconds until there is one and takes none."""
        self._fill(now)
        if self._tokens < 1.0:
            return (1.0 - self._tokens) / self._per_second
        self._tokens -= 1.0
        return 0.0

    def owe(self, tokens: float) -> None:
        """Takes tokens that may not be there yet, for work that is not refused."""
        self._tokens = max(self._tokens - tokens, -self._per_second)

    def is_full(self, now: float) -> bool:
        """Whether nothing was taken for long enough to forget that there was a bucket."""
        self._fill(now)
        return self._tokens >= self._burst

    def _fill(self, now: float) -> None:
        gained = (now - self._filled) * self._per_second
        self._tokens = min(self._tokens + gained, self._burst)
        self._filled = now

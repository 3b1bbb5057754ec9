"""What would be logged again and again: the first of each kind whole, of the others how many.

Does not know what is logged. The numbers come once the period is over, and when a server closes.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from machnet_rpc import _clock

WHOLE_MAX: Final = 10  # of a kind, in a period
PERIOD_SECONDS: Final = 10.0
KINDS_MAX: Final = 1000  # beyond which all begin anew

log: Final = logging.getLogger("machnet_rpc")


@dataclass(slots=True)
class _Seen:
    since_ns: int
    count: int = 0


class Repetitions:
    """How often each kind came in its period."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def __repr__(self) -> str:
        return f"<Repetitions of {len(self._seen)} kinds>"

    def is_shown(self, kind: str) -> bool:
        """Counts one more; whether it is to be logged. `kind` is a sentence for the others."""
        now_ns = _clock.monotonic_ns()
        seen = self._seen.get(kind)
        if seen is None or not 0 <= now_ns - seen.since_ns < PERIOD_SECONDS * 1e9:
            self._tell(kind)
            if len(self._seen) >= KINDS_MAX:
                self.tell()
            seen = self._seen[kind] = _Seen(now_ns)
        seen.count += 1
        if seen.count == WHOLE_MAX + 1:
            self._tell_later(kind)
        return seen.count <= WHOLE_MAX

    def tell(self) -> None:
        """Logs how many of each kind were left out, and begins anew."""
        for kind in list(self._seen):
            self._tell(kind)

    def _tell(self, kind: str) -> None:
        seen = self._seen.pop(kind, None)
        if seen is not None and seen.count > WHOLE_MAX:
            seconds = (_clock.monotonic_ns() - seen.since_ns) / 1e9
            left_out = seen.count - WHOLE_MAX
            log.error("%s: %d times more within %.1f s", kind, left_out, seconds)

    def _tell_later(self, kind: str) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # the next one tells, or who closes
            return
        loop.call_later(PERIOD_SECONDS, self._tell, kind)


repetitions: Final = Repetitions()
"""Those of this process."""

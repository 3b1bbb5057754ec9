"""How near the processors are to each other, which on virtual machines changes by the minute.

Their host moves them: a line that two of them pass to each other took 97 ns there and back, and
490 ns some seconds later. Whatever crosses between processes costs more by as much as it passes
lines, so only runs that met the same distance can be compared.
"""

import os
from collections.abc import Sequence

from benchmarks.floors import extension

ALIKE = 1.5  # times as far


def line_ns() -> float | None:
    """What a line takes there and back between the first and the last CPU of ours.

    Takes some milliseconds. None: it cannot be had, for want of a second CPU or of a compiler.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        return None
    try:
        measured: float = extension().line_ns(cpus[0], cpus[-1])
    except OSError:
        return None
    return measured


def is_alike(lines_ns: Sequence[float]) -> bool:
    """Whether the processors were always as far apart; nothing is known where there is none."""
    return bool(lines_ns) and max(lines_ns) <= ALIKE * min(lines_ns)

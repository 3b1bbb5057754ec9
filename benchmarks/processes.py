"""What processes use of the machine, read from /proc, and which of its processors they may use."""

import os
from pathlib import Path

NS_PER_S = 1_000_000_000
ROLES = ("server", "client")


def cpu_s(pid: int) -> float:
    """CPU time that the threads of a process used so far, to the nanosecond."""
    used_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        used_ns += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return used_ns / NS_PER_S


def resident_bytes(pid: int) -> int:
    """Memory that a process has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def pin(role: str) -> None:
    """Keeps this process on the processor of its role; engines beside it may use all.

    With one processor there is nothing to choose.
    """
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[ROLES.index(role) % len(cores)]})

"""What the doctor looks at, a machine and the process that it is in, and what it finds there.

Reads and changes nothing. Does not know what an engine wants of a machine.
"""

import os
import platform
import re
import resource
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from transport_engine._native import ffi, lib

MEGABYTE: Final = 1 << 20
Level = Literal["ok", "warn", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `command` mends it where something does."""

    name: str
    level: Level
    sentence: str
    command: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the checks look."""

    root: Path
    is_root: bool
    drivers: frozenset[str]  # of this build of the engine
    kernel: tuple[int, int]
    memlock_bytes: int | None  # None: no limit
    open_files: int | None
    chosen_socket: Path | None = None  # $MRPC_SOCKET

    @classmethod
    def here(cls) -> "Machine":
        """The machine and the process that we are in."""
        named: bytes = ffi.string(lib.te_drivers())
        chosen = os.environ.get("MRPC_SOCKET")
        return cls(
            root=Path("/"),
            is_root=os.geteuid() == 0,
            drivers=frozenset(named.decode().split()),
            kernel=parse_kernel(platform.release()),
            memlock_bytes=_limit(resource.RLIMIT_MEMLOCK),
            open_files=_limit(resource.RLIMIT_NOFILE),
            chosen_socket=Path(chosen) if chosen else None,
        )

    def read(self, path: str) -> str:
        """A file's text, stripped; empty if it cannot be read."""
        try:
            return (self.root / path).read_text(errors="replace").strip()
        except OSError:
            return ""

    def processors(self) -> int:
        """How many this process may run on; 0 where the kernel does not say."""
        found = re.search(
            r"^Cpus_allowed_list:\s*([\d,-]+)$", self.read("proc/self/status"), re.MULTILINE
        )
        spans = [span.split("-") for span in found[1].split(",")] if found else []
        return sum(int(span[-1]) - int(span[0]) + 1 for span in spans)

    def cpu_quota(self) -> float | None:
        """Processors' worth of time that the process's control groups (v2) may use; None: all."""
        limits = [
            re.fullmatch(r"(\d+) (\d+)", self.read(f"{group}/cpu.max")) for group in self._groups()
        ]
        return min((int(each[1]) / int(each[2]) for each in limits if each), default=None)

    def memory_quota_mb(self) -> int | None:
        """What the process's control groups (v2) may hold, hugepages apart; None: any amount."""
        texts = [self.read(f"{group}/memory.max") for group in self._groups()]
        return min((int(text) // MEGABYTE for text in texts if text.isdigit()), default=None)

    def hugepages_quota_mb(self) -> int | None:
        """What its control groups (v2) may hold more of hugepages of 2 MB; None: any number."""
        left: list[int] = []
        for group in self._groups():
            most = self.read(f"{group}/hugetlb.2MB.max")
            held = self.read(f"{group}/hugetlb.2MB.current")
            if most.isdigit() and held.isdigit():
                left.append(max(0, int(most) - int(held)) // MEGABYTE)
        return min(left, default=None)

    def has_dpdk_driver(self, name: str) -> bool:
        """A DPDK driver of that name is installed, as Debian installs them."""
        folders = ("usr/lib", "usr/local/lib")
        pattern = f"**/dpdk/pmds-*/librte_{name}.so*"
        return any(any((self.root / folder).glob(pattern)) for folder in folders)

    def _groups(self) -> list[str]:
        """The folders of the process's control group and of all that it is in."""
        found = re.search(r"^0::(/.*)$", self.read("proc/self/cgroup"), re.MULTILINE)
        group = PurePosixPath(found[1] if found else "/")
        return [f"sys/fs/cgroup{each}" for each in (group, *group.parents)]

    def free_hugepages_mb(self) -> int:
        """Of all sizes that the kernel knows."""
        pools = (self.root / "sys/kernel/mm/hugepages").glob("hugepages-*kB")
        return sum(_free_mb(pool) for pool in pools)


def parse_kernel(release: str) -> tuple[int, int]:
    """(6, 1) of "6.1.0-13-amd64"; (0, 0) of what is no release."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _free_mb(pool: Path) -> int:
    size_kb = int(pool.name.removeprefix("hugepages-").removesuffix("kB"))
    try:
        return int((pool / "free_hugepages").read_text()) * size_kb // 1024
    except (OSError, ValueError):
        return 0


def _limit(which: int) -> int | None:
    soft, _hard = resource.getrlimit(which)
    return None if soft == resource.RLIM_INFINITY else soft

"""Hugepages for a while: reserves what DPDK needs, and gives back exactly that.

Needs root. Knows nothing of DPDK; `doctor` says whether a machine has hugepages at all.
Source: the kernel's admin-guide/mm/hugetlbpage.rst.
"""

import contextlib
import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

from transport_engine.errors import NoRoomError

PAGE_KIB: Final = 2048
POOL: Final = Path(f"/sys/kernel/mm/hugepages/hugepages-{PAGE_KIB}kB")
MOUNT_TIMEOUT_S: Final = 10.0
UNMOUNT_TRIES_MAX: Final = 20
UNMOUNT_PAUSE_S: Final = 0.1


@contextlib.contextmanager
def hugepages(megabytes: int, pool: Path = POOL) -> Generator[int]:
    """Has at least so many megabytes of free hugepages while it is open; gives the pages it added.

    Pages that were free before count, and stay. Others may reserve at the same time.
    Errors: NoRoomError: the kernel has no such pool, not enough memory in one piece, or we are not
    root.
    """
    pages = -(-megabytes * 1024 // PAGE_KIB)
    added = _add_missing(pool, pages)
    try:
        yield added
    finally:
        _change(pool, -added)


@contextlib.contextmanager
def mounted() -> Generator[Path]:
    """A hugetlbfs of our own, in a folder that nobody else may enter.

    DPDK's --in-memory needs none; other programs and --huge-dir do.
    Errors: NoRoomError.
    """
    folder = Path(tempfile.mkdtemp(prefix="hugepages-"))
    try:
        _run(["mount", "-t", "hugetlbfs", "-o", f"pagesize={PAGE_KIB}K,mode=700", "none", folder])
        try:
            yield folder
        finally:
            _unmount(folder)
    finally:
        folder.rmdir()


def free_megabytes(pool: Path = POOL) -> int:
    """Hugepages of 2 MB that nobody uses, in megabytes; 0 where there is no such pool."""
    try:
        return _read(pool / "free_hugepages") * PAGE_KIB // 1024
    except OSError:
        return 0


def _add_missing(pool: Path, pages: int) -> int:
    missing = max(0, pages - free_megabytes(pool) * 1024 // PAGE_KIB)
    if missing == 0:
        return 0
    added = _change(pool, missing)
    if added < missing:
        _change(pool, -added)
        raise NoRoomError(
            f"the kernel found {added} of {missing} hugepages of {PAGE_KIB // 1024} MB more: free "
            "memory in one piece (echo 1 > /proc/sys/vm/compact_memory), or reserve them at boot "
            f"(hugepages={pages})"
        )
    return added


def _change(pool: Path, difference: int) -> int:
    """Adds to the number of pages, as far as the kernel can. Returns by how much it grew."""
    if difference == 0:
        return 0
    path = pool / "nr_hugepages"
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # against another of our own, between read and write
            before = int(file.read())
            file.seek(0)
            file.write(str(max(0, before + difference)))
            file.flush()
            return _read(path) - before
    except OSError as error:
        raise NoRoomError(
            f"cannot reserve hugepages: {error}; as root: sysctl -w vm.nr_hugepages=512"
        ) from error


def _read(path: Path) -> int:
    return int(path.read_text())


def _run(argv: list[str | os.PathLike[str]]) -> None:
    done = subprocess.run(  # noqa: S603
        argv, check=False, capture_output=True, text=True, timeout=MOUNT_TIMEOUT_S
    )
    if done.returncode != 0:
        raise NoRoomError(f"cannot mount hugetlbfs: {done.stderr.strip()}")


def _unmount(folder: Path) -> None:
    """Unmounts, patiently: a process that was just killed may still be on its way out."""
    for tries_left in reversed(range(UNMOUNT_TRIES_MAX)):
        try:
            _run(["umount", folder])
        except NoRoomError:
            if tries_left == 0:
                raise
            time.sleep(UNMOUNT_PAUSE_S)
        else:
            return

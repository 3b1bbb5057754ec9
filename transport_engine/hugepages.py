"""Hugepages for a while: reserves what DPDK needs, and gives back exactly that.

Needs root. Knows nothing of DPDK; `doctor` says whether a machine has hugepages at all.
Each of us locks as many bytes of the pool's file as it counts on pages, so that the next
one knows, also while they lie unused. What we added stands in a file, too: who was killed gave
nothing back, and the next one who is alone does it.
Source: the kernel's admin-guide/mm/hugetlbpage.rst; fcntl(2), "Open file description locks".
"""

import contextlib
import fcntl
import os
import struct
from collections.abc import Generator
from pathlib import Path
from typing import Final

from transport_engine.errors import NoRoomError

PAGE_KIB: Final = 2048
POOL: Final = Path(f"/sys/kernel/mm/hugepages/hugepages-{PAGE_KIB}kB")
LEDGERS: Final = Path("/run")  # where, as with the pages, a reboot forgets them
_FLOCK: Final = struct.Struct("hhqqi4x")
"""`struct flock` of fcntl(2): kind, whence, start, length, pid. Source: asm-generic/fcntl.h."""


@contextlib.contextmanager
def hugepages(megabytes: int, pool: Path = POOL) -> Generator[int]:
    """Has at least so many megabytes of free hugepages while it is open; gives the pages it added.

    Pages that were free before count, and stay; those that others count on here, used or not yet,
    do not.
    Errors: NoRoomError: the kernel has no such pool, not enough memory in one piece, or we are not
    root.
    """
    pages = -(-megabytes * 1024 // PAGE_KIB)
    if pages == 0:
        yield 0
        return
    with _opened(pool) as file:
        with _locked(file):
            claimed = _claimed(file)
            if claimed == 0:
                _give_back_of_the_dead(pool)
            kept = _kept(pool)
            added = _add_missing(pool, pages, claimed)
            more = _kept(pool) - kept
            _claim(file, pages)
            _note(pool, more)
        try:
            yield added
        finally:
            with _locked(file):
                _keep(pool, _kept(pool) - more)
                _note(pool, -more)


def free_megabytes(pool: Path = POOL) -> int:
    """Hugepages of 2 MB that nobody uses, in megabytes; 0 where there is no such pool."""
    try:
        return _read(pool / "free_hugepages") * PAGE_KIB // 1024
    except OSError:
        return 0


@contextlib.contextmanager
def _opened(pool: Path) -> Generator[int]:
    """A descriptor for the locks of the pool, which go when it is closed."""
    try:
        file = os.open(pool / "nr_hugepages", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreserved(error) from error
    try:
        yield file
    finally:
        os.close(file)


@contextlib.contextmanager
def _locked(file: int) -> Generator[None]:
    """Alone among our own, from counting to the last change."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _claim(file: int, pages: int) -> None:
    """Locks as many bytes beyond those that others locked; the kernel forgets it with us."""
    start = max((start + length for start, length in _claims(file)), default=0)
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_RDLCK, 0, start, pages, 0))


def _claimed(file: int) -> int:
    """The pages that others count on."""
    return sum(length for _, length in _claims(file))


def _claims(file: int) -> list[tuple[int, int]]:
    """Start and length of each lock; the kernel names any one of a range that it is asked about."""
    claims: list[tuple[int, int]] = []
    ranges = [(0, 0)]  # start and length; length 0: to the end
    while ranges:
        start, length = ranges.pop()
        asked = _FLOCK.pack(fcntl.F_WRLCK, 0, start, length, 0)
        answer: bytes = fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked)
        kind, _, found, found_length, _ = _FLOCK.unpack(answer)
        if kind == fcntl.F_UNLCK:
            continue
        claims.append((found, found_length))
        end = found + found_length
        if found > start:
            ranges.append((start, found - start))
        if length == 0 or end < start + length:
            ranges.append((end, 0 if length == 0 else start + length - end))
    return claims


def _give_back_of_the_dead(pool: Path) -> None:
    """Takes back what we added and nobody counts on; not where somebody else set the pool since."""
    added, kept = _noted(pool)
    if added > 0 and os.access(pool / "nr_hugepages", os.W_OK):
        if kept == _kept(pool):
            _keep(pool, kept - added)
        _note(pool, -added)


def _note(pool: Path, more: int) -> None:
    """Writes down that we added so many; where we may not, only we ourselves can give them back."""
    if more == 0:
        return
    added = _noted(pool)[0] + more
    with contextlib.suppress(OSError):
        if added > 0:
            _ledger(pool).write_text(f"{added} {_kept(pool)}\n", encoding="ascii")
        else:
            _ledger(pool).unlink(missing_ok=True)


def _noted(pool: Path) -> tuple[int, int]:
    """The pages that we added, living and dead, and those that the kernel kept then."""
    try:
        added, kept = _ledger(pool).read_text(encoding="ascii").split()
        return int(added), int(kept)
    except (OSError, ValueError):
        return 0, 0


def _ledger(pool: Path) -> Path:
    return LEDGERS / f"mrpc{str(pool).replace('/', '-')}"


def _add_missing(pool: Path, pages: int, claimed: int) -> int:
    free = free_megabytes(pool) * 1024 // PAGE_KIB
    missing = max(0, pages - max(0, free - claimed))
    if missing == 0:
        return 0
    kept = _kept(pool)
    total = _read(pool / "nr_hugepages")
    _keep(pool, total + missing)
    added = _read(pool / "nr_hugepages") - total
    if added < missing:
        _keep(pool, kept)
        raise NoRoomError(
            f"the kernel found {added} of {missing} hugepages of {PAGE_KIB // 1024} MB more: free "
            "memory in one piece (echo 1 > /proc/sys/vm/compact_memory), or reserve them at boot "
            f"(hugepages={pages})"
        )
    return added


def _kept(pool: Path) -> int:
    """The pages that the kernel keeps when nobody uses them.

    Not its surplus: pages that a process holds for which the pool has no room any more.
    """
    try:
        return _read(pool / "nr_hugepages") - _read(pool / "surplus_hugepages")
    except OSError as error:
        raise _unreserved(error) from error


def _keep(pool: Path, pages: int) -> None:
    """Has the kernel keep so many pages, as far as it can; those of its surplus are the first."""
    if pages == _kept(pool):
        return
    try:
        (pool / "nr_hugepages").write_text(str(max(0, pages)))
    except OSError as error:
        raise _unreserved(error) from error


def _unreserved(error: OSError) -> NoRoomError:
    return NoRoomError(f"cannot reserve hugepages: {error}; as root: sysctl -w vm.nr_hugepages=512")


def _read(path: Path) -> int:
    return int(path.read_text())

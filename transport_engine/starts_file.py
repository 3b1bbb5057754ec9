"""Files in memory that say what a server had started, for whoever comes after it.

What it notes in its channel is gone with its engine: at once, if that lives in its own process. So
it notes it in a file, too, or there alone. The file's lock is held as long as anybody could store
there: by the process, and by any fork of it. One that listens there next reads the file once that
is over: nothing can start any more, so what it says is final. A file that is torn, of another
version or none at all says nothing.

Source: docs/channel.md §8
"""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import struct
from collections import Counter
from collections.abc import Generator
from itertools import islice
from pathlib import Path
from typing import Final

from transport_engine._native import ffi, lib
from transport_engine.channel import Channel
from transport_engine.endpoint import Endpoint

FILE_BYTES: Final[int] = ffi.sizeof("struct te_starts_file")
DEAD_MAX: Final = 64  # files of the dead that stay in a folder, the newest
DEAD_OF_ADDRESS_MAX: Final = 8  # of these, of one address
LISTED_MAX: Final = 4096  # names that are looked at
_UNKNOWN: Final = (1 << 64) - 1
_WORD: Final = struct.Struct(f"<{1 + lib.TE_STARTS_WORDS}Q")


def default_folder() -> Path:
    """Where this user's files are: on the file system for shared memory, for this user alone."""
    return Path(f"/dev/shm/machnet-{os.geteuid()}")  # noqa: S108 (whoever opens it checks it)


class StartsFile:
    """The file of one server, whose channel notes there from now on, until `close` or `leave`.

    `beside`: it goes on to note in its own memory, too.
    Errors: OSError, TransportError where there can be none.
    """

    def __init__(
        self, channel: Channel, endpoint: Endpoint, folder: Path | None = None, *, beside: bool
    ) -> None:
        self._pid = os.getpid()
        self._fd = -1
        self.path: Path = (folder or default_folder()) / f"{endpoint}.{secrets.token_hex(8)}"
        with _opened(self.path.parent, create=True) as opened:
            _prune(opened)
            # Without a name until all of it is there: nobody takes it for that of a dead server.
            flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
            self._fd = os.open(".", flags, 0o600, dir_fd=opened)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.posix_fallocate(self._fd, 0, FILE_BYTES)  # so that no store fails later
                channel.keep_starts(self._fd, beside=beside)
                os.link(f"/proc/self/fd/{self._fd}", self.path.name, dst_dir_fd=opened)
            except BaseException:
                self.leave()
                raise

    def __repr__(self) -> str:
        return f"<StartsFile {self.path}{' closed' if self._fd < 0 else ''}>"

    def __del__(self) -> None:
        """Leaves it where nobody closed it; not in a child, which may have closed the file."""
        if os.getpid() == self._pid:
            self.leave()

    def close(self) -> None:
        """Removes it: whoever closes has told all callers. A second call does nothing."""
        is_own = os.getpid() == self._pid  # else a fork has it, too, and its server goes on
        if self._fd >= 0 and is_own:
            with contextlib.suppress(OSError):
                self.path.unlink()
        self.leave()

    def leave(self) -> None:
        """Leaves it to whoever asks, once the channel is closed as well."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Predecessors:
    """What servers that listened at one address, and are dead, had started. Thread: one."""

    def __init__(self, endpoint: Endpoint, folder: Path | None = None) -> None:
        self._folder = folder or default_folder()
        self._prefix = f"{endpoint}."
        self._words: dict[str, dict[int, bytes]] = {}  # by file, then by the flow's number
        self._look()

    def __repr__(self) -> str:
        return f"<Predecessors {self._prefix[:-1]}: {len(self._words)} known>"

    def word(self, number: int) -> bytes:
        """What was started of a flow: a `struct te_starts`, little endian; nothing if not known.

        Looks again, since one that left this address may have lived on for a while.
        """
        self._look()
        for words in self._words.values():
            if number in words:
                return words[number]
        return b""

    def _look(self) -> None:
        with contextlib.suppress(OSError), _opened(self._folder) as opened:
            names = [name for name in _names(opened) if name.startswith(self._prefix)]
            known = {name: self._words[name] for name in names if name in self._words}
            for name in names:
                if name not in known:
                    with contextlib.suppress(OSError), _dead(opened, name) as fd:
                        known[name] = _read(fd)
            self._words = known


def words_of(data: bytes) -> dict[int, bytes]:
    """The last words in a file's bytes, by the flows' numbers; any bytes give some, or none."""
    if len(data) != FILE_BYTES:
        return {}
    file = ffi.from_buffer("struct te_starts_file *", data)
    head = (file.magic, file.version, file.flows, file.place_bytes)
    place_bytes = ffi.sizeof("struct te_starts_place")
    if head != (lib.TE_STARTS_MAGIC, lib.TE_STARTS_VERSION, lib.TE_STARTS_FLOWS, place_bytes):
        return {}
    return {
        place.number: _WORD.pack(place.starts.newest, *place.starts.words)
        for place in file.places
        if place.flow and place.number and place.starts.newest != _UNKNOWN
    }


@contextlib.contextmanager
def _opened(folder: Path, *, create: bool = False) -> Generator[int]:
    """A descriptor of a folder that is this user's alone. Errors: OSError."""
    if create:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(0o700)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(opened)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise PermissionError(errno.EPERM, "it is not this user's alone", str(folder))
        yield opened
    finally:
        os.close(opened)


def _names(opened: int) -> list[str]:
    with os.scandir(opened) as listed:
        return [entry.name for entry in islice(listed, LISTED_MAX)]


@contextlib.contextmanager
def _dead(opened: int, name: str) -> Generator[int]:
    """A descriptor of a dead server's file. Errors: OSError; BlockingIOError while it lives."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(name, flags, dir_fd=opened)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield fd
    finally:
        os.close(fd)


def _read(fd: int) -> dict[int, bytes]:
    status = os.fstat(fd)
    is_own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    return words_of(os.pread(fd, FILE_BYTES, 0)) if is_own and status.st_size == FILE_BYTES else {}


def _prune(opened: int) -> None:
    """Removes old files of the dead: nobody asks for them any more."""
    dead: list[tuple[int, str]] = []
    for name in _names(opened):
        with contextlib.suppress(OSError), _dead(opened, name) as fd:
            dead.append((os.fstat(fd).st_mtime_ns, name))
    kept: Counter[str] = Counter()
    for _, name in sorted(dead, reverse=True):
        address = name.rpartition(".")[0]
        if kept[address] < DEAD_OF_ADDRESS_MAX and kept.total() < DEAD_MAX:
            kept[address] += 1
        else:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=opened)

"""The place where a sidecar is found: a UNIX socket, a lock beside it, and their folder.

One lock holder at a time; what a dead one left is cleaned up by the next. Where something that
tidies folders took the lock away, whoever is served at the socket still holds the place. Who fails
leaves no folder that was not there before. Knows no messages.
"""

import contextlib
import fcntl
import os
import socket
import stat
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from transport_engine.errors import ConfigError, NoEngineError

BACKLOG: Final = 4096  # of which the kernel admits net.core.somaxconn
_FOLDER_MODE: Final = 0o750
_ABOVE_MODE: Final = 0o755  # of those above it, whatever the umask: nobody else may rename it
_SOCKET_MODE: Final = 0o660
_LOCK_TRIES_MAX: Final = 16
_PID_BYTES_MAX: Final = 32


class Rendezvous:
    """A listening SOCK_SEQPACKET socket at `path`, until it is closed; `group` may connect, too.

    Errors: NoEngineError if another process is there; ConfigError for a path that cannot be used.
    """

    def __init__(self, path: Path, group: int | None = None) -> None:
        self.path = path
        self._group = group
        self._lock_path = path.with_name(path.name + ".lock")
        self._lock_fd = -1
        self._made = _missing(path.parent)
        try:
            _check_folder(path.parent, group)
            self._lock()
            _remove_stale(path)
            self.socket: socket.socket = self._listening()
        except BaseException:
            self._unlock()
            self._unmake()
            raise

    def __repr__(self) -> str:
        return f"<Rendezvous {self.path}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if error is not None:
            self._unmake()

    def close(self) -> None:
        """Removes the socket and the lock, unless others' are there. A second call does nothing."""
        if self._lock_fd >= 0:
            if _is_at(self._lock_fd, self._lock_path):
                with contextlib.suppress(FileNotFoundError):
                    self.path.unlink()
            self.socket.close()
            self._unlock()

    def _lock(self) -> None:
        """Takes the lock; a holder that ends unlinks its file, which then locks nobody out."""
        for _ in range(_LOCK_TRIES_MAX):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            try:
                lock_fd = os.open(self._lock_path, flags, 0o600)
            except OSError as error:
                raise ConfigError(f"{self._lock_path} cannot be made: {error.strerror}") from error
            try:
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(lock_fd, _PID_BYTES_MAX, 0).decode("ascii", "replace").strip()
                os.close(lock_fd)
                step = ": use it, or take another path"
                if not self.path.exists():
                    step = ", which was removed: end it first"
                raise NoEngineError(
                    f"an engine is there already: process {holder or 'unknown'} serves "
                    f"{self.path}{step}"
                ) from None
            if _is_at(lock_fd, self._lock_path):
                self._lock_fd = lock_fd
                self._sign()
                return
            os.close(lock_fd)
        raise NoEngineError(f"{self._lock_path} changes hands all the time")

    def _sign(self) -> None:
        """Writes into the lock who holds it."""
        try:
            os.truncate(self._lock_fd, 0)
            os.pwrite(self._lock_fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise ConfigError(f"{self._lock_path} cannot be written: {error.strerror}") from error

    def _unmake(self) -> None:
        """Removes the folders that were made for it, unless somebody uses them."""
        with contextlib.suppress(OSError):
            for folder in self._made:
                folder.rmdir()

    def _unlock(self) -> None:
        if self._lock_fd < 0:
            return
        if _is_at(self._lock_fd, self._lock_path):
            with contextlib.suppress(FileNotFoundError):
                self._lock_path.unlink()
        os.close(self._lock_fd)
        self._lock_fd = -1

    def _listening(self) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            listening.setblocking(False)
            listening.bind(str(self.path))
            self.path.chmod(_SOCKET_MODE)
            if self._group is not None:
                os.chown(self.path, -1, self._group)
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            raise ConfigError(f"{self.path} cannot be bound: {error}") from error
        return listening


def _missing(folder: Path) -> list[Path]:
    """The folder and those above it that are not there, the innermost first."""
    try:
        return [each for each in (folder, *folder.parents) if not each.exists()]
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}") from error


def _check_folder(folder: Path, group: int | None) -> None:
    """Makes the folder; refuses one in which somebody else could replace the socket."""
    try:
        if not folder.exists():
            for above in reversed(_missing(folder.parent)):
                above.mkdir(_ABOVE_MODE, exist_ok=True)
            folder.mkdir(_FOLDER_MODE)
            folder.chmod(_FOLDER_MODE)  # whatever the umask
            if group is not None:
                os.chown(folder, -1, group)
        status = folder.stat()
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"{folder} is not a folder")
    is_sticky = bool(status.st_mode & stat.S_ISVTX)
    if status.st_uid not in (0, os.geteuid()) or (status.st_mode & 0o002 and not is_sticky):
        raise ConfigError(
            f"{folder} belongs to user {status.st_uid} with mode {status.st_mode & 0o7777:o}: "
            "others could put a socket of theirs there; choose a folder of your own"
        )


def _remove_stale(path: Path) -> None:
    """Removes the socket of a dead engine, as the lock says, which may have been taken away."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise ConfigError(f"{path} exists and is not a socket; choose another path")
    if _is_served(path):
        raise NoEngineError(
            f"an engine is there already: somebody serves {path}, and its lock was removed"
        )
    path.unlink()


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # its queue is full, or it is a socket of another kind
            return True
    return True


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False

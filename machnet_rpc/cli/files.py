"""Files that a command writes: whole, or as they were before, and named where that fails."""

import contextlib
import os
import tempfile
from collections.abc import Generator
from pathlib import Path


@contextlib.contextmanager
def naming(path: Path) -> Generator[None]:
    """What cannot be written within is said with its name. Errors: OSError."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_whole(path: Path, text: str) -> None:
    """Writes by way of a file beside it, which then takes its place, and its permissions.

    What is no regular file, such as /dev/stdout, is written to. Errors: OSError.
    """
    path = Path(os.path.realpath(path))  # a link stays what it is
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(number, mode)
            os.fsync(number)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


def _umask() -> int:
    """What is asked by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

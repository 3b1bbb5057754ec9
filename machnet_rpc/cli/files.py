"""A file that a command writes: whole, or as it was before."""

import os
import tempfile
from pathlib import Path


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

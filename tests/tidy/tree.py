"""The files of the project, read once; what every tidy test looks through."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class File:
    """A text file of the project; `path` is relative to its root."""

    path: Path
    text: str

    @property
    def lines(self) -> list[str]:
        """The file's lines without their ends."""
        return self.text.splitlines()

    def __str__(self) -> str:
        return self.path.as_posix()


@cache
def files() -> tuple[File, ...]:
    """Every text file that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        check=True,
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    names = sorted(set(listed.stdout.decode().split("\0")) - {""})
    return tuple(file for name in names if (file := _read(Path(name))) is not None)


def matching(*suffixes: str, under: str = ".") -> Iterator[File]:
    """The files with one of the suffixes in the folder `under`."""
    for file in files():
        if file.path.suffix in suffixes and file.path.is_relative_to(under):
            yield file


def _read(path: Path) -> File | None:
    try:
        return File(path, (ROOT / path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):  # binary, deleted, a link
        return None

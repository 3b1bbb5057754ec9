"""The tables of docs/performance.md, each between two marks that carry its name."""

import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs/performance.md"
HELP = "into docs/performance.md"


def machine() -> str:
    """Where figures come from."""
    return f"{os.cpu_count()} CPUs, Python {platform.python_version()}, Linux {platform.release()}"


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its first column is words, the others are figures."""
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def write(name: str, table: str) -> None:
    """Puts the table in place of the one of that name.

    Errors: ValueError: the page has no place for it.
    """
    begin, end = (f"<!-- {name}: {edge} -->" for edge in ("begin", "end"))
    before, found, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    if not found or not after:
        raise ValueError(f"{PAGE} has no {begin} ... {end}")
    PAGE.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")

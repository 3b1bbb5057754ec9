"""The tables of docs/performance.md, each between two marks that carry its name."""

import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs/performance.md"
README = PAGE.parent.parent / "README.md"
HELP = "into docs/performance.md"
CPUINFO = Path("/proc/cpuinfo")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def machine() -> str:
    """Where figures come from."""
    cpus = len(os.sched_getaffinity(0))
    software = f"Python {platform.python_version()}, Linux {platform.release()}"
    return f"{cpus} CPUs ({_model()}, {_governor()}), {software}"


def _model() -> str:
    names = [line for line in CPUINFO.read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()


def _governor() -> str:
    try:
        return f"governor {GOVERNOR.read_text().strip()}"
    except OSError:
        return "no governor to be seen"  # a virtual machine's clock is its host's affair


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its first column is words, the others are figures."""
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def read(name: str, path: Path = PAGE) -> str:
    """The table of that name. Errors: ValueError: the page has none."""
    return _parts(name, path)[1].strip("\n")


def write(name: str, table: str, path: Path = PAGE) -> None:
    """Puts the table in place of the one of that name.

    Errors: ValueError: the page has no place for it.
    """
    before, _, after = _parts(name, path)
    path.write_text(f"{before}\n{table}\n{after}", encoding="utf-8")


def _parts(name: str, path: Path) -> tuple[str, str, str]:
    """What stands up to the mark at which the table begins, the table, and the rest."""
    begin, end = (f"<!-- {name}: {edge} -->" for edge in ("begin", "end"))
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    table, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{path} has no {begin} ... {end}")
    return before + begin, table, end + after

"""What commands share that take a while: intervals, a line of progress, tables, figures."""

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TextIO

from machnet_rpc._aio.termination import termination
from machnet_rpc.cli.arguments import UsageError, seconds

INTERVAL_MIN: Final = 0.05
HOME: Final = "\x1b[H\x1b[J"  # top left, and all that was there is gone
COLUMNS: Final = 80  # of a terminal that says nothing of it
CLEAR_LINE: Final = "\r\x1b[K"
_STEPS: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k"))


def add_interval(parser: argparse.ArgumentParser, default: float | None) -> None:
    """The options that say how often to look."""
    said = "" if default is None else f" (default: {default:g})"
    parser.add_argument(
        "--interval",
        type=seconds,
        default=default,
        metavar="SECONDS",
        help=f"look again, until Ctrl-C{said}",
    )
    parser.add_argument("--count", type=int, metavar="N", help="look so often, then end")


async def repeat(arguments: argparse.Namespace, look: Callable[[], Awaitable[None]]) -> None:
    """Looks once, or at each interval until `--count` or Ctrl-C. Errors: UsageError."""
    interval: float | None = arguments.interval
    count: int | None = arguments.count
    if count is not None and count < 1:
        raise UsageError("--count is from 1")
    if interval is None:
        if count is not None:
            raise UsageError("--count needs an --interval")
        await look()
        return
    if interval < INTERVAL_MIN:
        raise UsageError(f"--interval is at least {INTERVAL_MIN:g} s")
    with termination() as came:
        looks = 0
        while not came.is_set():
            await look()
            looks += 1
            if looks == count:
                return
            try:
                await asyncio.wait_for(came.wait(), interval)
            except TimeoutError:
                continue


class Progress:
    """A line on a terminal's stderr, gone in the end."""

    def __init__(self) -> None:
        self._is_shown = takes_escapes(sys.stderr)

    def __repr__(self) -> str:
        return f"<Progress {'on a terminal' if self._is_shown else 'not shown'}>"

    def show(self, text: str) -> None:
        """Puts this in the place of what stood there, as much as fits."""
        if self._is_shown:
            shown = text[: _columns_of(sys.stderr) - 1]
            print(f"{CLEAR_LINE}{shown}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leaves the line empty."""
        if self._is_shown:
            print(CLEAR_LINE, end="", file=sys.stderr, flush=True)


def takes_escapes(output: TextIO) -> bool:
    """Whether it is a terminal on which what was printed can be replaced."""
    return output.isatty() and os.environ.get("TERM") != "dumb"


def frame_columns() -> int | None:
    """How wide a frame may be that is shown in place; None where nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def show(lines: Sequence[str], *, in_place: bool) -> None:
    """Prints a frame; on a terminal over the one before, if that is wished, as much as fits."""
    if in_place and takes_escapes(sys.stdout):
        columns, rows = shutil.get_terminal_size()
        lines = [line[:columns] for line in lines[: rows - 1]]
        print(HOME, end="")
    print("\n".join(lines), flush=True)


def _columns_of(terminal: TextIO) -> int:
    try:
        return os.get_terminal_size(terminal.fileno()).columns or COLUMNS
    except OSError:
        return COLUMNS


def table(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Lines in columns, the first `left` of which are aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def short(number: float) -> str:
    """A number in a few characters: 12.3M."""
    for size, letter in _STEPS:
        if abs(number) >= size:
            return f"{number / (1e3 if letter == 'k' else size):.1f}{letter}"
    return f"{number:.0f}" if abs(number) >= 10 or number == int(number) else f"{number:.1f}"


def micros(nanoseconds: float) -> str:
    """A time in microseconds; "-" where there is none."""
    return f"{nanoseconds / 1e3:,.1f}" if nanoseconds else "-"

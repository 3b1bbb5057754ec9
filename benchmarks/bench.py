"""How fast is it, beside what one would use instead? `make bench`: the whole table, in 15 minutes.

Every round runs every measure once; figures are medians over the rounds, ratios those of runs that
met the machine in the same state. Prints the table in Markdown; --write puts it into
docs/performance.md, with plots beside it. Ctrl-C ends it with what was measured so far. Exit
status 130 then, else 0: the table says which bars are met.
"""

import argparse
import signal
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from benchmarks import page, plots, report
from benchmarks.hosts import congestion, congestion_allowed, own_loopback
from benchmarks.measures import Measure
from benchmarks.rounds import Results, run_all
from benchmarks.rows import MEASURES, ROWS, Row

ROUNDS, QUICK_ROUNDS, QUICK_SCALE = 5, 2, 0.4


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and with --write writes; returns the exit status."""
    given = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an orderly end, too
    if given.list:
        print("\n".join(f"{row.word:10} {row.title}" for row in ROWS))
        return 0
    rows = chosen(given.only)
    if not rows:
        print(f"no row is called {given.only}; --list says which there are", file=sys.stderr)
        return 2
    if given.write and len(rows) < len(ROWS):
        print("--write needs all rows, for it takes the place of the whole table", file=sys.stderr)
        return 2
    if given.again:
        results = Results.load()
    else:
        rounds = given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS)
        results = measure(measures_of(rows), rounds, QUICK_SCALE if given.quick else 1.0)
        results.save()
    for failure in results.failures:
        print(f"failed: {failure}", file=sys.stderr)
    tables = {
        "bars": "\n\n".join(
            [report.heading(results), report.bars(rows, results), report.count(rows, results)]
        ),
        "echo": report.figures(results),
    }
    print("\n" + "\n\n".join(table for table in tables.values() if table))
    if given.write and not results.was_interrupted:
        for name, table in tables.items():
            page.write(name, table)
        page.write("figures", report.excerpt(page.read("echo")), page.README)
        print(*(f"wrote {path}" for path in _plots(results)), sep="\n")
    return 130 if results.was_interrupted else 0


def chosen(words: Sequence[str]) -> list[Row]:
    """The rows of these words, else those whose title has them in it; all without words."""
    wanted = {row.word: row for row in ROWS if row.word in words}
    for word in set(words) - wanted.keys():
        wanted |= {row.word: row for row in ROWS if word in row.title}
    return [row for row in ROWS if not words or row.word in wanted]


def measures_of(rows: Sequence[Row]) -> list[Measure]:
    """What must be measured for them, each once."""
    wanted = set[str]().union(*(row.measures for row in rows))
    return [measure for name, measure in MEASURES.items() if name in wanted]


def measure(measures: Sequence[Measure], rounds: int, scale: float) -> Results:
    """All of it, with a bar that says how far it is."""
    columns = (
        *(TextColumn("{task.description:52}"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TimeRemainingColumn(elapsed_when_finished=True)),
    )
    console = Console(stderr=True)
    with (
        congestion_allowed(),
        own_loopback() as loopback,
        Progress(*columns, console=console) as progress,
    ):
        bar = progress.add_task("starting", total=None)

        def say(doing: str, done: int, total: int) -> None:
            progress.update(bar, description=doing, completed=done, total=total)
            if not console.is_terminal:
                console.print(doing)

        results = run_all(measures, rounds, loopback, scale, say)
        results.congestion = congestion(loopback)
    return results


def _plots(results: Results) -> list[str]:
    why = plots.missing()
    if why is not None:
        print(f"no plots: {why}", file=sys.stderr)
        return []
    return [str(path) for path in plots.write(results)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--list", action="store_true", help="the rows of the table, by their words")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="WORD",
        help="rows by their words, or by words in their titles",
    )
    parser.add_argument("--quick", action="store_true", help="a few minutes, with more noise")
    parser.add_argument(
        "--rounds", type=int, help=f"interleaved rounds; {ROUNDS}, or {QUICK_ROUNDS} if quick"
    )
    parser.add_argument("--again", action="store_true", help="show the last results, measure none")
    parser.add_argument("--write", action="store_true", help=f"{page.HELP}, with plots beside it")
    return parser


if __name__ == "__main__":
    sys.exit(main())

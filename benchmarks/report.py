"""Results as text: the table of bars, and the figures of every contender."""

from collections.abc import Sequence

from benchmarks import page
from benchmarks.bars import COLUMNS, judge, number, told
from benchmarks.contenders import CONTENDERS
from benchmarks.distribution import medians, noise
from benchmarks.load import Load
from benchmarks.rounds import Results
from benchmarks.rows import Row

FIGURES = (
    *("contender", "p50 µs", "p99 µs", "p99.9 µs", "CPU µs/call"),
    *("calls/s, 1 in flight", "32", "256", "CPU µs/call, 32", "noise"),
)
EXCERPT = {"p50 µs": "p50, µs", "p99.9 µs": "p99.9, µs", "32": "calls/s, 32 in flight"}
QUOTED = ("direct", "inline+udp", "uvloop protocol, TCP", "grpc.aio")
ONE, SOME, MANY = Load(1).key, Load(32).key, Load(256).key
CELLS = (
    *(ONE + name for name in ("p50_us", "p99_us", "p999_us", "cpu_us", "calls_per_s")),
    *(SOME + "calls_per_s", MANY + "calls_per_s", SOME + "cpu_us"),
)


def heading(results: Results) -> str:
    """Which machine, how much of it, and how steady it was."""
    sentences = [
        f"{page.machine()}.",
        f"Medians of {results.rounds_planned} interleaved rounds; server and client pinned to a",
        f"CPU each, engines beside them not; TCP on {results.congestion}. A fixed piece of work",
        f"took up to {results.slowness:.2f}× its best, nine times in ten.",
    ]
    if results.lines_ns:
        near, far = min(results.lines_ns), max(results.lines_ns)
        sentences.append(
            f"A line took {near:.0f} to {far:.0f} ns there and back between the two CPUs."
        )
    if results.was_interrupted:
        sentences.append("Interrupted: this is what had been measured.")
    return " ".join(sentences)


def bars(rows: Sequence[Row], results: Results) -> str:
    """The table of claims."""
    cells: list[list[str]] = []
    for row in rows:
        cells.append([f"**{row.title}**", *[""] * (len(COLUMNS) - 1)])
        cells += [judge(bar, results.by_measure, results.missing).cells for bar in row.bars]
    return page.markdown(COLUMNS, cells)


def count(rows: Sequence[Row], results: Results) -> str:
    """How many bars are met."""
    verdicts = [
        judge(bar, results.by_measure, results.missing).mark for row in rows for bar in row.bars
    ]
    met, missed, untold = (verdicts.count(mark) for mark in ("ok", "NO", "–"))
    return f"{met} bars met, {missed} not, {untold} could not be had here."


def figures(results: Results) -> str:
    """Every contender that echoes 1 KiB on this machine; empty if none was measured."""
    cells: list[list[str]] = []
    for name, rounds in results.by_measure.items():
        there = [said.figures for said in rounds if said is not None]
        middle = medians(there)
        if name not in CONTENDERS or not any(cell in middle for cell in CELLS):
            continue
        shown = [number(middle[cell]) if cell in middle else "" for cell in CELLS]
        rate = (SOME if SOME + "calls_per_s" in middle else ONE) + "calls_per_s"
        spread = noise(told([each.get(rate) for each in there]))
        ways = {said.travelled for said in rounds if said is not None} - {"", name}
        by = f" (by {', '.join(sorted(ways))})" if ways else ""
        cells.append([name + by, *shown, f"{spread:.0%}"])
    return page.markdown(FIGURES, cells) if cells else ""


def excerpt(echo: str) -> str:
    """What the README quotes of the table of `figures`; who went another way is left out."""
    header, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")]
                         for line in echo.splitlines())  # fmt: skip
    columns = [header.index(name) for name in EXCERPT]
    by_name = {line[0]: [line[0], *(line[column] for column in columns)] for line in lines}
    rows = [by_name[name] for name in QUOTED if name in by_name]
    return page.markdown(["", *EXCERPT.values()], rows)

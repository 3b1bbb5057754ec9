"""Bars: a figure of ours beside a number, or beside another's of a run that met the same machine.

Does not know how figures come about, nor what the rows of the table are.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.distribution import noise
from benchmarks.nearness import is_alike
from benchmarks.runs import Said

UNITS = {
    "calls_per_s": "/s",
    "items_per_s": "/s",
    "_us": " µs",
    "_ms": " ms",
    "percent": " %",
    "gb_per_s": " GB/s",
    "kept": "×",
    "kib_per_connection": " KiB",
}
Rounds = Sequence[Said | None]
"""What each round of a measure came to; None where it failed."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A figure of a measure, both by name."""

    measure: str
    figure: str


@dataclass(frozen=True, slots=True)
class Bar:
    """`ours` at least, or at most, `limit` times `against`; alone, `limit` itself.

    `way` is the rung by which the calls must have travelled. Without a limit it is only shown.
    """

    what: str
    ours: Ref
    limit: float | None
    against: Ref | None = None
    is_least: bool = False
    way: str = ""

    @property
    def measures(self) -> set[str]:
        """What must be measured for it."""
        return {self.ours.measure} | ({self.against.measure} if self.against else set())


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar with its figures, as cells of the table."""

    what: str
    ours: str
    against: str
    ratio: str
    bar: str
    noise: str
    mark: str  # "ok", "NO", or "–" where it cannot be told

    @property
    def cells(self) -> list[str]:
        """In the order of the table's columns."""
        return [self.what, self.ours, self.against, self.ratio, self.bar, self.noise, self.mark]


COLUMNS = ("what", "ours", "beside", "ratio", "bar", "noise", "")


def judge(bar: Bar, results: Mapping[str, Rounds], missing: Mapping[str, str]) -> Verdict:
    """What came of a bar."""
    reasons = sorted({missing[name] for name in bar.measures if name in missing})
    ours = column(results, bar.ours)
    theirs = column(results, bar.against) if bar.against else []
    compared = ratios(results, bar.ours, bar.against) if bar.against else told(ours)
    way = _way(results.get(bar.ours.measure, ()))
    if not compared:
        why = "; ".join(reasons) or "not measured"
        return Verdict(bar.what, show(bar.ours, told(ours)), why, "", text(bar), "", "–")
    value = statistics.median(compared)
    against = f"{bar.against.measure}: {show(bar.against, told(theirs))}" if bar.against else ""
    mark = mark_of(bar, value)
    if bar.way and not way.startswith(bar.way):
        mark, against = "NO", f"{against}, by {way}".strip(", ")
    ratio = f"{value:.2f}×" if bar.against else ""
    spread = f"{noise(compared):.0%}"
    return Verdict(bar.what, show(bar.ours, told(ours)), against, ratio, text(bar), spread, mark)


def ratios(results: Mapping[str, Rounds], ours: Ref, theirs: Ref) -> list[float]:
    """Of each run beside that of the nearest round which met the machine in the same state.

    Where fewer than two have one, or nothing is known of it: beside that of the same round.
    """
    mine, others = (_runs(results, ref) for ref in (ours, theirs))
    pairs = [
        (value, min(alike, key=lambda pair: abs(pair[0] - number))[1])
        for number, value, lines_ns in mine
        if (alike := [(each, other) for each, other, met in others if is_alike(lines_ns + met)])
    ]
    of_round = {number: other for number, other, _ in others}
    if len(pairs) < 2:
        pairs = [(value, of_round[number]) for number, value, _ in mine if number in of_round]
    return [value / other for value, other in pairs]


def _runs(results: Mapping[str, Rounds], ref: Ref) -> list[tuple[int, float, list[float]]]:
    """The number of the round, the figure, and how near the processors were."""
    return [
        (number, said.figures[ref.figure], said.lines_ns)
        for number, said in enumerate(results.get(ref.measure, ()))
        if said is not None and said.figures.get(ref.figure)
    ]


def column(results: Mapping[str, Rounds], ref: Ref) -> list[float | None]:
    """A figure in each round."""
    rounds = results.get(ref.measure, ())
    return [said.figures.get(ref.figure) if said is not None else None for said in rounds]


def told(values: Sequence[float | None]) -> list[float]:
    """Of those rounds that have it."""
    return [value for value in values if value is not None]


def mark_of(bar: Bar, value: float) -> str:
    """Whether the bar is met."""
    if bar.limit is None:
        return ""
    return "ok" if (value >= bar.limit if bar.is_least else value <= bar.limit) else "NO"


def text(bar: Bar) -> str:
    """The bar in signs."""
    if bar.limit is None:
        return ""
    sign = "≥" if bar.is_least else "≤"
    unit = "×" if bar.against else unit_of(bar.ours.figure)
    return f"{sign} {number(bar.limit)}{unit}"


def show(ref: Ref, values: Sequence[float]) -> str:
    """The median with its unit; a dash if there is none."""
    return f"{number(statistics.median(values))}{unit_of(ref.figure)}" if values else "–"


def unit_of(figure: str) -> str:
    """By the end of its name, the longest that fits."""
    ends = [end for end in UNITS if figure.endswith(end)]
    return UNITS[max(ends, key=len)] if ends else ""


def number(value: float) -> str:
    """With as many digits as it is worth."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:,.0f}"


def _way(rounds: Rounds) -> str:
    ways = sorted({said.travelled for said in rounds if said is not None})
    return ", ".join(ways)

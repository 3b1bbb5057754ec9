"""`make siege`: what engines and applications survive, at length, beside what they must.

`python -m tests.e2e.siege [--minutes N] [--only WORD]`; exit status 1 if a bar is missed.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from tests.e2e import attachments, engine_kills, forged, garbage, instruction_kills, stopped
from tests.e2e.guests import watched_engine

KILLS: Final = 200
ATTACHMENTS: Final = 10_000
FORGED: Final = 1_000_000
TOLD_MS_MAX: Final = 50.0
BACK_MS_MAX: Final = 500.0
SHARE_BESIDE_GARBAGE_MIN: Final = 0.90
SHARE_BESIDE_STOPPED_MIN: Final = 0.98
RESIDENT_KIB_MAX: Final = 2048
REQUESTS: Final = 2000  # a second from one application: the default
ROUNDS: Final = 3
SECONDS: Final = 10.0


class Outcome(NamedTuple):
    """What was reached, and whether that is good enough."""

    reached: str
    is_good: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing to reach; `measure` takes a folder of its own and the minutes for garbage."""

    what: str
    bar: str
    measure: Callable[[Path, float], Outcome]


def killed_engines(folder: Path, _: float) -> Outcome:
    """Engines killed under load."""
    notes = asyncio.run(engine_kills.Siege(folder, seed=1, direct=False).run(KILLS))
    found = engine_kills.summary(notes)
    told, back = found["told_ms"]["p99"], found["back_ms"]["p99"]
    is_good = not notes.wrong and notes.made == notes.ended and not found["executed_twice"]
    return Outcome(
        f"told p50 {found['told_ms']['p50']} p99 {told} ms, back p99 {back} ms, "
        f"{notes.made} calls, {notes.ended} ended, {len(notes.wrong)} crossed or untrue",
        is_good and told <= TOLD_MS_MAX and back <= BACK_MS_MAX,
    )


def killed_applications(folder: Path, _: float) -> Outcome:
    """Applications killed at every instruction."""
    report = instruction_kills.kill_all_over(folder)
    return Outcome(f"{report.kills} kills, all given back", is_good=True)


def written_garbage(folder: Path, minutes: float) -> Outcome:
    """Every strategy, on an engine under sanitizers."""
    names = garbage.strategies()
    with watched_engine(folder, is_sanitized=True) as engine:
        seen = garbage.besiege(engine, names, minutes * 60 / len(names), seed=1)
        garbage.until_held(engine, channels=0)
    wrong = garbage.surprises(seen)
    rounds = sum(each.rounds for each in seen.values())
    return Outcome(f"{len(seen)} strategies, {rounds} rounds, {wrong or 'as expected'}", not wrong)


def beside_garbage(folder: Path, _: float) -> Outcome:
    """What a neighbour of garbage has, of what it has beside one that only computes."""
    with watched_engine(folder, is_sanitized=False, requests=REQUESTS) as engine:
        share = garbage.share(engine, ROUNDS, SECONDS)["share"]
    return Outcome(f"{share:.1%}", share >= SHARE_BESIDE_GARBAGE_MIN)


def beside_stopped(folder: Path, _: float) -> Outcome:
    """What a neighbour of a stopped application has, of what it has beside an idle one."""
    with watched_engine(folder, is_sanitized=False, limits=stopped.LIMITS) as engine:
        found = asyncio.run(stopped.figure(engine, ROUNDS, SECONDS))
    is_whole = found["taken"] == found["sent"] and not found["wrong"]
    return Outcome(
        f"{found['share']:.1%}, {found['taken']} of {found['sent']} messages",
        is_whole and found["share"] >= SHARE_BESIDE_STOPPED_MIN,
    )


def come_and_gone(folder: Path, _: float) -> Outcome:
    """Attached and detached, half of them killed."""
    with watched_engine(folder, is_sanitized=False) as engine:
        before, after = attachments.come_and_go(engine, ATTACHMENTS)
    grown = after.resident_kib - before.resident_kib
    is_same = (after.descriptors, after.mappings, after.hugepages_kib) == (
        before.descriptors,
        before.mappings,
        before.hugepages_kib,
    )
    return Outcome(
        f"descriptors {before.descriptors} -> {after.descriptors}, hugepages "
        f"{before.hugepages_kib} -> {after.hugepages_kib} KiB, memory {grown:+} KiB",
        is_same and grown <= RESIDENT_KIB_MAX,
    )


def forged_requests(folder: Path, _: float) -> Outcome:
    """Ports and endpoints that the policy keeps from who asks."""
    figures = asyncio.run(forged.run(folder, FORGED))
    refused = sum(figures.answers.values())
    sent = figures.stats["datagrams_sent"]
    return Outcome(f"{refused} refused by their rules, {sent} packets", figures.is_good)


FIGURES: Final = (
    Figure(f"{KILLS} killed engines", "told 50 ms, back 500 ms, nothing crosses", killed_engines),
    Figure("killed at every instruction", "all given back", killed_applications),
    Figure("garbage", "nothing but quarantines", written_garbage),
    Figure("beside garbage", "90 % of beside a busy neighbour", beside_garbage),
    Figure("beside a stopped application", "98 %, nothing lost", beside_stopped),
    Figure(f"{ATTACHMENTS} attachments", "as before", come_and_gone),
    Figure(f"{FORGED} forged ports and endpoints", "none granted, no packet", forged_requests),
)


def main() -> int:
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of garbage")
    parser.add_argument("--only", default="", metavar="WORD", help="figures that say so")
    arguments = parser.parse_args()
    table = Table("figure", "bar", "reached", "")
    is_good = True
    for figure in FIGURES:
        if arguments.only not in figure.what:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcome = figure.measure(Path(folder), arguments.minutes)
            except AssertionError as broken:
                outcome = Outcome(f"a promise was broken: {broken}"[:500], is_good=False)
        is_good &= outcome.is_good
        table.add_row(figure.what, figure.bar, outcome.reached, "ok" if outcome.is_good else "NO")
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())

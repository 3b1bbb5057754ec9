"""`make sim`: what the transport reaches in virtual time, beside what it must.

`python -m tests.sim.report [--seeds N] [--first SEED] [--only WORD]`; exit status 1 if a bar is
missed.
"""

import argparse
import sys

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.sim import figures
from tests.sim.figures import Figure, Outcome


def main() -> int:
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="of the swarm")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="of the swarm")
    parser.add_argument("--only", default="", metavar="WORD", help="figures that say so")
    arguments = parser.parse_args()
    chosen = [figure for figure in figures.FIGURES if arguments.only in figure.what]
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    is_whole = not arguments.only or arguments.only in "swarm"
    table = Table("figure", "bar", "reached", "")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        outcomes = [_measured(figure, progress) for figure in chosen]
        if is_whole:
            task = progress.add_task("swarm", total=len(seeds))
            swarm = figures.swarm_of(seeds, lambda step: progress.advance(task, step))
            chosen.append(Figure("swarm", "0 violations", lambda: swarm))
            outcomes.append(swarm)
    for figure, outcome in zip(chosen, outcomes, strict=True):
        table.add_row(figure.what, figure.bar, outcome.reached, "ok" if outcome.is_good else "NO")
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


def _measured(figure: Figure, progress: Progress) -> Outcome:
    task = progress.add_task(figure.what, total=None)
    try:
        return figure.measure()
    except AssertionError as broken:
        return Outcome(f"a promise was broken: {broken}"[:200], is_good=False)
    finally:
        progress.remove_task(task)


if __name__ == "__main__":
    sys.exit(main())

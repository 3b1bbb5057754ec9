"""Does every call come through once and whole, where the path itself is at fault? `make wire`.

Two hosts, real drivers, and between them rules of the kernel that lose, double and damage packets
(tests/e2e/faulty_wire.py). A call is two messages. Exit status 1 if one was not answered, was
answered wrongly, or came twice.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import page
from tests.e2e.faulty_wire import CLIENTS, Outcome, Rates, run

COLUMNS = (
    *("client's driver", "messages", "calls/s", "packets", "lost", "doubled", "damaged"),
    *("refused by CRC-32C", "violations"),
)
CALLS = 550_000
CALLS_PER_S_MIN = 500


def row(client: str, outcome: Outcome) -> list[str]:
    """One run as cells."""
    rate = outcome.calls / outcome.seconds
    counts = (outcome.seen, outcome.lost, outcome.doubled, outcome.damaged, outcome.refused)
    cells = [client, f"{2 * outcome.calls:,}", f"{rate:,.0f}", *(f"{count:,}" for count in counts)]
    return [*cells, str(outcome.violations)]


def main() -> int:
    """Runs the chosen drivers and prints a table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS, help="for each driver")
    parser.add_argument("--rate", type=float, default=0.01, help="of each fault, each way")
    parser.add_argument("--only", nargs="+", choices=list(CLIENTS), default=list(CLIENTS))
    parser.add_argument("--write", action="store_true", help=page.HELP)
    given = parser.parse_args()
    rates = Rates(given.rate, given.rate, given.rate)
    timeout = 60.0 + given.calls / CALLS_PER_S_MIN
    outcomes: dict[str, Outcome] = {}
    for client in given.only:
        with tempfile.TemporaryDirectory(prefix="mrpc-wire-") as folder:
            outcomes[client] = run(client, given.calls, rates, Path(folder), timeout)
        print(f"{client}: {outcomes[client]}", flush=True)
    rows = [row(client, outcome) for client, outcome in outcomes.items()]
    table = f"{given.rate:.1%} of each fault in each direction, 64 calls in flight; "
    table += f"{page.machine()}.\n\n{page.markdown(COLUMNS, rows)}"
    print(f"\n{table}")
    if given.write:
        page.write("wire", table)
    return 1 if any(outcome.violations for outcome in outcomes.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

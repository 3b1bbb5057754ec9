"""What a message costs in instructions, and where: `python -m benchmarks.instructions`.

Counts with callgrind, so other work on the machine does not show. The C program that works is
tests/transport_engine/csrc/engine/message_cost.c: two applications and one engine in one thread, on
virtual time. A message goes one way; a call is two. System calls are not in it, and there are none.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks import page
from tests.c_builds import LEDGER

CALLS = 2000
TIMEOUT_S = 300.0
CASES = (  # window, flows, bytes
    (1, 1, 1024),
    (32, 1, 1024),
    (32, 1, 64),
    (32, 32, 1024),
    (32, 10_000, 1024),
)
# Source files of a stage; the first that fits counts.
STAGES = {
    "copies": r"memmove|memcpy|memset",
    "CRC-32C": r"base/crc32c|mmintrin",
    "application": r"shm/attachment|engine/message_cost",
    "rings, doorbells": r"/shm/",
    "records → messages": r"engine/(sending|call_header|shares|tenants)",
    "messages → records": r"engine/delivery",
    "send queue, bodies": r"flow/(messages|body|segments|window|store)|base/pool",
    "packets out": r"flow/(transmit|packet|pacer)|engine/output",
    "packets in, reassembly": r"flow/(flow|reassembly|begun|sack)",
    "loss, congestion": r"flow/(ledger|rtt|swift|congestion|cubic)|base/limits",
    "netif": r"/netif/|/ip/",
    "poll, timers": r"engine/(engine|receiving|timers)|base/",
}
LINE = re.compile(r"^\s*([\d,]+) \([^)]*\)\s+(\S+):")


def measured(window: int, flows: int, size: int, calls: int) -> tuple[Counter[str], dict[str, int]]:
    """Instructions by stage, and what the program says of itself."""
    program = LEDGER.program("tests/transport_engine/csrc/message_cost")
    with tempfile.TemporaryDirectory(prefix="mrpc-instructions-") as folder:
        out = Path(folder, "callgrind.out")
        argv = ["valgrind", "--tool=callgrind", "--collect-atstart=no"]
        argv += ["--toggle-collect=measured", f"--callgrind-out-file={out}", str(program)]
        argv += [str(number) for number in (window, flows, size, calls)]
        done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)
        show = ["callgrind_annotate", "--threshold=100", "--auto=no", str(out)]
        listed = subprocess.run(show, check=True, capture_output=True, text=True)
    stages: Counter[str] = Counter()
    for line in listed.stdout.splitlines():
        if found := LINE.match(line):
            stages[stage_of(found[2])] += int(found[1].replace(",", ""))
    return stages, json.loads(done.stdout)


def stage_of(path: str) -> str:
    """The stage to which a source file belongs."""
    return next((name for name, pattern in STAGES.items() if re.search(pattern, path)), "other")


def main() -> int:
    """Prints the ledger; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS, help="that are counted, in each case")
    parser.add_argument("--write", action="store_true", help=page.HELP)
    given = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: apt-get install valgrind", file=sys.stderr)
        return 2
    columns = ["instructions per message"]
    totals: list[tuple[Counter[str], int]] = []
    for window, flows, size in CASES:
        # Each flow has had its turn before, so what is counted is not its first packet.
        stages, _ = measured(window, flows, size, given.calls)
        totals.append((stages, 2 * given.calls))
        columns.append(f"{size} B, {window} in flight, {flows:,} flow{'s' if flows > 1 else ''}")
    names = [*STAGES, "other"]
    rows = [
        [name, *(f"{stages[name] / messages:,.0f}" for stages, messages in totals)]
        for name in names
        if any(stages[name] for stages, _ in totals)
    ]
    rows.append(["**all**", *(f"**{sum(s.values()) / n:,.0f}**" for s, n in totals)])
    table = page.markdown(columns, rows)
    print(table)
    if given.write:
        page.write("instructions", table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

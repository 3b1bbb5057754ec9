"""A reviewed table of throughput over loss and window, so that a change in behaviour is a diff.

`UPDATE=1 pytest tests/sim/test_throughput.py` writes it anew; look at the diff before committing.
"""

import os
from pathlib import Path
from typing import Final

from tests.sim.figures import pair, run

TABLE: Final = Path(__file__).parent / "throughput.txt"
LOSSES: Final = (0.0, 0.0001, 0.001, 0.01, 0.05, 0.2)
WINDOWS: Final = (1, 2, 4, 8, 16, 32, 64)
OPENED_US: Final = 1e6  # the handshake is not what is measured
CONGESTIONS: Final = ("swift", "cubic", "fixed")
HEADER: Final = """\
Gbit/s of message bytes on a 10 Gb/s link with a round trip of 50 us and 1500-byte packets:
messages of 10,000 bytes, so many under way at a time (columns), at a loss each way (rows).
"""


def goodput(congestion: str, loss: float, window: int) -> float:
    work = {"kind": "bulk", "message_bytes": 10_000, "window": window, "start_us": OPENED_US}
    times = {"measure_from_us": OPENED_US, "duration_us": OPENED_US + 40_000}
    draft = pair({"loss": loss}, work, transport={"congestion": congestion}, **times)
    return float(run(draft)["goodput_gbps"])


def drawn() -> str:
    lines = [HEADER]
    for congestion in CONGESTIONS:
        lines.append(f"{congestion:>8} " + "".join(f"{window:>8}" for window in WINDOWS))
        for loss in LOSSES:
            rates = (goodput(congestion, loss, window) for window in WINDOWS)
            lines.append(f"{100 * loss:>6.2f} % " + "".join(f"{rate:>8.3f}" for rate in rates))
        lines.append("")
    return "\n".join(lines)


def test_throughput_is_as_reviewed() -> None:
    table = drawn()
    if os.environ.get("UPDATE"):
        TABLE.write_text(table, encoding="utf-8")
    assert table == TABLE.read_text(encoding="utf-8"), "reviewed? then UPDATE=1"

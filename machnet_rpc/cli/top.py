"""`mrpc top`: what an engine does now, and its busiest flows, on a terminal that is kept up."""

import argparse
import dataclasses
import json
import shutil
from typing import Final

from machnet_rpc.cli import flows, stat
from machnet_rpc.cli.arguments import Commands, add_command
from machnet_rpc.cli.watching import add_interval, frame_columns, repeat, short, show
from transport_engine import Stats, read_flows, read_stats

HEAD_LINES: Final = 6
HELD: Final = ("channels", "listeners", "flows")
RATES: Final = (
    ("messages", "messages_sent", "messages_received"),
    ("bytes", "message_bytes_sent", "message_bytes_received"),
    ("datagrams", "datagrams_sent", "datagrams_received"),
)
EPILOG: Final = """\
try it:
  mrpc top
  mrpc top --interval 0.5
  mrpc top --json --count 10        ten lines, for a program

busy is the share of the engine's turns that found something to do. Flows are those of `mrpc flows`,
as many as fit, with as many columns. Ctrl-C ends it.

exit status: 0 it was ended, 3 there is no engine, or it went
"""


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "top", run, "watch what an engine does")
    parser.epilog = EPILOG
    parser.add_argument("--engine", metavar="SOCKET", help="the sidecar behind this socket")
    add_interval(parser, 1.0)


async def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    before: Stats | None = None

    async def look() -> None:
        nonlocal before
        stats = await read_stats(arguments.engine)
        reports = await read_flows(arguments.engine)
        if arguments.json:
            facts = {"stats": stats, "flows": [dataclasses.asdict(each) for each in reports]}
            print(json.dumps(facts), flush=True)
        else:
            height = max(shutil.get_terminal_size().lines - HEAD_LINES - 2, 1)
            lines = flows.lines_of(reports, frame_columns())[:height]
            show([*head_of(stats, before), *lines], in_place=True)
        before = stats

    await repeat(arguments, look)
    return 0


def head_of(stats: Stats, before: Stats | None) -> list[str]:
    """What the engine does a second; since it began where there is nothing to compare with."""
    grown = stats if before is None else stat.growth(stats, before)
    passed = (stats["now_ns"] - (before["now_ns"] if before else 0)) / 1e9
    polls = max(grown["polls"], 1)
    since = "in all" if before is None else "a second"
    divisor = 1.0 if before is None else max(passed, 1e-9)
    rates = [
        f"{what} {since}: {short(grown[sent] / divisor)} sent, "
        f"{short(grown[received] / divisor)} received"
        for what, sent, received in RATES
    ]
    lost, repeated = grown["packets_lost"], grown["packets_retransmitted"]
    held = ", ".join(f"{stats[f'{what}_open']} {what}" for what in HELD)
    return [
        f"{held}; busy {100 * (1 - grown['polls_idle'] / polls):.0f} %",
        *rates,
        f"packets {since}: {short(lost / divisor)} lost, {short(repeated / divisor)} sent again",
        "",
    ]

"""`mrpc flows`: the open flows of this machine's engine, with their round trips and losses."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from typing import Final

from machnet_rpc.cli.arguments import Commands, add_command
from machnet_rpc.cli.watching import (
    add_interval,
    frame_columns,
    micros,
    repeat,
    short,
    show,
    table,
)
from transport_engine import read_flows
from transport_engine.flows import FlowReport

HEAD: Final = (
    "local",
    "remote",
    "channel",
    "age s",
    "srtt µs",
    "min µs",
    "window",
    "in flight",
    "messages",
    "sent",
    "lost %",
    "packet",
)
OMITTED: Final = ("packet", "age s", "min µs", "channel", "messages", "in flight", "window")
"""What a narrow terminal does without, the first of them first."""
EPILOG: Final = """\
try it:
  mrpc flows                        all that this user may see
  mrpc flows --interval 1           again each second, until Ctrl-C
  mrpc flows --engine /run/machnet/engine.sock --json

window and in flight are bytes; messages are those that are not whole at the peer; sent and lost
count packets; packet is the longest, in bytes of UDP payload. Root and the engine's own user see
all flows, others those of their tenant. A flow between two applications of one engine is two lines;
calls on the direct rung pass no engine. With --interval a narrow terminal is shown fewer columns;
into a file, or with --json, all are.

exit status: 0 they were read, 3 there is no engine
"""


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "flows", run, "list the open flows of an engine")
    parser.epilog = EPILOG
    parser.add_argument("--engine", metavar="SOCKET", help="the sidecar behind this socket")
    add_interval(parser, None)


async def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""

    async def look() -> None:
        flows = await read_flows(arguments.engine)
        if arguments.json:
            print(json.dumps([dataclasses.asdict(flow) for flow in flows]), flush=True)
        else:
            in_place = arguments.interval is not None
            show(lines_of(flows, frame_columns() if in_place else None), in_place=in_place)

    await repeat(arguments, look)
    return 0


def lines_of(flows: Sequence[FlowReport], columns: int | None = None) -> list[str]:
    """The flows as a table, those with the most in flight first, as wide as `columns` at most."""
    busiest = sorted(flows, key=lambda flow: (-flow.in_flight_bytes, -flow.packets_sent))
    rows: list[tuple[str, ...]] = [HEAD, *map(_row, busiest)]
    for omitted in OMITTED:
        lines = table(rows, left=2)
        if columns is None or max(map(len, lines)) <= columns:
            return lines
        place = rows[0].index(omitted)
        rows = [(*row[:place], *row[place + 1 :]) for row in rows]
    return table(rows, left=2)


def _row(flow: FlowReport) -> tuple[str, ...]:
    lost = 100 * flow.packets_lost / flow.packets_sent if flow.packets_sent else 0.0
    return (
        flow.local,
        flow.remote,
        "gone" if flow.channel is None else str(flow.channel),
        short(flow.open_ns / 1e9),
        micros(flow.srtt_ns),
        micros(flow.rtt_min_ns),
        short(flow.window_bytes),
        short(flow.in_flight_bytes),
        short(flow.messages),
        short(flow.packets_sent),
        f"{lost:.3g}",
        str(flow.packet_bytes),
    )

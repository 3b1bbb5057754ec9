"""`mrpc stat`: the counters of this machine's engine, or of a server."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from typing import Final

from machnet_rpc.cli.arguments import Commands, UsageError, add_command, add_target, client_of
from machnet_rpc.cli.watching import add_interval, micros, repeat, short, show, table
from machnet_rpc.reflection import BUILT_IN
from machnet_rpc.statistics import MethodStatistics, ServerStatistics, StatisticsContract
from transport_engine import Stats, read_stats

EPILOG: Final = """\
try it:
  mrpc stat                               the engine that applications here attach to
  mrpc stat --interval 1                  what it does each second
  mrpc stat --engine /run/machnet/engine.sock --core 0 --json
  mrpc stat 127.0.0.1:7000                the calls of a server, by method
  mrpc stat 127.0.0.1:7000 --interval 1   and how many a second

An engine's counters are those of its whole life; with --interval each line says by how much they
have grown. Those that are 0 are left out, unless --all is given. Reading them costs the
applications nothing.

exit status: 0 they were read, 1 the server does not answer, 3 there is no engine
"""
LATEST: Final = (
    "now_ns",
    "channels_open",
    "flows_open",
    "listeners_open",
    "pool_blocks",
    "pool_blocks_free",
)
"""What is no count: it is shown as it is."""


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "stat", run, "show what an engine, or a server, has done")
    parser.epilog = EPILOG
    add_target(parser, is_needed=False)
    add_interval(parser, None)
    parser.add_argument("--core", type=int, metavar="N", help="one of the engine's, from 0")
    parser.add_argument("--all", action="store_true", help="what is 0, or built in, too")


async def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    if arguments.address is None:
        await _watch_engine(arguments)
    elif arguments.core is not None:
        raise UsageError("--core is of an engine: leave the address out")
    else:
        await _watch_server(arguments)
    return 0


async def _watch_engine(arguments: argparse.Namespace) -> None:
    for option in ("metadata", "require"):
        if getattr(arguments, option):
            raise UsageError(f"--{option} is for a server: give its address")
    before: Stats | None = None

    async def look() -> None:
        nonlocal before
        stats = await read_stats(arguments.engine, arguments.core, timeout=arguments.timeout)
        _show_engine(arguments, stats, before)
        before = stats

    await repeat(arguments, look)


def _show_engine(arguments: argparse.Namespace, stats: Stats, before: Stats | None) -> None:
    if arguments.json:
        print(json.dumps(stats), flush=True)
        return
    grown = stats if before is None else growth(stats, before)
    shown = {name: each for name, each in grown.items() if each or arguments.all}
    if before is None:
        rows = [(name, f"{each:,}") for name, each in shown.items()]
        show(table(rows), in_place=False)
        return
    figures = (f"{name} {short(each)}" for name, each in shown.items() if name not in LATEST)
    print("  ".join(figures) or "nothing", flush=True)


def growth(stats: Stats, before: Stats) -> Stats:
    """By how much each counter has grown; what is no count is as it is."""
    return {
        name: each if name in LATEST else max(each - before.get(name, 0), 0)
        for name, each in stats.items()
    }


async def _watch_server(arguments: argparse.Namespace) -> None:
    before: ServerStatistics | None = None
    async with client_of(arguments) as client:
        contract = client.stub(StatisticsContract)

        async def look() -> None:
            nonlocal before
            statistics = await contract.read()
            if arguments.json:
                print(json.dumps(dataclasses.asdict(statistics)), flush=True)
            else:
                show(lines_of(statistics, before, is_all=arguments.all), in_place=False)
            before = statistics

        await repeat(arguments, look)


def lines_of(
    statistics: ServerStatistics, before: ServerStatistics | None, *, is_all: bool
) -> list[str]:
    """A server's statistics as text; with those before, calls per second."""
    earlier = {each.method: each for each in before.methods} if before else {}
    passed = statistics.up_seconds - before.up_seconds if before else 0.0
    head = (
        f"{statistics.address} by {statistics.transport.partition(' ')[0]}, up "
        f"{statistics.up_seconds:,.0f} s, {statistics.flows} flows, "
        f"{statistics.under_way} calls under way"
    )
    rows: list[Sequence[str]] = [
        ("method", "calls", "/s", "under way", "failed", "p50 µs", "p99 µs", "p99.9 µs", "max µs")
    ]
    shown = [each for each in statistics.methods if is_all or not each.method.startswith(BUILT_IN)]
    rows += [_row(each, earlier.get(each.method), passed) for each in shown]
    failures = [
        f"  {each.method}: {code} {count:,}"
        for each in shown
        for code, count in each.ended.items()
        if code != "OK"
    ]
    return [head, *table(rows), *failures]


def _row(each: MethodStatistics, earlier: MethodStatistics | None, passed: float) -> Sequence[str]:
    rate = "-" if earlier is None else short((each.begun - earlier.begun) / max(passed, 1e-9))
    failed = sum(count for code, count in each.ended.items() if code != "OK")
    latency = each.latency
    times = (latency.p50, latency.p99, latency.p999, latency.longest)
    counts = (f"{each.begun:,}", rate, str(each.under_way), f"{failed:,}")
    return (each.method, *counts, *(micros(time * 1e9) for time in times))

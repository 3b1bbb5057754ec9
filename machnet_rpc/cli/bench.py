"""`mrpc bench`: load on a method, and how long its calls take."""

import argparse
import asyncio
import contextlib
import importlib.util
import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from machnet_rpc._aio.termination import termination
from machnet_rpc._calling import split_name
from machnet_rpc.cli import percentile_plot
from machnet_rpc.cli.arguments import (
    Commands,
    UsageError,
    add_command,
    add_target,
    client_of,
    rate,
    seconds,
)
from machnet_rpc.cli.binary import with_bytes
from machnet_rpc.cli.call import check_taken, described_of, payload_of, request_of
from machnet_rpc.cli.files import naming
from machnet_rpc.cli.load import IN_FLIGHT_MAX, WATCH_SECONDS, Call, Load, Measured, Plan
from machnet_rpc.cli.watching import Progress, takes_escapes
from machnet_rpc.client import Client
from machnet_rpc.errors import RpcError
from machnet_rpc.streams import Stream

INTERVAL_MIN: Final = 1e-5
KINDS: Final = ("unary", "server_stream", "oneway")
BAR_WIDTH: Final = 30
REACHED: Final = 0.95  # of the rate that was asked for
EPILOG: Final = """\
try it:
  mrpc bench 127.0.0.1:7000 shop/price '"apple"'                  one call after another
  mrpc bench 127.0.0.1:7000 shop/price '"apple"' --in-flight 64   64 at a time (closed loop)
  mrpc bench 127.0.0.1:7000 shop/price '"apple"' --rate 20000     20,000 a second (open loop)
  mrpc bench 127.0.0.1:7000 shop/price '"apple"' --rate 20000 --plot price.svg

At a rate, the time of a call counts from when it was due, so a stall of the server is seen in all
the calls that it delays. In a closed loop nobody calls while the server stalls;
--expected-interval counts those calls in. Calls that ran out of time count with the time that they
took; other failures are counted by their code. Ctrl-C prints what was measured until then.

exit status: 0 all calls were answered, 1 some failed or none was measured, 130 interrupted
"""


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "bench", run, "measure a method under load")
    parser.epilog = EPILOG
    add_target(parser)
    parser.add_argument("method", metavar="SERVICE/METHOD", help="as `mrpc ls ADDR` shows it")
    parser.add_argument("request", metavar="JSON", nargs="?", help="the argument, or - for stdin")
    parser.add_argument("--rate", type=rate, metavar="N", help="calls a second (open loop)")
    parser.add_argument(
        "--in-flight",
        type=int,
        metavar="N",
        help=f"calls at a time (default: 1; with --rate the most, {IN_FLIGHT_MAX})",
    )
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=5.0,
        metavar="S",
        help="how long to measure (default: %(default)s)",
    )
    parser.add_argument(
        "--warm-up",
        type=float,
        default=1.0,
        metavar="S",
        help="before that, not measured (default: %(default)s)",
    )
    parser.add_argument(
        "--expected-interval",
        type=seconds,
        metavar="S",
        help="between calls of a closed loop, to correct for coordinated omission",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the percentiles")


async def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    plan = plan_of(arguments)
    if arguments.plot is not None:
        _check_plot(arguments.plot)
    async with client_of(arguments) as client:
        call = await _call_of(client, arguments)
        await _tried(call)
        with termination() as stop:
            load = Load(call, plan, stop)
            measured = await _watched(load)
            was_interrupted = stop.is_set()
        facts = facts_of(measured, plan) | {
            "address": client.address,
            "method": arguments.method,
            "transport": str(client.transport),
        }
        rung = client.transport.rung
    if arguments.json:
        print(json.dumps(facts))
    else:
        print(f"{arguments.method} at {arguments.address} by {rung}")
        _print_table(facts, measured, plan)
    _say_what_failed(measured, plan)
    if arguments.plot is not None and measured.latencies.total:
        title = f"{arguments.method} at {arguments.address}, {_load_in_words(plan)}"
        with naming(arguments.plot):
            percentile_plot.draw(arguments.plot, title, *measured.latencies.curve())
    if was_interrupted:
        return 130
    return 1 if measured.failed or not measured.answered else 0


def plan_of(arguments: argparse.Namespace) -> Plan:
    """The load that the command line asks for. Errors: UsageError."""
    rate = arguments.rate or 0.0
    in_flight = arguments.in_flight or (IN_FLIGHT_MAX if rate else 1)
    interval = arguments.expected_interval or 0.0
    if not 1 <= in_flight <= IN_FLIGHT_MAX or arguments.in_flight == 0:
        raise UsageError(f"--in-flight is from 1 to {IN_FLIGHT_MAX}")
    if not 0 <= arguments.warm_up < 1e6:
        raise UsageError("--warm-up is a number of seconds, from 0")
    if interval and rate:
        raise UsageError("--expected-interval is for a closed loop: with --rate nothing is omitted")
    if interval and interval < INTERVAL_MIN:
        raise UsageError(f"--expected-interval is at least {INTERVAL_MIN:g} s")
    return Plan(arguments.seconds, arguments.warm_up, in_flight, rate, interval)


def facts_of(measured: Measured, plan: Plan) -> dict[str, Any]:
    """What was measured, for --json. Latencies are in microseconds."""
    return {
        "mode": "open" if plan.rate else "closed",
        "rate": plan.rate or None,
        "in_flight": plan.in_flight,
        "most_in_flight": measured.most_in_flight,
        "expected_interval": plan.interval or None,
        "warm_up": plan.warm_up,
        "seconds": round(measured.seconds, 3),
        "answered": measured.answered,
        "calls_per_second": round(measured.rate, 1),
        "errors": dict(measured.errors),
        "latency_us": measured.latencies.summary(),
    }


async def _call_of(client: Client, arguments: argparse.Namespace) -> Call:
    """What makes one call. Errors: UsageError, RpcError."""
    name: str = arguments.method
    described = await described_of(client, *split_name(name))
    kind = "unary" if described is None else described.kind
    if kind not in KINDS:
        raise UsageError(f"{name} takes a stream ({kind}), which bench does not make")
    is_raw = described is not None and described.raw_argument
    request = request_of(arguments.request)
    check_taken(name, described, request)
    payload = payload_of(with_bytes(described, request), is_raw=is_raw)
    if kind == "unary":
        return lambda: client.call(name, payload)

    def begin() -> Coroutine[Any, Any, object]:
        begun: Stream[object] | Coroutine[Any, Any, object]
        begun = client.begin_by_name(name, kind, payload)
        return _drained(begun) if isinstance(begun, Stream) else begun

    return begin


async def _tried(call: Call) -> None:
    """One call, which opens the flow. Errors: RpcError where it cannot be made."""
    try:
        await call()
    except RpcError as error:
        if error.executed == "no":
            raise


async def _drained(items: Stream[object]) -> None:
    async with items:
        async for _ in items:
            pass


async def _watched(load: Load) -> Measured:
    """Runs it, and shows a terminal how far it is."""
    if not takes_escapes(sys.stderr):
        return await load.run()
    progress, running = Progress(), asyncio.create_task(load.run())
    try:
        while not running.done():
            measured = load.measured
            done = round(load.progress * BAR_WIDTH)
            bar = "█" * done + "░" * (BAR_WIDTH - done)
            said = f"{bar} {measured.answered:,} answered, {measured.failed:,} failed"
            progress.show(said)
            await asyncio.wait([running], timeout=WATCH_SECONDS)
    finally:
        progress.clear()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    return running.result()


def _say_what_failed(measured: Measured, plan: Plan) -> None:
    ended = measured.answered + measured.failed
    if not ended:
        print(
            "mrpc: nothing was measured: no call began after the warm-up; measure for longer "
            "(--seconds), or from the first call on (--warm-up 0)",
            file=sys.stderr,
        )
    elif plan.rate and ended < plan.rate * measured.seconds * REACHED:
        print(
            f"mrpc: {measured.rate:,.0f} of {plan.rate:,.0f} calls a second were answered: the "
            "server, or this client, cannot do more",
            file=sys.stderr,
        )
    if measured.last_error is not None:
        print(f"mrpc: the last failure: {measured.last_error}", file=sys.stderr)


def _print_table(facts: dict[str, Any], measured: Measured, plan: Plan) -> None:
    print(
        f"{_load_in_words(plan)}, {facts['seconds']:g} s after {plan.warm_up:g} s of warm-up: "
        f"{measured.answered:,} answers, {measured.rate:,.0f} a second"
    )
    for name, figure in facts["latency_us"].items():
        print(f"  {name:>7} {figure:>12,.1f} µs")
    for code, count in measured.errors.most_common():
        print(f"  {code}: {count:,}")


def _load_in_words(plan: Plan) -> str:
    if plan.rate:
        return f"{plan.rate:,.10g} calls a second"
    corrected = f", corrected for one each {plan.interval:g} s" if plan.interval else ""
    return f"{plan.in_flight} in flight{corrected}"


def _check_plot(path: Path) -> None:
    """Errors: UsageError, before anything is measured."""
    if path.suffix.lower() != ".svg":
        raise UsageError(f"--plot draws SVG: {path.name} must end in .svg")
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib: pip install 'machnet-rpc[plot]'")
    if not path.parent.is_dir():
        raise UsageError(f"--plot: there is no folder {path.parent}")

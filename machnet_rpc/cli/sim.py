"""`mrpc sim`: a scenario in, a verdict out; whole networks in virtual time under one seed.

The schema of scenarios, the answer and the trace are described in docs/simulator.md.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machnet_rpc.cli.arguments import Commands, add_command
from machnet_rpc.cli.files import naming
from machnet_rpc.cli.watching import Progress, takes_escapes
from transport_engine import scenario, simulator
from transport_engine.errors import ConfigError

EPILOG = """\
exit status: 0 the verdict is pass, 1 a promise was broken, 2 the scenario is wrong,
3 there is not the memory or the disk for it, 130 interrupted
"""


def add(commands: Commands) -> None:
    """Declares the command."""
    summary = "run a network scenario in virtual time"
    parser = commands.add_parser("sim", help=summary, description=f"{summary.capitalize()}.")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    running = add_command(actions, "run", run, "run a scenario; print its answer as JSON")
    running.epilog = EPILOG
    running.add_argument("scenario", metavar="SCENARIO.json", help="the scenario; - for stdin")
    running.add_argument("--seed", type=_seed, help="in place of the scenario's own")
    running.add_argument(
        "--trace", metavar="FILE", type=Path, help="write a line of JSON for each packet"
    )
    add_command(actions, "schema", show_schema, "print the JSON Schema of scenarios")


def run(arguments: argparse.Namespace) -> int:
    """Runs a scenario; returns the exit status."""
    source = "/dev/stdin" if arguments.scenario == "-" else arguments.scenario
    loaded = simulator.load(source)
    with contextlib.ExitStack() as stack:
        trace = None
        if arguments.trace is not None:
            stack.enter_context(naming(arguments.trace))
            trace = _writer(arguments.trace, stack)
        watch = _watch(loaded.duration_us, stack) if takes_escapes(sys.stderr) else None
        answer = simulator.run(loaded, arguments.seed, trace, watch)
    print(json.dumps(answer, indent=2))
    return 0 if answer["verdict"] == "pass" else 1


def show_schema(_: argparse.Namespace) -> int:
    """Prints what a scenario may say."""
    print(json.dumps(scenario.schema(), indent=2))
    return 0


def _writer(path: Path, stack: contextlib.ExitStack) -> Callable[[dict[str, Any]], None]:
    try:
        file = stack.enter_context(path.open("w", encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--trace {path}: {error.strerror}") from error
    return lambda line: print(json.dumps(line), file=file)


def _watch(duration_us: float, stack: contextlib.ExitStack) -> Callable[[float, int], None]:
    """A line on stderr that says how far a long run is; it is gone in the end."""
    progress = Progress()
    stack.callback(progress.clear)
    goal = f"{duration_us / 1000:,.0f}"

    def show(now_us: float, packets: int) -> None:
        progress.show(f"{now_us / 1000:,.1f} ms (work ends by {goal} ms), {packets:,} packets")

    return show


def _seed(text: str) -> int:
    try:
        seed = int(text, 0)
    except ValueError:
        seed = -1
    if not 0 <= seed < 1 << 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to 2^64 - 1")
    return seed

"""`python -m examples.demo`: real input, real processes, two engines, every answer checked.

Two engines stand for two hosts. A key–value store and an order gateway run on one, their clients on
the other. The exit status is 0 only if every answer and the final state were right.
"""

from __future__ import annotations

import argparse
import errno
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console

from examples.command import discard_output, whole_number
from examples.data import LOBSTER_HOUR, OLTP_TRACE, find
from examples.demo.hosts import WIRES
from examples.demo.measure import Cost, cost, read
from examples.demo.processes import Child, ChildError, Children
from examples.demo.report import table
from examples.demo.site import GATEWAY_PORT, STORE_PORT, NoWireError, Site, bring_up
from transport_engine.errors import TransportError

if TYPE_CHECKING:
    from types import FrameType

LOAD_SECONDS = 300.0
ENDING = (signal.SIGTERM, signal.SIGHUP)  # beside Ctrl-C; the latter: its terminal was closed


@dataclass(frozen=True, slots=True)
class Load:
    """A client to be run, and whose answers it asks for."""

    title: str
    argv: list[str]
    server: Child
    port: int


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    made.add_argument("--wire", choices=list(WIRES), help="this wire and no other")
    made.add_argument("--window", type=whole_number(1, 1024), default=32, help="calls under way")
    made.add_argument("--messages", type=whole_number(1), default=91_997, help="of order flow")
    made.add_argument("--accesses", type=whole_number(1), default=400_000, help="to the store")
    return made


def loads(arguments: argparse.Namespace, site: Site) -> list[Load]:
    """Real input where it is present, else a generated load."""
    window = ["--window", str(arguments.window), "--json"]
    play = ["examples.trading", "play", "--count", str(arguments.messages), *window]
    if find(LOBSTER_HOUR) is None:
        play.append("--synthetic")
        flow = "made-up order flow"
    else:
        flow = "order flow of AAPL, 2012-06-21, 09:30 to 10:30"
    if find(OLTP_TRACE) is None:
        store = ["examples.kvstore", "load", "--operations", str(arguments.accesses), *window]
        trace = "YCSB A"
    else:
        store = ["examples.kvstore", "trace", "--accesses", str(arguments.accesses), *window]
        trace = "OLTP trace of the ARC paper"
    return [
        Load(f"Exchange: {flow}", play, site.gateway, GATEWAY_PORT),
        Load(f"Key–value store: {trace}", store, site.store, STORE_PORT),
    ]


def run(children: Children, site: Site, load: Load) -> tuple[dict[str, Any], Cost]:
    """Run a client to its end; its result and what it cost the others.

    Errors: ChildError, TransportError.
    """
    watched = {load.server.name: load.server, **site.engines}
    before = read(site.wire, watched)
    address = f"{site.wire.servers.address}:{load.port}"
    route = ["--server", address, "--engine", str(site.wire.clients.socket)]
    client = children.start(
        "client", [sys.executable, "-m", *load.argv, *route], shows_progress=True
    )
    result = client.said(LOAD_SECONDS)
    return result, cost(before, read(site.wire, watched), result["calls"])


def verdict(result: dict[str, Any]) -> str:
    """What the client checked, in words."""
    answers = f"{result['answers_checked']:,} answers, {result['answers_wrong']} wrong"
    if "book_is_equal" in result:
        book = "equals" if result["book_is_equal"] else "DIFFERS FROM"
        levels = result["book_levels"]
        return f"{answers}; the final book ({levels} levels) {book} one computed here"
    return f"{answers}; {result['items']:,} items in the store at the end"


def play_all(
    arguments: argparse.Namespace, console: Console, stack: ExitStack, directory: Path
) -> list[tuple[Load, dict[str, Any], Cost]]:
    """Bring everything up, and run all clients; leaving `stack` takes it down.

    Errors: NoWireError, ChildError, TransportError.
    """
    with console.status("starting two engines, a key–value store and an order gateway"):
        site = bring_up(stack, directory, arguments.wire)
    console.print(f"[bold]wire[/bold]  {site.wire.title}: {site.why}")
    for reason in site.reasons:
        console.print(f"      {reason}", style="dim")
    children = stack.enter_context(Children(directory))
    return [(load, *run(children, site, load)) for load in loads(arguments, site)]


def demonstrate(arguments: argparse.Namespace, console: Console) -> bool:
    """The whole demo; whether all was right."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mrpc-demo-")))
        stack.callback(signal.signal, signal.SIGINT, signal.default_int_handler)
        for number in ENDING:
            stack.callback(signal.signal, number, signal.getsignal(number))
        try:
            outcomes = play_all(arguments, console, stack, directory)
        finally:
            for number in (signal.SIGINT, *ENDING):  # a second Ctrl-C must not stop stopping
                signal.signal(number, signal.SIG_IGN)
    for load, result, spent in outcomes:
        console.print()
        title = f"{load.title} ({arguments.window} calls under way)"
        console.print(table(title, result, spent, verdict(result)))
    return all(result["is_right"] for _, result, _ in outcomes)


def terminate(number: int, frame: FrameType | None) -> NoReturn:
    """A signal ends the demo as an exception does, so that everything is taken down."""
    del frame
    sys.exit(128 + number)


def main() -> int:
    arguments = parser().parse_args()
    console = Console(stderr=False)
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, terminate)
    try:
        is_right = demonstrate(arguments, console)
    except KeyboardInterrupt:
        return 130
    except (ChildError, NoWireError, OSError, TransportError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            discard_output()
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not is_right:
        print("error: not every answer was right", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

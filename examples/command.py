"""What the examples' command lines share: arguments, signals, results.

A server says on standard output, in one line of JSON, that it serves; it ends on SIGINT or SIGTERM.
A client shows a progress bar on standard error and its result on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import uvloop
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from machnet_rpc import AddressError, ContractError, RpcError, Server, serve
from transport_engine.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

WINDOW_MAX = 4096
MENDABLE: tuple[type[Exception], ...] = (
    AddressError,
    ContractError,
    OSError,
    RpcError,
    TransportError,
)


def whole_number(least: int, most: int = 2**53) -> Any:
    """An argument type: a whole number within bounds."""

    def parse(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{number} is not within {least} to {most}")
        return number

    parse.__name__ = "whole number"
    return parse


def add_transport_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of everything that attaches to an engine."""
    parser.add_argument(
        "--engine", metavar="SOCKET", help="the sidecar to attach to (default: what is there)"
    )
    parser.add_argument(
        "--require",
        choices=["bypass"],
        help="fail rather than send packets through the kernel",
    )


def add_client_arguments(parser: argparse.ArgumentParser, address: str) -> None:
    """Arguments of all loads."""
    parser.add_argument("--server", default=address, help="host:port (default: %(default)s)")
    parser.add_argument(
        "--window",
        type=whole_number(1, WINDOW_MAX),
        default=32,
        help="calls under way at a time (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_transport_arguments(parser)


async def serve_until_signal(
    implementation: object, arguments: argparse.Namespace, close: Callable[[], None] | None = None
) -> int:
    """Serve at `arguments.listen` until SIGINT or SIGTERM; a second one ends it at once.

    `close` ends the calls that would not end by themselves; those that do are waited for.
    """
    async with serve(
        implementation, arguments.listen, via=arguments.engine, require=arguments.require
    ) as server:
        # In this order: signals are heard before anybody is told whom to send them to.
        await asyncio.gather(server.until_terminated(), _say_ready(server))
        if close is not None:
            close()
    return 0


async def _say_ready(server: Server) -> None:
    ready = {"address": server.address, "transport": str(server.transport)}
    print(json.dumps(ready), flush=True)


def show(title: str, result: dict[str, Any], *, as_json: bool) -> None:
    """Print the result of a load."""
    if as_json:
        print(json.dumps(result), flush=True)
        return
    table = Table(title=escape(title), title_justify="left", show_header=False)
    for name, value in result.items():
        text = f"{value:,.1f}" if isinstance(value, float) else str(value)
        table.add_row(name.replace("_", " "), escape(text))
    Console().print(table)


def run(main: Coroutine[Any, Any, int], expected: tuple[type[Exception], ...]) -> int:
    """Run a command; what the user can mend is a sentence and exit status 1.

    `expected` are exceptions of its own that are such sentences.
    """
    _open_standard_streams()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read has gone
        discard_output()
        return 1
    except MENDABLE + expected as error:
        sentence = str(error)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            discard_output()
            sentence = f"cannot print: {error.strerror}"
        print(f"error: {sentence}", file=sys.stderr)
        return 1


def _open_standard_streams() -> None:
    """What was closed is nowhere: an event loop would take its number, and abort at its end."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def discard_output() -> None:
    """What is still to be printed goes nowhere, and the interpreter's end does not say that."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

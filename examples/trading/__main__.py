"""`python -m examples.trading serve | play`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from examples.command import (
    add_client_arguments,
    add_transport_arguments,
    run,
    serve_until_signal,
    show,
    whole_number,
)
from examples.data import LOBSTER_HOUR, DataMissingError, named_or_found
from examples.load import progress_bar
from examples.trading.contract import PORT, Gateway
from examples.trading.desk import DeskError
from examples.trading.gateway import OrderGateway
from examples.trading.lobster import FormatError, Message, read
from examples.trading.play import NotAnsweredError, Played, SessionInUseError, play
from examples.trading.synthetic import messages
from machnet_rpc import connect

HOUR_MESSAGES = 91_997
EXPECTED = (DataMissingError, DeskError, FormatError, NotAnsweredError, SessionInUseError)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m examples.trading", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="serve an order gateway with an empty book")
    serving.add_argument("--listen", default=f"127.0.0.1:{PORT}", help="host:port")
    add_transport_arguments(serving)
    playing = commands.add_parser("play", help="play recorded order flow against it")
    source = playing.add_mutually_exclusive_group()
    source.add_argument("--messages", type=Path, help="a message file of LOBSTER")
    source.add_argument(
        "--synthetic", action="store_true", help="made-up order flow, the same every time"
    )
    playing.add_argument("--count", type=whole_number(0), default=HOUR_MESSAGES)
    playing.add_argument("--session", default="player", help="the session's name")
    add_client_arguments(playing, f"127.0.0.1:{PORT}")
    return top


async def serve_gateway(arguments: argparse.Namespace) -> int:
    gateway = OrderGateway()
    return await serve_until_signal(gateway, arguments, gateway.close)


def chosen_messages(arguments: argparse.Namespace) -> tuple[str, Iterator[Message]]:
    """What to play, and its name."""
    if arguments.synthetic:
        return "synthetic order flow", messages(arguments.count, seed=1)
    path = named_or_found(arguments.messages, LOBSTER_HOUR, "play --synthetic")
    return f"order flow: {path.name.partition('_2')[0]}", islice(read(path), arguments.count)


async def play_messages(arguments: argparse.Namespace) -> int:
    name, flow = chosen_messages(arguments)
    async with connect(arguments.server, via=arguments.engine, require=arguments.require) as client:
        with progress_bar() as bar:
            task = bar.add_task(f"exchange: {name}", total=arguments.count)
            played = await play(
                client.stub(Gateway),
                flow,
                session=arguments.session,
                window=arguments.window,
                progress=lambda done: bar.advance(task, done),
            )
            bar.update(task, total=bar.tasks[0].completed)  # there may have been less
        return told(played, str(client.transport), arguments)


def told(played: Played, transport: str, arguments: argparse.Namespace) -> int:
    """Print the result; the exit status is 0 only if every answer and the book were right."""
    result = {
        **played.load.as_dict(),
        "answers_checked": played.answers,
        "answers_wrong": played.wrong,
        "fills": played.fills,
        "sent_again": played.sent_again,
        "book_levels": played.levels,
        "book_is_equal": played.book_is_equal,
        "transport": transport,
        "is_right": played.is_right,
    }
    show("order flow", result, as_json=arguments.json)
    return 0 if played.is_right else 2


def main() -> int:
    arguments = parser().parse_args()
    command = {"serve": serve_gateway, "play": play_messages}
    return run(command[arguments.command](arguments), EXPECTED)


if __name__ == "__main__":
    sys.exit(main())

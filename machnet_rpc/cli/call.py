"""`mrpc call`: one call, JSON in and JSON out; streams are JSON lines."""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from idl import CodecError, pack, unpack
from machnet_rpc._calling import split_name
from machnet_rpc._options import checked_key
from machnet_rpc._protocol.records import LAST_PRIORITY, USUAL_PRIORITY
from machnet_rpc.cli.arguments import (
    Commands,
    UsageError,
    add_command,
    add_target,
    client_of,
    shown,
)
from machnet_rpc.cli.binary import decoded, filled, is_encoded, with_bytes
from machnet_rpc.client import Client
from machnet_rpc.errors import InvalidArgument, RpcError, Unimplemented
from machnet_rpc.reflection import DescribedMethod, ReflectionContract
from machnet_rpc.streams import Sender, Stream
from transport_engine.threads import started

EPILOG = """\
JSON is the argument itself where the method takes one, and an object by name where it takes
several; "-" reads it from standard input. Bytes are written as a string, or as
{"base64": "..."}. What a method takes as a stream is read from standard input, one JSON value a
line, and what it gives as one is printed in the same way, as it comes. `mrpc ls ADDR` shows what
there is to call.

try it:
  mrpc call 127.0.0.1:7000 shop/price '"apple"'
  mrpc call 127.0.0.1:7000 shop/order '{"fruit": "apple", "count": 3}' --json
  generate | mrpc call 127.0.0.1:7000 shop/load          a stream, a line for each item
  mrpc call 127.0.0.1:7000 shop/buy '"apple"' --key order-17   keyed: done once, however often

exit status: 0 it was answered, 1 it failed, 2 there is no such address, or that is no JSON
"""


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "call", run, "call a method")
    parser.epilog = EPILOG
    add_target(parser)
    parser.add_argument(
        "--priority",
        type=int,
        choices=range(LAST_PRIORITY + 1),
        metavar="N",
        help=f"from 0, which goes first, to {LAST_PRIORITY} (default: {USUAL_PRIORITY})",
    )
    parser.add_argument("method", metavar="SERVICE/METHOD", help="as `mrpc ls ADDR` shows it")
    parser.add_argument("request", metavar="JSON", nargs="?", help="the argument, or - for stdin")
    parser.add_argument(
        "--key", type=key_of, help="names the call of a keyed method, so that it is done once"
    )


async def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    service, method = split_name(arguments.method)
    async with client_of(arguments).using(priority=arguments.priority) as client:
        described = await described_of(client, service, method)
        if described is not None and described.requests is not None and arguments.request == "-":
            raise UsageError("standard input holds the stream, so the argument cannot be there")
        request = request_of(arguments.request)
        check_taken(arguments.method, described, request)
        request = with_bytes(described, request)
        if arguments.key is not None and described is not None and not described.keyed:
            raise UsageError(f"{arguments.method} is not keyed, so --key means nothing to it")
        if described is not None and described.kind != "unary":
            await _call_other(client, arguments.method, described, request)
            if arguments.json and described.kind == "oneway":
                print(shown(None))
            return 0
        payload = payload_of(request, is_raw=described is not None and described.raw_argument)
        started = time.perf_counter()
        reply: bytes = await client.using(key=arguments.key).call(arguments.method, payload)
        took = time.perf_counter() - started
        is_raw = described is not None and described.raw_result
        result = reply if is_raw else unpack(reply) if reply else None
        if arguments.json:
            facts = {"result": result, "seconds": took, "transport": str(client.transport)}
            print(shown(facts, compact=True))
        elif is_raw and not sys.stdout.isatty():
            sys.stdout.buffer.write(reply)
        else:
            print(shown(result))
    return 0


async def _call_other(client: Client, name: str, described: DescribedMethod, request: Any) -> None:
    payload = payload_of(request, is_raw=described.raw_argument)
    items = None if described.requests is None else _items(described)
    begun = client.begin_by_name(name, described.kind, payload, items)
    if isinstance(begun, Stream):
        async with begun as replies:
            async for reply in replies:
                print(_line(reply, is_raw=described.raw_result), flush=True)
        return
    reply = await begun
    if described.kind != "oneway":
        print(_line(reply, is_raw=described.raw_result))


def _line(reply: bytes, *, is_raw: bool) -> str:
    result = reply if is_raw else unpack(reply) if reply else None
    return shown(result, compact=True)


async def _items(described: DescribedMethod) -> AsyncIterator[bytes]:
    """The lines of standard input as they come, each a JSON value."""
    sender = Sender[str]()
    loop = asyncio.get_running_loop()

    def read() -> None:
        with contextlib.suppress(RuntimeError, RpcError):  # the call, or the program, has ended
            for line in sys.stdin:
                asyncio.run_coroutine_threadsafe(sender.send(line), loop).result()
            loop.call_soon_threadsafe(sender.close)

    started(read, "stdin")  # of which a line may never come
    number = 0
    try:
        async for line in sender:
            number += 1
            if line.strip():
                item = _parsed(line, f"line {number}")
                if not described.raw_requests:
                    item = filled(item, described.requests or {})
                yield payload_of(item, is_raw=described.raw_requests)
    finally:
        await sender.aclose()


def key_of(text: str) -> str:
    """A key, for argparse."""
    try:
        return checked_key(text)
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(error.message) from None


def request_of(argument: str | None) -> Any:
    """The value of the argument, "-": of standard input, ...: there is none. Errors: UsageError."""
    if argument is None:
        return ...
    return _parsed(sys.stdin.read() if argument == "-" else argument)


def check_taken(name: str, described: DescribedMethod | None, request: Any) -> None:
    """Errors: UsageError for a value, or an argument by name, that the method would not look at."""
    if described is None:
        return
    arguments = described.arguments
    if not arguments and request not in (..., {}, []):
        rest = "" if described.requests is None else ", only the stream on standard input"
        raise UsageError(f"{name} takes no argument{rest}")
    if len(arguments) > 1 and isinstance(request, dict):
        for unknown in request.keys() - arguments.keys():
            raise UsageError(f"{name} has no argument {unknown!r}; it has {', '.join(arguments)}")


def _parsed(text: str, what: str = "the argument") -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{what} is not JSON ({error}): quote it, as in '{{\"key\": 1}}' or '\"text\"'"
        ) from error


def payload_of(request: Any, *, is_raw: bool) -> bytes:
    """The value as the server reads it. Errors: UsageError."""
    if request is ...:
        return b""
    try:
        if not is_raw:
            return pack(request)
        if isinstance(request, str):
            return request.encode()
    except (CodecError, UnicodeEncodeError) as error:
        raise UsageError(f"the argument cannot be sent: {error}") from error
    if is_encoded(request):
        return decoded(request["base64"])
    raise UsageError('this method takes raw bytes: "text" or {"base64": "..."}')


async def described_of(client: Client, service: str, method: str) -> DescribedMethod | None:
    """None where the server says nothing about the method; the call itself then says why.

    Errors: RpcError of the call that is then not made.
    """
    try:
        services = await client.stub(ReflectionContract).services()
    except Unimplemented:
        return None
    except RpcError as error:
        error.method, error.executed = f"{service}/{method}", "no"
        raise
    for each in services:
        if each.name == service:
            return next((found for found in each.methods if found.name == method), None)
    return None

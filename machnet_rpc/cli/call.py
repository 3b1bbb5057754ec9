"""`mrpc call`: one call, JSON in and JSON out."""

import argparse
import base64
import binascii
import json
import sys
import time
from typing import Any

from idl import pack, unpack
from machnet_rpc.cli.arguments import (
    Commands,
    UsageError,
    add_command,
    add_target,
    client_of,
    shown,
)
from machnet_rpc.client import Client
from machnet_rpc.errors import ContractError, Unimplemented
from machnet_rpc.reflection import DescribedMethod, ReflectionContract

EPILOG = """\
JSON is the argument itself where the method takes one, and an object by name where it takes
several; "-" reads it from standard input. Raw bytes are written as a string, or as
{"base64": "..."}. `mrpc ls ADDR` shows what there is to call.
"""


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "call", run, "call a method")
    parser.epilog = EPILOG
    add_target(parser)
    parser.add_argument("method", metavar="SERVICE/METHOD")
    parser.add_argument("request", metavar="JSON", nargs="?", help="the argument, or - for stdin")


async def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    service, slash, method = arguments.method.partition("/")
    if not (service and slash and method):
        raise ContractError(f"{arguments.method!r} names no method: write service/method")
    request = _request(arguments.request)
    async with client_of(arguments) as client:
        described = await _described(client, service, method)
        payload = _payload(request, is_raw=described is not None and described.raw_argument)
        started = time.perf_counter()
        reply: bytes = await client.call(arguments.method, payload)
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


def _request(argument: str | None) -> Any:
    if argument is None:
        return ...
    text = sys.stdin.read() if argument == "-" else argument
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(
            f"the argument is not JSON ({error}): quote it, as in '{{\"key\": 1}}' or '\"text\"'"
        ) from error


def _payload(request: Any, *, is_raw: bool) -> bytes:
    if request is ...:
        return b""
    if not is_raw:
        return pack(request)
    match request:
        case str():
            return request.encode()
        case {"base64": str(encoded)}:
            try:
                return base64.b64decode(encoded, validate=True)
            except binascii.Error as error:
                raise UsageError(f"the base64 is malformed: {error}") from error
        case _:
            raise UsageError('this method takes raw bytes: "text" or {"base64": "..."}')


async def _described(client: Client, service: str, method: str) -> DescribedMethod | None:
    """None where the server says nothing about the method; the call itself then says why."""
    try:
        services = await client.stub(ReflectionContract).services()
    except Unimplemented:
        return None
    for each in services:
        if each.name == service:
            return next((found for found in each.methods if found.name == method), None)
    return None

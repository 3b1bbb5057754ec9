"""`mrpc ls`: what a server offers, with types."""

import argparse
import dataclasses
from typing import Final

from machnet_rpc.cli.arguments import Commands, add_command, add_target, client_of, shown
from machnet_rpc.reflection import BUILT_IN, DescribedMethod, ReflectionContract

EPILOG: Final = """\
try it:
  mrpc ls 127.0.0.1:7000
  mrpc ls 127.0.0.1:7000 --schema       with the JSON Schema of each argument and result
  mrpc ls 127.0.0.1:7000 --all --json   built-in services too, for a program

Behind each method stand its timeout, whether it may be sent again (idempotent: it is done again;
keyed: it is done once for a key), and its kind where it is not unary: server stream, client stream,
bidirectional, oneway.

exit status: 0 done, 1 the server does not answer
"""


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "ls", run, "list the services and methods of a server")
    parser.epilog = EPILOG
    add_target(parser)
    parser.add_argument("--schema", action="store_true", help="show the JSON Schema of each type")
    parser.add_argument("--all", action="store_true", help="show built-in services too")


async def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    async with client_of(arguments) as client:
        services = await client.stub(ReflectionContract).services()
    if not arguments.all:
        services = [service for service in services if not service.name.startswith(BUILT_IN)]
    if arguments.json:
        print(shown([dataclasses.asdict(service) for service in services]))
        return 0
    for service in services:
        print(f"{service.name} (version {service.version})")
        for method in service.methods:
            print(f"  {service.name}/{method.name}{method.signature}{_remarks(method)}")
            if arguments.schema:
                _print_schemas(method)
    return 0


def _remarks(method: DescribedMethod) -> str:
    remarks = [f"timeout {method.timeout:g} s"]
    if method.idempotent:
        remarks.append("keyed" if method.keyed else "idempotent")
    if method.kind != "unary":
        remarks.append(method.kind.replace("_", " "))
    return f"   # {', '.join(remarks)}"


def _print_schemas(method: DescribedMethod) -> None:
    requests = [] if method.requests is None else [("items", method.requests)]
    for name, schema in (*method.arguments.items(), *requests, ("->", method.result)):
        print(f"      {name}: {shown(schema, compact=True)}")

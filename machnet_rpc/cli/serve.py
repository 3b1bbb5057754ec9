"""`mrpc serve`: run services that a module defines, until interrupted."""

import argparse
import inspect
import json
import sys
from ipaddress import ip_address

from machnet_rpc._aio.termination import termination
from machnet_rpc._transports.address import split
from machnet_rpc.cli import reload
from machnet_rpc.cli.arguments import Commands, UsageError, add_command, add_way, seconds
from machnet_rpc.cli.held import Holder
from machnet_rpc.cli.target import called, named, said
from machnet_rpc.errors import ContractError
from machnet_rpc.reflection import BUILT_IN
from machnet_rpc.server import GRACE_SECONDS, Server, several

LISTEN = "127.0.0.1:7000"
EPILOG = """\
TARGET is module:name, where name is a Server, an implementation (an object or its class), a list
of them, or a function (async or not) that returns one of these. The current directory is searched
first, as by `python -m`. Middleware, limits and a store of replies are those of a Server:
  server = Server(Shop(), middleware=[Telemetry()], limits=Limits(handlers=100))

try it:
  mrpc serve shop:Shop --listen 127.0.0.1:7000
  mrpc serve shop:Shop --reload                 while you write it
  mrpc serve shop:server --grace 30 --json

At SIGTERM, or Ctrl-C, it answers what was sent to it already, while clients go to whoever listens
at its address next; a second one ends it at once.

exit status: 0 it was ended, 2 TARGET cannot be served, 3 it cannot listen there
"""


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "serve", run, "run a service")
    parser.epilog = EPILOG
    parser.add_argument("target", metavar="TARGET", help="module:name of what to serve")
    parser.add_argument(
        "--listen",
        default=LISTEN,
        metavar="ADDR",
        help="where, as host:port (default: %(default)s)",
    )
    parser.add_argument(
        "--grace",
        type=seconds,
        default=GRACE_SECONDS,
        metavar="SECONDS",
        help="for calls under way when it ends (default: %(default)s)",
    )
    parser.add_argument(
        "--reload",
        action="store_true",
        help="start again when a Python file here changes; what cannot be served replaces nothing",
    )
    parser.add_argument("--held", type=int, help=argparse.SUPPRESS)  # a descriptor, cli/held.py
    add_way(parser)


async def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    if arguments.reload:
        return await reload.run(arguments)
    holder = None if arguments.held is None else await Holder.at(arguments.held)
    server = await server_of(arguments.target)
    way = {"via": arguments.engine, "require": arguments.require}
    with termination() as came:
        if holder is None:
            await server.listen(arguments.listen, **way)
        elif not await holder.listen(server, arguments.grace, came, **way):
            return 0
        try:
            _say_who_reaches(server)
            _say_ready(server, as_json=arguments.json)
            await came.wait()
            if not arguments.json:
                _say_closing(server, arguments.grace)
        finally:
            await server.close(arguments.grace)
    return 0


async def server_of(target: str) -> Server:
    """The server that "module:name" stands for.

    Errors: UsageError, ContractError.
    """
    found = named(target)
    if inspect.isclass(found) or inspect.isroutine(found):
        found = called(found, target)
    if inspect.isawaitable(found):
        try:
            found = await found
        except Exception as error:
            raise UsageError(f"{target} could not be made: {said(error)}") from error
    if isinstance(found, Server):
        return found
    try:
        return Server(*several(found))
    except ContractError as error:
        raise ContractError(f"{target}: {error}") from error


def _say_closing(server: Server, grace: float) -> None:
    print(
        f"closing: {server.handlers_running} calls under way have {grace:g} s to end; "
        "a second signal does not wait",
        file=sys.stderr,
    )


def _say_who_reaches(server: Server) -> None:
    if not ip_address(split(server.address)[0]).is_loopback:
        print(
            f"mrpc: whoever reaches {server.address} may call it, and whoever sits on the way can "
            "read and forge calls: nothing is encrypted or authenticated yet",
            file=sys.stderr,
        )


def _say_ready(server: Server, *, as_json: bool) -> None:
    names = [contract.name for contract in server.contracts]
    if as_json:
        facts = {
            "address": server.address,
            "services": names,
            "transport": str(server.transport),
        }
        print(json.dumps(facts), flush=True)
    else:
        own = (name for name in names if not name.startswith(BUILT_IN))
        print(f"serving {', '.join(own)} at {server.address} by {server.transport}")
        print("stop it with Ctrl-C", flush=True)

"""`mrpc health`: whether a server, or a service of it, wants calls; for probes."""

import argparse
import json
from typing import Final

from machnet_rpc.cli.arguments import Commands, add_command, add_target, client_of
from machnet_rpc.health import HealthContract, Status

EPILOG: Final = """\
try it:
  mrpc health 127.0.0.1:7000              the server as a whole
  mrpc health 127.0.0.1:7000 shop         one of its services
  mrpc health 127.0.0.1:7000 --watch      each change, until Ctrl-C or the server ends

exit status: 0 it is SERVING (with --watch: was at last), 1 it is not, or does not answer
"""


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "health", run, "ask whether a server wants calls")
    parser.epilog = EPILOG
    add_target(parser)
    parser.add_argument(
        "service",
        metavar="SERVICE",
        nargs="?",
        default="",
        help="one of the server's, by name; else the server as a whole",
    )
    parser.add_argument("--watch", action="store_true", help="print each change")


async def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    status: Status = "UNKNOWN"
    async with client_of(arguments) as client:
        health = client.stub(HealthContract)
        if not arguments.watch:
            status = await health.check(arguments.service)
            _say(arguments, status)
        else:
            watching = client.using(timeout=3e7).stub(HealthContract)
            async with watching.watch(arguments.service) as statuses:
                async for status in statuses:
                    _say(arguments, status)
    return 0 if status == "SERVING" else 1


def _say(arguments: argparse.Namespace, status: Status) -> None:
    facts = {"service": arguments.service, "status": status}
    print(json.dumps(facts) if arguments.json else status, flush=True)

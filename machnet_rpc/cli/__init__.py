"""The command line `mrpc`: serve, call, look, measure, and run engines.

Exit status: 0 done; 1 a call failed, or the doctor found something wrong; 2 the command line, an
address or a contract is wrong; 3 there is no engine, or it failed; 130 interrupted.
"""

import argparse
import asyncio
import contextlib
import errno
import json
import sys
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import uvloop

from machnet_rpc.cli import (
    bench,
    call,
    completion,
    doctor,
    engine,
    flows,
    health,
    ls,
    msggen,
    ping,
    schema,
    serve,
    sim,
    stat,
    top,
)
from machnet_rpc.cli.arguments import Parser, ShowVersion, UsageError
from machnet_rpc.cli.standard import discard_output, mend
from machnet_rpc.errors import AddressError, ContractError, RpcError
from transport_engine.descriptors import check_descriptors
from transport_engine.errors import ConfigError, TransportError

COMMANDS: Final = (
    serve,
    call,
    ls,
    ping,
    bench,
    health,
    stat,
    flows,
    top,
    msggen,
    schema,
    engine,
    doctor,
    sim,
    completion,
)
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
DESCRIPTION: Final = "Typed remote calls between Python programs, past the kernel."
EPILOG: Final = """\
try it:
  mrpc serve shop:Shop --listen 127.0.0.1:7000        run a service
  mrpc ls 127.0.0.1:7000                              see what it offers
  mrpc call 127.0.0.1:7000 shop/price '"apple"'       call it
  mrpc ping 127.0.0.1:7000                            see how fast it is
  mrpc bench 127.0.0.1:7000 shop/price '"apple"'      and how fast under load
  mrpc schema dump shop:Shop > api.lock               keep what it promises, to check it
  mrpc doctor                                         see what would make it faster
  eval "$(mrpc completion bash)"                      have Tab complete it; also zsh and fish

exit status: 0 done, 1 the call failed, 2 wrong usage, 3 no engine, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    try:
        mend()
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()  # while it can still be said that it failed
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        discard_output()
        return 1
    except OSError as error:
        discard_output()
        print(f"mrpc: cannot print: {error.strerror}", file=sys.stderr)
        return 3


def _run(argv: Sequence[str] | None) -> int:
    """Errors: OSError where nothing more can be printed."""
    parser = _parser()
    words = sys.argv[1:] if argv is None else argv
    if not words:
        parser.print_help(sys.stderr)
        return 2
    arguments = parser.parse_args(words)
    try:
        ran: int | Coroutine[Any, Any, int] = arguments.run(arguments)
        if isinstance(ran, int):
            return ran
        with contextlib.closing(ran):
            check_descriptors()  # an event loop that has not enough does not say so
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(ran)
    except BrokenPipeError:
        raise
    except RpcError as error:
        return _failed(arguments, 1, str(error), error.as_dict())
    except (UsageError, AddressError, ContractError, ConfigError) as error:
        return _failed(arguments, 2, str(error), {"message": str(error)})
    except (TransportError, OSError) as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM and error.filename is None:
            raise  # of what is written, only the output has no name
        return _failed(arguments, 3, str(error), {"message": str(error)})


def _parser() -> Parser:
    parser = Parser(
        prog="mrpc",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-V",
        "--version",
        action=ShowVersion,
        nargs=0,
        help="print the version and the drivers, and end",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    parser.set_defaults(program=parser)
    for command in COMMANDS:
        command.add(commands)
    return parser


def _failed(
    arguments: argparse.Namespace, status: int, sentence: str, facts: dict[str, str]
) -> int:
    print(f"mrpc: {sentence}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"error": facts}))
    return status

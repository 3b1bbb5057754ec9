"""`mrpc schema`: what a contract looks like on the wire, and what a change of it would break."""

import argparse
import inspect
from pathlib import Path
from typing import Any, Final

from idl import (
    Finding,
    MalformedSchema,
    ServiceDescription,
    compare_all,
    dump_lock,
    load_lock,
)
from machnet_rpc.cli.arguments import Commands, UsageError, add_command, shown
from machnet_rpc.cli.serve import named
from machnet_rpc.schemas import schema_of
from machnet_rpc.server import Server, several

EPILOG: Final = """\
keep the contract beside the code, and let CI say what a change of it would break:
  mrpc schema dump shop:Shop > api.lock
  mrpc schema check api.lock

exit status of check: 0 nothing breaks, 1 something does, 2 wrong usage
"""
TARGET: Final = "module:name of a contract, an implementation, a Server, a list or a module"
FIRST: Final = {"servers": ("old clients",), "clients": ("new clients",), "either": ()}


def add(commands: Commands) -> None:
    """Declares the command and its own commands."""
    parser = add_command(commands, "schema", run_dump, "dump and check contracts")
    parser.epilog = EPILOG
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    dump = add_command(actions, "dump", run_dump, "print the schema of contracts as a lock file")
    dump.add_argument("target", metavar="TARGET", help=TARGET)
    check = add_command(actions, "check", run_check, "say what breaks since a lock file was made")
    check.add_argument("lock", metavar="LOCK", type=Path, help="what `mrpc schema dump` printed")
    check.add_argument("target", metavar="TARGET", nargs="?", help="by default what was dumped")
    check.add_argument(
        "--first",
        choices=sorted(FIRST),
        default="either",
        help="what is upgraded first, and so what may not break (default: %(default)s)",
    )


def run_dump(arguments: argparse.Namespace) -> int:
    """Prints the lock file; returns the exit status."""
    print(dump_lock(schemas_of(arguments.target), arguments.target), end="")
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    """Prints what changed; returns the exit status."""
    try:
        old, dumped = load_lock(arguments.lock.read_text(encoding="utf-8"))
    except (MalformedSchema, UnicodeDecodeError) as error:
        raise UsageError(f"{arguments.lock} is no lock file: {error}") from error
    except OSError as error:
        raise UsageError(f"{arguments.lock} cannot be read: {error.strerror}") from error
    target = arguments.target or dumped
    found = compare_all(old, schemas_of(target))
    counted = FIRST[arguments.first]
    breaks = [
        each
        for each in found
        if each.severity == "breaking" and (not counted or each.who in counted)
    ]
    if arguments.json:
        facts = {"breaks": bool(breaks), "findings": [each.as_dict() for each in found]}
        print(shown(facts))
    else:
        _print(found, breaks)
    return 1 if breaks else 0


def schemas_of(target: str) -> list[ServiceDescription]:
    """The schemas of the services that "module:name" stands for, or that a module declares.

    Errors: UsageError, ContractError.
    """
    found = named(target)
    if inspect.ismodule(found):
        classes = [
            each
            for each in vars(found).values()
            if inspect.isclass(each) and "__rpc_service__" in vars(each)
        ]
        if not classes:
            raise UsageError(f"{target} declares no service: decorate one with @service(name)")
        return [schema_of(each) for each in classes]
    kinds = [_class_of(each, target) for each in _several(found)]
    return [schema_of(kind) for kind in kinds]


def _several(found: Any) -> list[Any]:
    if isinstance(found, Server):
        built_in = found.contracts[-1]
        return [each.declaring for each in found.contracts if each is not built_in]
    if inspect.isroutine(found):
        found = found()
    return list(several(found))


def _class_of(found: Any, target: str) -> type:
    if inspect.isawaitable(found):
        raise UsageError(f"{target} is asynchronous: name the contract itself")
    return found if isinstance(found, type) else type(found)


def _print(found: list[Finding], breaks: list[Finding]) -> None:
    for finding in sorted(found, key=lambda each: (each.severity, each.where)):
        print(finding)
    if not found:
        print("nothing changed")
    else:
        said = f"{len(breaks)} of {len(found)} changes break" if breaks else "nothing breaks"
        print(said)

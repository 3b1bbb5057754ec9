"""`mrpc schema`: what a contract looks like on the wire, and what a change of it would break."""

import argparse
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from idl import (
    Finding,
    MalformedSchema,
    ProtoError,
    ServiceDescription,
    compare_all,
    dump_lock,
    import_proto,
    json_schema_of,
    load_lock,
    markdown_of,
    proto_of,
)
from idl.reading import SEVERITIES
from machnet_rpc.cli.arguments import Commands, UsageError, add_command, shown
from machnet_rpc.cli.files import write_whole
from machnet_rpc.cli.target import called, named
from machnet_rpc.functions import Service
from machnet_rpc.reflection import BUILT_IN
from machnet_rpc.schemas import schema_of
from machnet_rpc.server import Server, several
from machnet_rpc.service import resolve

EPILOG: Final = """\
keep the contract beside the code, and let CI say what a change of it would break:
  mrpc schema dump shop:Shop > api.lock
  mrpc schema check api.lock
speak with those who have other tools:
  mrpc schema export --to proto shop:Shop > shop.proto
  mrpc schema import greeter.proto -o greeter.py

exit status: 0 done, 1 something breaks (check), 2 wrong usage
"""
DONE: Final = "exit status: 0 done, 2 wrong usage"
CHECKED: Final = "exit status: 0 nothing breaks, 1 something does, 2 wrong usage"
TARGET: Final = "module:name of a contract, an implementation, a Server, a list or a module"
EXPORTS: Final[dict[str, Callable[[ServiceDescription], str]]] = {
    "proto": proto_of,
    "jsonschema": lambda service: shown(json_schema_of(service)) + "\n",
    "markdown": markdown_of,
}
FIRST: Final = {"servers": ("old clients",), "clients": ("new clients",), "either": ()}


def add(commands: Commands) -> None:
    """Declares the command and its own commands."""
    parser = add_command(commands, "schema", run_dump, "dump, check and export contracts")
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
    export = add_command(actions, "export", run_export, "print contracts in another language")
    export.add_argument("target", metavar="TARGET", help=TARGET)
    export.add_argument("--to", choices=sorted(EXPORTS), required=True, help="which language")
    take = add_command(actions, "import", run_import, "write a contract module from .proto files")
    take.add_argument("files", metavar="PROTO", type=Path, nargs="+", help=".proto files")
    take.add_argument(
        "-I", dest="include", metavar="FOLDER", type=Path, action="append", default=[],
        help="where imports are searched, besides the folders of the files",
    )  # fmt: skip
    for each in (dump, export, take):
        each.epilog = DONE
    check.epilog = CHECKED
    take.add_argument(
        "-o", dest="output", metavar="FILE", type=Path, help="where to write it (default: print it)"
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


def run_export(arguments: argparse.Namespace) -> int:
    """Prints the contracts; returns the exit status."""
    try:
        written = [EXPORTS[arguments.to](each) for each in schemas_of(arguments.target)]
    except ProtoError as error:
        raise UsageError(str(error)) from error
    if len(written) > 1 and arguments.to == "proto":
        raise UsageError(f"{arguments.target} has several services: a .proto file is for one")
    if not arguments.json:
        print("\n".join(written), end="")
    elif arguments.to == "jsonschema":
        print(written[0] if len(written) == 1 else f"[{','.join(written)}]")
    else:
        print(json.dumps("\n".join(written)))
    return 0


def run_import(arguments: argparse.Namespace) -> int:
    """Writes the module; returns the exit status."""
    for file in arguments.files:
        if not file.is_file():
            raise UsageError(f"there is no file {file}")
    try:
        text = import_proto(arguments.files, arguments.include)
    except ProtoError as error:
        raise UsageError(str(error)) from error
    if arguments.output is not None:
        try:
            write_whole(arguments.output, text)
        except OSError as error:
            raise UsageError(f"{arguments.output} cannot be written: {error.strerror}") from error
    if arguments.json:
        print(json.dumps(text if arguments.output is None else str(arguments.output)))
    elif arguments.output is None:
        print(text, end="")
    return 0


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
    else:
        classes = [_class_of(each, target) for each in _several(found, target)]
    schemas: dict[str, ServiceDescription] = {}
    for each in classes:
        resolve(each)  # what no server would serve has no schema either
        schema = schema_of(each)
        if schemas.setdefault(schema.name, schema) != schema:
            raise UsageError(
                f"{target} has different services called {schema.name}: name one of them"
            )
    return list(schemas.values())


def _several(found: Any, target: str) -> list[Any]:
    if isinstance(found, Server):
        own = [each for each in found.contracts if not each.name.startswith(BUILT_IN)]
        return [each.declaring for each in own]
    if inspect.isroutine(found):
        found = called(found, target)
    return list(several(found))


def _class_of(found: Any, target: str) -> type:
    if inspect.isawaitable(found):
        raise UsageError(f"{target} is asynchronous: name the contract itself")
    if isinstance(found, Service):
        return found.contract
    return found if isinstance(found, type) else type(found)


def _print(found: list[Finding], breaks: list[Finding]) -> None:
    for finding in sorted(found, key=_gravest_first):
        print(finding)
    if not found:
        print("nothing changed")
    else:
        said = f"{len(breaks)} of {len(found)} changes break" if breaks else "nothing breaks"
        print(said)


def _gravest_first(finding: Finding) -> tuple[int, str]:
    return -SEVERITIES.index(finding.severity), finding.where

"""Arguments that several commands share, and how they become clients and text."""

import argparse
import base64
import contextlib
import json
import math
import sys
from collections.abc import Callable, Coroutine, Generator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NoReturn, Protocol, TypeAlias, cast

from idl import raised
from machnet_rpc.client import Client, connect
from machnet_rpc.errors import InvalidArgument
from transport_engine.machine import Machine

FRAMES_MAX: Final = 10_000  # what a result of 1,024 levels takes, the most that is packed

Run: TypeAlias = Callable[[argparse.Namespace], int | Coroutine[Any, Any, int]]


class Commands(Protocol):
    """What `ArgumentParser.add_subparsers` returns, for which argparse has no public name."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        """Declares a command."""
        ...


class UsageError(Exception):
    """The command line asks for what makes no sense; the sentence says what would."""


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong as JSON, too, where --json is among the words.

    And it prints its help as any other output: where there is no room for it, that is an error.
    """

    is_json: bool = False

    def parse_known_args(self, *words: Any, **options: Any) -> Any:
        given = words[0] if words else options.get("args")
        self.is_json = "--json" in (sys.argv[1:] if given is None else given)
        parsed, unknown = super().parse_known_args(*words, **options)
        if unknown:  # said by the command whose they are, not by `mrpc`
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown

    def print_help(self, file: Any = None) -> None:
        """Prints it, and does not keep silent where that fails. Errors: OSError."""
        (sys.stdout if file is None else file).write(self.format_help())

    def error(self, message: str) -> NoReturn:
        if self.is_json:
            print(json.dumps({"error": {"message": message}}))
        super().error(message)


class ShowVersion(argparse.Action):
    """Prints the version and the drivers of this build, and looks for neither before."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        try:
            release = version("machnet-rpc")
        except PackageNotFoundError:  # the packages were copied, not installed
            release = "of unknown version"
        print(f"machnet-rpc {release} ({', '.join(sorted(Machine.here().drivers))})")
        parser.exit()


def add_command(commands: Commands, name: str, run: Run, summary: str) -> argparse.ArgumentParser:
    """A command that `run` runs, with the options that all have."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    parser.set_defaults(run=run)
    return parser


def add_way(parser: argparse.ArgumentParser) -> None:
    """The options that choose how packets travel."""
    parser.add_argument(
        "--engine", metavar="SOCKET", help="attach to the sidecar behind this socket"
    )
    parser.add_argument("--require", choices=["bypass"], help="fail unless packets pass the kernel")


def add_target(parser: argparse.ArgumentParser, *, is_needed: bool = True) -> None:
    """The server to call, and for how long."""
    count = None if is_needed else "?"
    parser.add_argument("address", metavar="ADDR", nargs=count, help="host:port of the server")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=5.0,
        metavar="SECONDS",
        help="for each call (default: %(default)s)",
    )
    parser.add_argument(
        "--metadata",
        type=entry,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="sent with each call, as a token that the server asks for; may be repeated",
    )
    add_way(parser)


def client_of(arguments: argparse.Namespace) -> Client:
    """The client that the arguments of `add_target` describe; it does not wait for a server.

    Errors: AddressError, UsageError.
    """
    metadata = dict[str, str]()
    for name, value in arguments.metadata:
        if name in metadata:
            raise UsageError(f"--metadata names {name} twice, and a call carries one of a name")
        metadata[name] = value
    client = connect(
        arguments.address,
        via=arguments.engine,
        require=arguments.require,
        timeout=arguments.timeout,
        wait=False,
    )
    if not metadata:
        return client
    try:
        return client.using(metadata=metadata)
    except InvalidArgument as error:
        raise UsageError(error.message) from None


def entry(text: str) -> tuple[str, str]:
    """A name and its value, for argparse."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def seconds(text: str) -> float:
    """A positive number of seconds, for argparse."""
    return _positive(text, "seconds")


def rate(text: str) -> float:
    """So many a second, for argparse."""
    return _positive(text, "calls a second")


def _positive(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of {what} above 0")
    return value


def shown(value: object, *, compact: bool = False) -> str:
    """A value as JSON; bytes as text if they are, else as {"base64": ...}.

    What is deeper than anything that is packed here is text, and short.
    """
    indent = None if compact else 2
    with _room_for_the_deepest():
        try:
            return json.dumps(jsonable(value), indent=indent, ensure_ascii=False, default=str)
        except RecursionError:  # others packed it, and newer Pythons read it
            return json.dumps(raised.shown(value))


def jsonable(value: Any) -> Any:
    """A value as JSON has it; bytes as text if they are, else as {"base64": ...}.

    What is no number in JSON is its name: "NaN", "Infinity", as other formats have it.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        items: dict[Any, Any] = value
        return {
            key if isinstance(key, str) else str(jsonable(key)): jsonable(each)
            for key, each in items.items()
        }
    if isinstance(value, list | tuple):
        return [jsonable(each) for each in cast(list[Any], value)]
    return value


@contextlib.contextmanager
def _room_for_the_deepest() -> Generator[None]:
    """Lets what was received be printed, whatever its depth: its call is not made again."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(max(usual, FRAMES_MAX))
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)

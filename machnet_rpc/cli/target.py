"""What "module:name" on a command line stands for, and a sentence for whatever is wrong with it.

The module is the user's, and is imported here: what it raises is told with the line that did.
"""

import importlib
import inspect
import sys
import traceback
from pathlib import Path
from typing import Any, Final

from idl.schema import signature_of
from machnet_rpc.cli.arguments import UsageError
from machnet_rpc.functions import Service
from machnet_rpc.server import Server

NAMES_MAX: Final = 8  # that are offered in the place of one that is not there


def named(target: str) -> Any:
    """The object that "module:name" names. Errors: UsageError."""
    module_name, colon, name = target.partition(":")
    if module_name.endswith(".py") or "/" in module_name:
        raise UsageError(f"{module_name} is a file: name {_module_of(module_name, name)}")
    if not (colon and module_name and name):
        raise UsageError(f"{target!r} names nothing: write module:name, as in shop:Shop")
    found = _imported(module_name)
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"module {module_name} has no {name}{_instead(found)}")
        found = getattr(found, part)
    return found


def called(made: Any, target: str) -> Any:
    """What a class or a function gives that takes no arguments. Errors: UsageError."""
    try:
        signature_of(made).bind()
    except TypeError as error:
        raise _uncallable(target, error) from None
    except ValueError:
        pass  # nothing is known of its arguments
    try:
        return made()
    except Exception as error:
        trace = error.__traceback__
        if isinstance(error, TypeError) and trace is not None and trace.tb_next is None:
            raise _uncallable(target, error) from None  # one in C, of which nothing was known
        raise UsageError(f"{target} could not be made: {said(error)}") from error


def _uncallable(target: str, error: TypeError) -> UsageError:
    return UsageError(
        f"{target} cannot be called without arguments ({error}): name a function that gives "
        "it what it needs"
    )


def said(error: BaseException) -> str:
    """What was raised, and in which line of the user's."""
    kind = type(error).__name__
    text = f"{kind}: {error}" if str(error) else kind
    here = Path.cwd()
    steps = [each for each in traceback.extract_tb(error.__traceback__) if each.filename[:1] != "<"]
    own = [each for each in steps if Path(each.filename).is_relative_to(here)]
    own = [each for each in own if "site-packages" not in each.filename] or steps[-1:]
    if not own or isinstance(error, SyntaxError):  # which has its line in its text
        return text
    where = Path(own[-1].filename)
    shown = where.relative_to(here) if where.is_relative_to(here) else where
    return f"{text} ({shown}, line {own[-1].lineno})"


def _module_of(file: str, name: str) -> str:
    """The module that a file is, in words; one elsewhere is one of its own folder."""
    path = Path(file.removesuffix(".py"))
    if path.is_absolute() or ".." in path.parts:
        return f"the module, {path.name}:{name or 'NAME'}, in the folder {path.parent}"
    return f"the module, {'.'.join(path.parts)}:{name or 'NAME'}"


def _imported(module_name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise UsageError(
                f"there is no module {error.name} in {here} or on the path: go to the folder that "
                "it is in, or add that to PYTHONPATH"
            ) from error
        raise UsageError(f"{module_name} imports what is not there: {said(error)}") from error
    except SystemExit as error:
        raise UsageError(
            f"{module_name} ends the program as it is imported: {said(error)}; {_GUARD}"
        ) from error
    except Exception as error:
        _close_coroutines(error)
        if _is_about_a_loop(error):
            raise UsageError(
                f"{module_name} runs an event loop as it is imported: {said(error)}; {_GUARD}"
            ) from error
        raise UsageError(
            f"{module_name} cannot be imported: {said(error)}; "
            f"`python -c 'import {module_name}'` shows all of it"
        ) from error


_GUARD: Final = (
    'put what only a program does under `if __name__ == "__main__":`, and it can be served, too'
)


def _is_about_a_loop(error: Exception) -> bool:
    """Something at the top of the module waits, and this command's own loop runs already."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and "event loop" in text and "run" in text


def _close_coroutines(error: BaseException | None) -> None:
    """Those that were made to be run and never were, so that Python does not complain of them."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            for value in tuple(frame.f_locals.values()):
                if inspect.iscoroutine(value):
                    value.close()
        error = error.__context__


def _instead(found: Any) -> str:
    names = [name for name, value in vars(found).items() if _is_served(value)]
    if not names:
        return ""
    return f"; it has {', '.join(sorted(names)[:NAMES_MAX])}"


def _is_served(value: object) -> bool:
    """A server, an implementation, or its class; not a contract."""
    kind = value if isinstance(value, type) else type(value)
    is_contract = "__rpc_service__" in vars(kind)
    return isinstance(value, Server | Service) or (
        hasattr(kind, "__rpc_service__") and not is_contract
    )

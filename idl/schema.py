"""What a method takes and gives, read from its type hints.

Hints are resolved when a server or a stub is built, never in a decorator, so that they may name
types that are defined later (PEP 563, PEP 649).
"""

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class SchemaError(TypeError):
    """A contract, or an implementation of it, is not what it must be; the sentence says where."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a method; `default` counts only if it is not `required`."""

    name: str
    annotation: Any
    required: bool
    default: Any = None


@dataclass(frozen=True, slots=True)
class MethodSchema:
    """A unary method: its arguments in order, `self` left out, and its result."""

    name: str
    parameters: tuple[Parameter, ...]
    result: Any


def method_schema(function: Callable[..., Any], name: str) -> MethodSchema:
    """Resolves the hints of `function`; `name` is what sentences call it.

    Errors: SchemaError for a hint that is missing or cannot be resolved, and for *args, **kwargs.
    """
    if inspect.isasyncgenfunction(function):
        raise SchemaError(f"{name} is an async generator: streams are not supported yet")
    if not inspect.iscoroutinefunction(function):
        raise SchemaError(f"{name} must be an `async def`")
    hints = _resolved_hints(function, name)
    parameters = tuple(
        _parameter(parameter, hints, name)
        for parameter in list(inspect.signature(function).parameters.values())[1:]
    )
    if "return" not in hints:
        raise SchemaError(f"{name} does not say what it returns: write `-> None` if nothing")
    return MethodSchema(name, parameters, hints["return"])


def differences(contract: MethodSchema, implementation: Callable[..., Any]) -> list[str]:
    """Sentences about where an implementation departs from its contract; none if it agrees.

    An implementation may leave hints out; those that it writes must be the contract's.
    """
    if not inspect.iscoroutinefunction(implementation):
        return [f"{contract.name} must be an `async def`"]
    hints = _resolved_hints(implementation, contract.name)
    written = list(inspect.signature(implementation).parameters.values())[1:]
    names = [parameter.name for parameter in written]
    expected = [parameter.name for parameter in contract.parameters]
    if names != expected:
        return [f"{contract.name} takes ({', '.join(names)}), not ({', '.join(expected)})"]
    found = [
        f"{contract.name}: {parameter.name} is {spelled(hints[parameter.name])}, "
        f"not {spelled(parameter.annotation)}"
        for parameter in contract.parameters
        if hints.get(parameter.name, parameter.annotation) != parameter.annotation
    ]
    if hints.get("return", contract.result) != contract.result:
        found.append(
            f"{contract.name} returns {spelled(hints['return'])}, not {spelled(contract.result)}"
        )
    return found


def _parameter(parameter: inspect.Parameter, hints: dict[str, Any], name: str) -> Parameter:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise SchemaError(f"{name} takes *{parameter.name}: every argument must be named")
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise SchemaError(f"{name}: arguments travel by name, so {parameter.name} needs one")
    if parameter.name not in hints:
        raise SchemaError(f"{name}: argument {parameter.name} has no type")
    required = parameter.default is parameter.empty
    default = None if required else parameter.default
    return Parameter(parameter.name, hints[parameter.name], required, default)


def _resolved_hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise SchemaError(
            f"{name}: a type hint names {error.name!r}, which its module does not define"
        ) from error


def spelled(annotation: Any) -> str:
    """How the type is written in a signature."""
    if annotation is None or annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return annotation.__name__
    return str(annotation).replace("typing.", "")

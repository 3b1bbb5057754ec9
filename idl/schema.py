"""What a method takes and gives, read from its type hints.

Hints are resolved when a server or a stub is built, never in a decorator, so that they may name
types that are defined later (PEP 563, PEP 649).
"""

import inspect
import sys
import types as types_module
import typing
from collections import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from idl.generics import substituted
from idl.raised import said

MethodKind: TypeAlias = Literal[
    "unary", "server_stream", "client_stream", "bidirectional", "oneway"
]
"""How many values a call takes and gives, and whether it is answered at all."""
Types: TypeAlias = Mapping[Any, Any]
NO_TYPES: Final[Types] = {}
_STREAMS: Final = (abc.AsyncIterator, abc.AsyncIterable, abc.AsyncGenerator)


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
    """A method: its arguments in order, `self` and a stream left out, and its result.

    `requests` is the argument that is a stream, with the type of an item; of a method that
    answers with a stream, `result` is the type of an item.
    """

    name: str
    parameters: tuple[Parameter, ...]
    result: Any
    kind: MethodKind = "unary"
    requests: Parameter | None = None


def method_schema(function: Callable[..., Any], name: str, types: Types = NO_TYPES) -> MethodSchema:
    """Resolves the hints of `function`; `name` is what sentences call it.

    `types` is what type variables stand for. Errors: SchemaError for a hint that is missing or
    cannot be resolved, for *args, **kwargs, and for a function without `self`.
    """
    written = _after_self(function, name)
    hints = _resolved_hints(function, name, types)
    parameters = [_parameter(parameter, hints, name) for parameter in written]
    if "return" not in hints:
        raise SchemaError(f"{name} does not say what it returns: write `-> None` if nothing")
    result = hints["return"]
    item = _item_of(result, name)
    _check_form(function, name, answers_with_stream=item is not None)
    requests = _requests(parameters, name)
    parameters = [each for each in parameters if requests is None or each.name != requests.name]
    if item is None:
        kind: MethodKind = "unary" if requests is None else "client_stream"
    else:
        kind = "server_stream" if requests is None else "bidirectional"
    return MethodSchema(
        name, tuple(parameters), result if item is None else item[0], kind, requests
    )


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Its parameters, whose hints may name what is not defined yet.

    Errors: as `inspect.signature`, but no NameError.
    """
    if sys.version_info >= (3, 14):  # where that resolves the hints, unless told not to
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


def differences(
    contract: MethodSchema, implementation: Callable[..., Any], types: Types = NO_TYPES
) -> list[str]:
    """Sentences about where an implementation departs from its contract; none if it agrees.

    An implementation may leave hints out; those that it writes must be the contract's, or, of a
    result, some of its alternatives.
    """
    answers_with_stream = contract.kind in ("server_stream", "bidirectional")
    try:
        _check_form(implementation, contract.name, answers_with_stream=answers_with_stream)
    except SchemaError as error:
        return [str(error)]
    hints = _resolved_hints(implementation, contract.name, types)
    written = list(signature_of(implementation).parameters.values())[1:]
    requests = contract.requests
    names = [parameter.name for parameter in written]
    expected = [parameter.name for parameter in contract.parameters]
    if requests is not None:  # wherever it stands: it is passed by its name
        at = names.index(requests.name) if requests.name in names else len(expected)
        expected.insert(at, requests.name)
    if names != expected:
        return [f"{contract.name} takes ({', '.join(names)}), not ({', '.join(expected)})"]
    found = [
        f"{contract.name}: {parameter.name} is {spelled(hints[parameter.name])}, "
        f"not {spelled(parameter.annotation)}"
        for parameter in contract.parameters
        if hints.get(parameter.name, parameter.annotation) != parameter.annotation
    ]
    if requests is not None:
        where = f"{contract.name}: {requests.name}"
        found += _item_differences(hints.get(requests.name), requests.annotation, where)
    if answers_with_stream:
        found += _item_differences(hints.get("return"), contract.result, contract.name)
    elif not _is_part(hints.get("return", contract.result), contract.result):
        found.append(
            f"{contract.name} returns {spelled(hints['return'])}, not {spelled(contract.result)}"
        )
    return found


def _is_part(written: Any, expected: Any) -> bool:
    """Whether each alternative of the one is one of the other."""
    return written == expected or _alternatives(written) <= _alternatives(expected)


def _alternatives(annotation: Any) -> set[str]:
    is_union = typing.get_origin(annotation) in (typing.Union, types_module.UnionType)
    parts = typing.get_args(annotation) if is_union else (annotation,)
    return {repr(type(None) if each is None else each) for each in parts}


def _item_differences(written: Any, expected: Any, where: str) -> list[str]:
    """Whether a hint, if there is one, says a stream of the expected items."""
    if written is None:
        return []
    item = _item_of(written, where)
    if item is None:
        return [f"{where} is {spelled(written)}, not a stream of {spelled(expected)}"]
    if item[0] != expected:
        return [f"{where} is a stream of {spelled(item[0])}, not of {spelled(expected)}"]
    return []


def _after_self(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    found = [] if _is_unbound(function) else list(signature_of(function).parameters.values())
    first = found[0] if found else None
    if first is None or first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        raise SchemaError(f"{name} must be a method, whose first argument is `self`")
    if first.name != "self" and first.annotation is not first.empty:
        raise SchemaError(f"{name} has no `self`: write it before {first.name}")
    return found[1:]


def _is_unbound(function: object) -> bool:
    return isinstance(function, staticmethod | classmethod)


def _check_form(function: Callable[..., Any], name: str, *, answers_with_stream: bool) -> None:
    if answers_with_stream:
        if inspect.iscoroutinefunction(function):
            raise SchemaError(f"{name} answers with a stream, so it must be a `def`")
    elif inspect.isasyncgenfunction(function):
        raise SchemaError(f"{name} yields, so it must return `-> AsyncIterator[...]`")
    elif not inspect.iscoroutinefunction(function):
        raise SchemaError(f"{name} must be an `async def`")


def _item_of(annotation: Any, where: str) -> tuple[Any] | None:
    """The type of a stream's items; None for what is no stream."""
    if (typing.get_origin(annotation) or annotation) not in _STREAMS:
        return None
    arguments = typing.get_args(annotation)
    if not arguments:
        raise SchemaError(f"{where}: a stream does not say of what: write AsyncIterator[...]")
    return (arguments[0],)


def _requests(parameters: list[Parameter], name: str) -> Parameter | None:
    found: Parameter | None = None
    for parameter in parameters:
        item = _item_of(parameter.annotation, f"{name}: {parameter.name}")
        if item is None:
            continue
        if found is not None or not parameter.required:
            raise SchemaError(f"{name} takes at most one stream, and without a default")
        found = Parameter(parameter.name, item[0], True)
    return found


def _parameter(parameter: inspect.Parameter, hints: dict[str, Any], name: str) -> Parameter:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
        raise SchemaError(f"{name} takes {stars}{parameter.name}: every argument must be named")
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise SchemaError(f"{name}: arguments travel by name, so {parameter.name} needs one")
    if parameter.name not in hints:
        raise SchemaError(f"{name}: argument {parameter.name} has no type")
    required = parameter.default is parameter.empty
    default = None if required else parameter.default
    return Parameter(parameter.name, hints[parameter.name], required, default)


def _resolved_hints(function: Callable[..., Any], name: str, types: Types) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise SchemaError(
            f"{name}: a type hint names {error.name!r}, which its module does not define as it "
            "runs: import it there, outside of `if TYPE_CHECKING`"
        ) from error
    except Exception as error:  # text that is no type, or what it names raised
        raise SchemaError(f"{name}: a type hint cannot be read: {said(error)}") from error
    return {key: substituted(hint, types) for key, hint in hints.items()} if types else hints


def spelled(annotation: Any) -> str:
    """How the type is written in a signature."""
    if annotation is None or annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return annotation.__name__
    return str(annotation).replace("typing.", "")

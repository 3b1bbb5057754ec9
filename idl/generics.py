"""What type variables stand for: of a generic class in one that derives from it, and left open."""

import typing
from collections.abc import Mapping
from typing import Any

import typing_extensions


def types_of(cls: type, owner: type) -> dict[Any, Any]:
    """What `owner`'s type variables stand for in `cls`; those that stay open are left out."""
    return _found(cls, owner, {}) or {}


def substituted(annotation: Any, types: Mapping[Any, Any]) -> Any:
    """The annotation with what its type variables stand for."""
    if isinstance(annotation, typing.TypeVar):
        return types.get(annotation, annotation)
    generic = getattr(annotation, "__pydantic_generic_metadata__", None) or {}
    parameters: Any = generic.get("parameters") or getattr(annotation, "__parameters__", ())
    if not any(each in types for each in parameters) or isinstance(parameters, property):
        return annotation
    return annotation[tuple(types.get(each, each) for each in parameters)]


def left_open(variable: typing.TypeVar) -> Any:
    """What a type variable stands for where nobody says it, to pydantic as to msgspec."""
    default = getattr(variable, "__default__", typing_extensions.NoDefault)
    if default is not typing_extensions.NoDefault:
        return default
    if variable.__constraints__:
        return typing.Union[variable.__constraints__]  # noqa: UP007 (of a tuple)
    return variable.__bound__ or Any


def _found(cls: type, owner: type, types: dict[Any, Any]) -> dict[Any, Any] | None:
    if cls is owner:
        return types
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin = typing.get_origin(base) or base
        parameters = getattr(origin, "__parameters__", ())
        arguments = [substituted(each, types) for each in typing.get_args(base)]
        if isinstance(origin, type):
            found = _found(origin, owner, dict(zip(parameters, arguments, strict=False)))
            if found is not None:
                return found
    return None

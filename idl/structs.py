"""Which types msgspec has to write, since its Structs occur there."""

import dataclasses
import typing
from typing import Any


def holds_struct(annotation: Any) -> bool:
    """Whether a msgspec.Struct occurs in this type, or in a dataclass that it names."""
    return _holds_struct(annotation, set())


def _holds_struct(annotation: Any, seen: set[Any]) -> bool:
    cls = typing.get_origin(annotation) or annotation
    if hasattr(cls, "__struct_fields__"):
        return True
    parts = list(typing.get_args(annotation))
    is_plain = dataclasses.is_dataclass(cls) and not hasattr(cls, "__pydantic_fields__")
    if is_plain and cls not in seen:
        seen.add(cls)
        parts += _hints_of(cls)
    return any(_holds_struct(part, seen) for part in parts)


def _hints_of(cls: Any) -> list[Any]:
    try:
        return list(typing.get_type_hints(cls, include_extras=True).values())
    except Exception:  # noqa: BLE001 (a name that is not there yet: whoever reads it will say so)
        return []

"""Which types msgspec has to write, since its Structs occur there, and what it cannot."""

import dataclasses
import typing
from typing import Any

import msgspec


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


def foreign_in(annotation: Any) -> type | None:
    """A class in there that msgspec knows no way to write. Errors: TypeError of msgspec's."""
    inspect: Any = msgspec.inspect
    rest, seen = [inspect.type_info(annotation)], set[int]()
    while rest:
        part = rest.pop()
        if isinstance(part, list | tuple):
            rest += part
        elif hasattr(part, "__struct_fields__") and id(part) not in seen:
            seen.add(id(part))
            if isinstance(part, inspect.CustomType):
                found: type = part.cls
                return found
            rest += [getattr(part, name) for name in part.__struct_fields__ if name != "cls"]
    return None

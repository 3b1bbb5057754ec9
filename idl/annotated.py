"""What annotations say beyond a bare type: unions, literals, limits, defaults as JSON."""

import dataclasses
import enum
import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import annotated_types
import pydantic_core
from pydantic.fields import FieldInfo

from idl.shapes import BYTES, Json, Shape, canonical

_LIMITS: Final = (
    "gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "max_digits",
    "decimal_places", "strict", "allow_inf_nan", "discriminator", "strip_whitespace", "to_lower",
    "to_upper", "tz",
)  # fmt: skip


def union(shapes: Iterable[Shape]) -> Shape:
    """One of these, in whatever order; a lone one is itself."""
    flat: dict[str, Shape] = {}
    for shape in shapes:
        for each in shape.of if shape.kind == "union" else (shape,):
            flat[canonical(each.to_json())] = each
    alternatives = tuple(flat[key] for key in sorted(flat))
    return alternatives[0] if len(alternatives) == 1 else Shape("union", alternatives)


def limited(shape: Shape, metadata: Sequence[Any], *, by_msgspec: bool = False) -> Shape:
    """The shape within the limits that annotations set; what they say otherwise is left out.

    msgspec heeds its own alone, and pydantic all others.
    """
    found: dict[str, Json] = dict(shape.limits)
    for item in _flattened(metadata):
        if (type(item).__module__.partition(".")[0] == "msgspec") is not by_msgspec:
            continue
        for name in _LIMITS:
            value = getattr(item, name, None)
            if name == "discriminator":
                value = _discriminator(value)
            if value is not None and not callable(value):
                found[name] = value if isinstance(value, int | float | str) else jsonable(value)
    if not found:
        return shape
    limits = tuple(sorted(found.items()))
    if shape.kind != "union":
        return dataclasses.replace(shape, limits=limits)
    return union(
        each if each.kind == "none" else dataclasses.replace(each, limits=limits)
        for each in shape.of
    )


def literal(arguments: tuple[Any, ...]) -> Shape:
    """One of a few values, in whatever order; of an enumeration's member its value."""
    values = [each.value if isinstance(each, enum.Enum) else each for each in arguments]
    by_text = {json.dumps(chosen(value)): chosen(value) for value in values}
    return Shape("literal", values=tuple(by_text[text] for text in sorted(by_text)))


def flags(cls: type[enum.Flag]) -> Shape:
    """Travel as the sum of their bits. Those of an IntFlag may be any, also such without a name.

    It is read from integers of 64 bits, and takes what is below zero for other bits.
    """
    if getattr(cls, "_boundary_", enum.KEEP) is enum.KEEP:
        return Shape("int", limits=(("ge", 0), ("le", 2**63 - 1)))
    every = 0
    for flag in cls.__members__.values():
        every |= flag.value
    limits: list[tuple[str, Json]] = [("ge", 0), ("le", every)]
    if every & (every + 1):  # a bit is left out
        limits.insert(0, ("bits", every))
    return Shape("int", limits=tuple(limits))


def chosen(value: object) -> Json:
    """One of a few values as JSON; bytes are no text there."""
    return jsonable(value) if not isinstance(value, bytes) else {BYTES: b64encode(value).decode()}


def jsonable(value: object) -> Json:
    """The value as JSON; as its `repr` where JSON has nothing like it."""
    if isinstance(value, float) and value - value != 0:  # not finite
        return repr(value)
    try:
        return cast(Json, pydantic_core.to_jsonable_python(value, inf_nan_mode="strings"))
    except (pydantic_core.PydanticSerializationError, UnicodeDecodeError, RecursionError):
        return repr(value)


def _discriminator(value: object) -> object:
    """A field's name, or that of a function with parentheses, which is in no field's name."""
    value = getattr(value, "discriminator", value)
    return f"{getattr(value, '__name__', value)}()" if callable(value) else value


def _flattened(metadata: Iterable[Any]) -> Iterable[Any]:
    for item in metadata:
        if isinstance(item, annotated_types.GroupedMetadata):
            yield from _flattened(item)
        elif isinstance(item, FieldInfo):
            yield from _flattened(item.metadata)
            yield item  # it has the discriminator itself
        elif not isinstance(item, str | bytes):
            yield item

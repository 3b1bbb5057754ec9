"""Whether what keeps to one type's limits passes another's, too.

Knows names of limits as pydantic and msgspec have them, and "bits" for the sum of all flags; knows
no type. What it cannot compare, such as two patterns, is told apart as different.
"""

from collections.abc import Callable, Iterator
from typing import Final

from idl.shapes import Json, Shape

_NO_LIMITS: Final = frozenset({"strict", "discriminator"})  # they say how values are read
_ALTERING: Final[dict[str, Callable[[str], str]]] = {
    "strip_whitespace": str.strip,
    "to_lower": str.lower,
    "to_upper": str.upper,
}
_LOWER: Final = frozenset({"ge", "gt", "min_length"})
_BOUNDS: Final = {  # a limit -> those that may hold its values within it
    "ge": ("ge", "gt"), "gt": ("ge", "gt"), "le": ("le", "lt"), "lt": ("le", "lt"),
    "min_length": ("min_length",), "max_length": ("max_length",),
    "max_digits": ("max_digits",), "decimal_places": ("decimal_places",),
}  # fmt: skip
_FINITE: Final = frozenset({"bool", "int", "decimal"})


def exceeded(reader: Shape, writer: Shape) -> Iterator[tuple[str, Json]]:
    """The limits of the reader that values may exceed which keep to those of the writer."""
    for name, limit in reader.limits:
        is_limit = name not in _NO_LIMITS and name not in _ALTERING
        if is_limit and not _is_within(name, limit, writer):
            yield name, limit


def altered(reader: Shape, writer: Shape) -> list[str]:
    """What the reader does to text, and the writer's own reader does not."""
    return [
        name
        for name, limit in reader.limits
        if name in _ALTERING and limit is True and dict(writer.limits).get(name) is not True
    ]


def keeps_to(name: str, limit: Json, value: Json) -> bool:
    """Whether one value passes a limit; of a pattern that is not known here."""
    if name in _NO_LIMITS or name == "allow_inf_nan":
        return True
    if name in _ALTERING:
        return not isinstance(value, str) or limit is not True or _ALTERING[name](value) == value
    size = len(value) if isinstance(value, str) else value
    if not (isinstance(size, int | float) and isinstance(limit, int | float)):
        return False
    match name:
        case "ge" | "min_length":
            return size >= limit
        case "le" | "max_length":
            return size <= limit
        case "gt":
            return size > limit
        case "lt":
            return size < limit
        case "multiple_of":
            return _is_multiple(size, limit)
        case "bits":
            return _are_among(size, limit)
        case _:
            return False


def _is_within(name: str, limit: Json, writer: Shape) -> bool:
    """Whether all that the writer's limits let through passes this one."""
    sent = dict(writer.limits)
    if sent.get(name) == limit:
        return True
    if name == "allow_inf_nan":
        return limit is True or writer.kind in _FINITE
    if name in _BOUNDS:
        are_whole = writer.kind == "int"
        asked = _bound(name, limit, are_whole=are_whole)
        kept = [_bound(each, sent.get(each), are_whole=are_whole) for each in _BOUNDS[name]]
        return asked is not None and any(each is not None and each >= asked for each in kept)
    if name == "bits":
        return _are_among(sent.get(name), limit)
    return name == "multiple_of" and _is_multiple(sent.get(name), limit)


def _bound(name: str, limit: Json, *, are_whole: bool) -> tuple[float, bool] | None:
    """A limit as something that is the greater, the less it lets through."""
    if not isinstance(limit, int | float):
        return None
    is_open = name in ("gt", "lt")
    if are_whole and is_open and isinstance(limit, int):
        limit, is_open = limit + (1 if name == "gt" else -1), False
    return (limit if name in _LOWER else -limit), is_open


def _is_multiple(value: Json, limit: Json) -> bool:
    if not (isinstance(value, int) and isinstance(limit, int)):
        return False
    return limit != 0 and value % limit == 0


def _are_among(bits: Json, limit: Json) -> bool:
    return isinstance(bits, int) and isinstance(limit, int) and bits | limit == limit

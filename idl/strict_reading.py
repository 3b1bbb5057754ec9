"""Reads what is strict from plain values: a date is text there, and a set is a list, as in JSON.

pydantic takes these from JSON alone, which has no bytes, and no keys but text. So the strict parts
that travel as something else are let be lax, but for what a strict reader of JSON refuses.
Source: pydantic_core.core_schema; pydantic's conversion table, of JSON in strict mode
"""

import re
from collections.abc import Callable
from typing import Any, Final

import pydantic_core
from pydantic_core import PydanticCustomError

from idl.core_schemas import CLASSES

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _is_raw(value: object) -> bool:
    return isinstance(value, int | float | bytes)


def _has_time(value: object) -> bool:
    return _is_raw(value) or (isinstance(value, str) and ":" in value)


def _has_no_time(value: object) -> bool:
    return _is_raw(value) or (isinstance(value, str) and _DATE.fullmatch(value) is not None)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


# The types that travel as something else, and what is refused of what they take when they are lax.
_REFUSED: Final[dict[str, Callable[[object], bool] | None]] = {
    "date": _has_time,
    "time": _is_raw,
    "datetime": _has_no_time,
    "timedelta": _is_raw,
    "uuid": _is_raw,
    "complex": _is_raw,
    "decimal": _is_bool,
    "fraction": _is_bool,
    "lax-or-strict": _is_number,
    "counter": None,
    "dataclass": None,
    "deque": None,
    "enum": None,
    "frozendict": None,
    "frozenset": None,
    "model": None,
    "multi-host-url": None,
    "ordered-dict": None,
    "set": None,
    "tuple": None,
    "url": None,
}
_LEFT: Final = ("cls", "config", "metadata", "serialization")


def plain_validator(core_schema: Any) -> Callable[[object], Any]:
    """What reads values of the schema from what `unpack` gives, as `validate_python` does."""
    reading = _reading(core_schema, {})
    make: Any = pydantic_core.SchemaValidator
    try:
        validator = make(reading, None, False)  # without those of classes, which are strict
    except TypeError:
        validator = make(reading)  # of a pydantic that takes none from classes
    validate: Callable[[object], Any] = validator.validate_python
    return validate


def _reading(part: Any, config: dict[str, Any]) -> Any:
    """The part as it is to be read; `config` is that of the class that it is in."""
    if isinstance(part, list | tuple):
        items: list[Any] = [_reading(each, config) for each in part]
        return items if isinstance(part, list) else tuple(items)
    if not isinstance(part, dict):
        return part
    kind = part.get("type")
    inner = part.get("config") or {} if kind in CLASSES else config
    around = part.get("config") or config if kind == "dataclass" else config
    is_strict = part.get("strict", around.get("strict")) is True
    if is_strict and kind == "json-or-python":
        return _reading(part["json_schema"], config)
    read = {key: each if key in _LEFT else _reading(each, inner) for key, each in part.items()}
    if not (is_strict and isinstance(kind, str) and kind in _REFUSED):
        return read
    read["strict"] = False
    refused = _REFUSED[kind]
    if kind == "enum" and part.get("sub_type") in ("int", "float"):
        refused = _is_text
    return read if refused is None else _but_not(kind, refused, read)


def _but_not(
    kind: str, refused: Callable[[object], bool], schema: dict[str, Any]
) -> dict[str, Any]:
    def checked(value: object) -> object:
        if refused(value):
            what = "value" if kind == "lax-or-strict" else kind
            raise PydanticCustomError("strict", "Input should be a valid {what}", {"what": what})
        return value

    function = {"type": "no-info", "function": checked}
    outer = {"type": "function-before", "function": function, "schema": schema}
    return outer | ({"ref": schema.pop("ref")} if "ref" in schema else {})

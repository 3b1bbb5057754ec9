"""What pydantic's core schema of a type says about the way of its values, and nothing else does.

Source: pydantic_core.core_schema, of which only fields, aliases and strictness are looked at.
"""

from collections.abc import Iterator
from enum import Enum
from typing import Any, Final

from idl.members import unwritten
from idl.schema import SchemaError

_FIELDS: Final = ("model-field", "typed-dict-field", "dataclass-field")
_CONVERTING: Final = ("function-", "union")
_IN_PROCESS: Final = ("call", "callable", "is-subclass")  # what has no form outside of it
CLASSES: Final = ("model", "dataclass", "typed-dict")


def is_strict(core_schema: Any) -> bool:
    """Whether values of some part may only be read as JSON has them: a date is text there."""
    return any(
        part.get("strict") is True or config.get("strict") is True
        for part, config in _parts(core_schema, {})
    )


def check_aliases(core_schema: Any) -> None:
    """Errors: SchemaError for a field that is not read by the name that it is written under."""
    for part, config in _parts(core_schema, {}):
        fields = part.get("fields", ())
        for key, field in fields.items() if isinstance(fields, dict) else enumerate(fields):
            if isinstance(field, dict) and field.get("type") in _FIELDS:
                name, owner = str(field.get("name", key)), str(part.get("model_name", ""))
                _check_alias(name, field, config, owner)


def check_values(core_schema: Any) -> None:
    """Errors: SchemaError for values that cannot be written, or not be read from what is."""
    parts = [part for part, _ in _parts(core_schema, {})]
    if any(part["type"].startswith(_CONVERTING) for part in parts):
        return  # a validator of the user's may make the one of the other
    for part in parts:
        if part["type"] in _IN_PROCESS:
            raise SchemaError(
                "functions and classes do not travel, and a hint is a function, or stands for one, "
                "as Callable does, or for a class"
            )
        for value in part.get("expected", ()) if part["type"] == "literal" else ():
            if isinstance(value, Enum) and not isinstance(value, str | int):
                raise SchemaError(
                    f"Literal[{value}] travels as {value.value!r}, which it is not read from: name "
                    "the enumeration, or its values"
                )


def _check_alias(name: str, field: dict[str, Any], config: dict[str, Any], owner: str) -> None:
    where = f"{owner}.{name}" if owner else name
    is_unwritten = field.get("serialization_exclude") or field.get("init_only")
    is_needed = field.get("required") is not False and not _has_default(field)
    if is_needed and (is_unwritten or field.get("serialization_exclude_if")):
        raise SchemaError(unwritten(where))
    if is_unwritten:
        return
    written = field.get("serialization_alias", name)
    alias = field.get("validation_alias", name)
    paths: list[Any] = alias if isinstance(alias, list) else [alias]
    if paths and not isinstance(paths[0], list):
        paths = [paths]
    read = {path[0] for path in paths if isinstance(path, list) and len(path) == 1}
    read |= {alias} if isinstance(alias, str) else set()
    if config.get("validate_by_name") or config.get("populate_by_name"):
        read.add(name)
    if written not in read:
        known = " or ".join(repr(each) for each in sorted(map(str, read))) or "a path"
        raise SchemaError(f"{where} is written as {written!r} but read as {known}")


def _has_default(field: Any) -> bool:
    """Whether there is one, within whatever validators are around it."""
    while isinstance(field, dict):
        if field.get("type") == "default":
            return True
        field = field.get("schema")
    return False


def _parts(core_schema: Any, config: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Each part that has a type, with the configuration of the class that it is in."""
    rest: list[tuple[Any, dict[str, Any]]] = [(core_schema, config)]
    while rest:
        part, config = rest.pop()
        if isinstance(part, dict):
            if part.get("type") in CLASSES:
                config = part.get("config") or {}
            if isinstance(part.get("type"), str):
                yield part, config
            rest += [(each, config) for key, each in part.items() if key != "metadata"]
        elif isinstance(part, list | tuple):
            rest += [(each, config) for each in part]

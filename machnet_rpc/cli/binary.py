"""Bytes in JSON: text, or {"base64": "..."}, where the schema of a method has bytes.

Follows a JSON Schema beside the value, so that an object of a contract that looks like that stays.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Any, TypeAlias, cast

from machnet_rpc.cli.arguments import UsageError
from machnet_rpc.reflection import DescribedMethod

Schema: TypeAlias = dict[str, Any]


def with_bytes(described: DescribedMethod | None, request: Any) -> Any:
    """The JSON of a request, with bytes in it. Errors: UsageError."""
    if described is None or request is ... or described.raw_argument:
        return request
    schemas = described.arguments
    if len(schemas) == 1:  # the value is the argument itself
        (schema,) = schemas.values()
        return filled(request, schema)
    if not isinstance(request, dict):
        return request
    by_name: dict[str, Any] = request
    return {name: filled(each, schemas.get(name, {})) for name, each in by_name.items()}


def filled(value: Any, schema: Schema) -> Any:
    """The value, with bytes where the schema has some. Errors: UsageError."""
    try:
        return _filled(value, schema, {})
    except RecursionError as error:
        raise UsageError("the argument is nested too deep") from error


def is_encoded(value: Any) -> bool:
    """Whether it is {"base64": "..."}."""
    return (
        isinstance(value, dict) and value.keys() == {"base64"} and isinstance(value["base64"], str)
    )


def decoded(text: str) -> bytes:
    """Errors: UsageError."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(f"the base64 is malformed: {error}") from error


def _filled(value: Any, schema: Schema, outer: Schema) -> Any:
    if not schema:
        return value  # anything may be there, and bytes are not told from an object
    definitions: Schema = schema.get("$defs", outer)
    kinds = list(_alternatives(schema, definitions))
    if isinstance(value, list):
        items: list[Any] = value
        return [_filled(each, _item(kinds, at), definitions) for at, each in enumerate(items)]
    if isinstance(value, str):
        return _encoded(value) if _is_binary(kinds) else value
    if not isinstance(value, dict):
        return value
    fields: dict[str, Any] = value
    if is_encoded(fields) and any(kind.get("format") == "binary" for kind in kinds):
        return decoded(fields["base64"])
    return {name: _filled(each, _field(kinds, name), definitions) for name, each in fields.items()}


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"bytes are text, or base64: {error}") from error


def _is_binary(kinds: list[Schema]) -> bool:
    """Whether text can only stand for bytes there."""
    said = [kind for kind in kinds if kind.keys() & {"type", "enum", "const"}]
    binary = [kind.get("format") == "binary" for kind in said if kind.get("type") != "null"]
    return bool(binary) and all(binary)


def _alternatives(schema: Schema, definitions: Schema, depth: int = 8) -> Iterator[Schema]:
    """What a value may be, by references and unions."""
    if depth == 0:
        return
    yield schema
    others: list[Schema] = [
        each for name in ("anyOf", "oneOf", "allOf") for each in schema.get(name, [])
    ]
    if "$ref" in schema:
        others.append(definitions.get(schema["$ref"].rpartition("/")[2], {}))
    for each in others:
        yield from _alternatives(each, definitions, depth - 1)


def _item(kinds: list[Schema], index: int) -> Schema:
    for kind in kinds:
        first: list[Schema] = kind.get("prefixItems", [])
        rest: Any = kind.get("items")
        if index < len(first):
            return first[index]
        if isinstance(rest, dict):
            return cast(Schema, rest)
    return {}


def _field(kinds: list[Schema], name: str) -> Schema:
    for kind in kinds:
        rest: Any = kind.get("additionalProperties")
        if name in kind.get("properties", {}):
            return cast(Schema, kind["properties"][name])
        if isinstance(rest, dict):
            return cast(Schema, rest)
    return {}
